"""A verdict as a literal value, for tests of what comes after one."""

from scripts.causal.campaign.schema import Contrast, ContrastResult


def literal_contrast(name, **changes):
    """A contrast of which nothing but its name matters."""
    fields = {
        "id": name,
        "variable": name,
        "label": name,
        "changes": {},
        "control": {},
        "treatment": {},
        "stage": "train",
        "matched_by": "flops",
        "flops_per_pair": 1.0,
        "reason": "",
    }
    return Contrast(**{**fields, **changes})


def literal_result(contrast, verdict, effect, **changes):
    """A verdict on fresh seeds that tells no test, spread or course unless `changes` do."""
    untold = (
        *("interval", "p_moderated", "p_plain", "p_sign_flip", "p_adjusted", "p_equivalence"),
        *("df", "sd", "power", "screen_effect", "stage_effects", "correlation"),
    )
    fields = {
        **dict.fromkeys(untold),
        "contrast": contrast,
        "cycle": 1,
        "verdict": verdict,
        "phase": "confirm",
        "effect": effect,
        "mde": 0.005,
        "seeds_used": (42, 1337),
        "seeds_discarded": {},
        "trend": "unknown",
        "transfer": "",
        "words": "",
    }
    return ContrastResult(**{**fields, **changes})
