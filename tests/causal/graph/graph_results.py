"""Campaign results as literal values, for the tests of what they do to the graph."""

from literal_results import literal_contrast, literal_result

from scripts.causal.campaign.schema import AblationResults, Interval, Platform


def result(variable, verdict, effect=-0.01, half=0.004, **changes):
    fields = {
        "interval": Interval(level=0.95, low=effect - half, high=effect + half),
        "p_moderated": 0.001,
        "p_plain": 0.001,
        "p_sign_flip": 0.1,
        "p_adjusted": 0.01,
        "p_equivalence": 0.9,
        "df": 12.0,
        "sd": 0.002,
        "power": 0.9,
        "mde": 0.002,
        "seeds_used": (1, 2, 3, 4),
        "trend": "steady",
    }
    contrast = literal_contrast(f"{variable}_test", variable=variable, label=f"{variable} on")
    return literal_result(contrast, verdict, effect, **{**fields, **changes})


def results(*found):
    return AblationResults(
        alpha=0.05,
        alpha_spent=0.05,
        alpha_left=0.0,
        mde=0.002,
        platform=Platform(trainer="gpt", backend="torch", scale="tiny", data="d", machine="m"),
        prior=None,
        results=found,
    )
