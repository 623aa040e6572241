"""The same contrasts on two rungs: estimates, transfers and what is claimed."""

import pytest

from scripts.causal.campaign.courses import courses
from scripts.causal.campaign.ladder import (
    NO_OP,
    carry_over,
    deciding,
    estimates,
    ladder_transfers,
    platform_transfer,
)
from scripts.causal.campaign.schema import ArmRun, Contrast, ContrastRuns, Pair, Platform, RawRuns
from scripts.causal.campaign.validation import ValidatedContrast, Validation
from scripts.causal.statistical_analysis import analyse

SEEDS = (5, 6, 7)
WOBBLE = {5: 0.0004, 6: -0.0003, 7: -0.0001}
EFFECTS = {"gelu": 0.012, "silu": 0.009, "leaky": -0.006, "sin": 0.02}


def contrast(name):
    return Contrast(
        id=name,
        variable="activation",
        label=name,
        changes={"activation": name},
        control={"activation": "relu_sq"},
        treatment={"activation": name},
        stage="train",
        matched_by="steps",
        flops_per_pair=1e12,
        reason="test",
    )


def arm(key, bpb, *, size, penalty=0.002, effect=0.0):
    """The effect is there from the start; int8 adds the penalty at every look."""
    shares = [k / 8 for k in range(1, 9)]
    looks = [bpb + 0.5 * (1 - share) for share in shares]
    return ArmRun(
        key=key,
        metrics={
            "pre_quant_bpb": bpb,
            "post_quant_bpb": bpb + penalty,
            "val_bpb": bpb + penalty,
            "parameters": size,
            "tokens": 80 * size,
            "cpu_seconds": 30.0,
        },
        curves={
            "val_tokens": [80 * size * share for share in shares],
            "val_bpb": looks,
            "val_bpb_int8": [look + penalty for look in looks],
        },
    )


def rung(scale, size, effects, *, extra=0.0):
    """Runs at one scale; `extra` is what rounding adds in the treatments."""
    runs = []
    for number, (name, effect) in enumerate({**effects, NO_OP.id: 0.0}.items()):
        pairs = [
            Pair(
                seed=seed,
                control=arm(f"{scale}-c{seed}", 2.0, size=size),
                treatment=arm(
                    f"{scale}-{name}{seed}",
                    2.0 + effect + WOBBLE[seed] * (-1) ** number,
                    size=size,
                    penalty=0.002 + extra * (1 + WOBBLE[seed]),
                ),
            )
            for seed in SEEDS
        ]
        runs.append(ContrastRuns(contrast=contrast(name), phase="confirm", pairs=tuple(pairs)))
    platform = Platform(trainer="gpt", backend="cpu", scale=scale, data="d", machine="m")
    return RawRuns(
        cycle=1, platform=platform, screen_seeds=(), confirm_seeds=SEEDS, runs=tuple(runs)
    )


SMALL = rung("small", 50_000.0, EFFECTS)
MEDIUM = rung("medium", 80_000.0, {name: 0.9 * effect for name, effect in EFFECTS.items()})


def test_clear_effects_are_claimed_in_their_direction():
    claims = {name: one.direction for name, one in carry_over([MEDIUM, SMALL]).items()}
    assert claims == {"gelu": "worse", "silu": "worse", "leaky": "better", "sin": "worse"}


def test_one_rung_claims_nothing_and_says_why():
    (word,) = {one.words.partition(" (")[0] for one in carry_over([MEDIUM]).values()}
    assert word == "Nothing is claimed of 8×H100: tested at one size only"


def test_an_effect_of_the_other_sign_on_the_other_rung_is_not_claimed():
    turned = rung("small", 50_000.0, {**EFFECTS, "leaky": 0.006})
    decided = carry_over([turned, MEDIUM])["leaky"]
    assert decided.direction is None
    assert "ladder" in [rule.name for rule in decided.rules if not rule.holds]


def test_a_gain_that_rounding_eats_at_full_scale_is_not_claimed():
    eaten = rung("medium", 80_000.0, EFFECTS, extra=0.0025)  # × 3.6 at full scale
    decided = carry_over([SMALL, eaten])
    assert decided["leaky"].direction is None
    assert decided["gelu"].direction == "worse"


def test_the_transfer_between_rungs_is_the_ratio_of_the_effects():
    (found,) = ladder_transfers([MEDIUM, SMALL])
    assert (found.here, found.there) == ("small", "medium")
    assert found.coefficient == pytest.approx(0.9, abs=0.02)
    assert found.low < 0.9 < found.high
    assert (found.contrasts, found.same_sign) == (4, 4)
    assert "80 % interval" in found.words


def test_later_stages_do_not_borrow_the_noise_of_training():
    found = deciding(rung("medium", 80_000.0, EFFECTS, extra=0.001))
    rounding = estimates(found, "quantization")["gelu"]
    assert rounding.mean == pytest.approx(0.001)
    assert rounding.sd < 1e-5 < estimates(found)["gelu"].sd


def test_an_effect_is_followed_by_stage_along_the_run():
    measured = deciding(rung("medium", 80_000.0, EFFECTS, extra=0.001))["gelu"]
    found = courses(measured)
    assert found.tokens_per_parameter == pytest.approx([10 * k for k in range(1, 9)])
    assert found.outcome.effect == pytest.approx([0.013] * 8)
    assert found.training.effect == pytest.approx([0.012] * 8)
    assert found.quantization.effect == pytest.approx([0.001] * 8)
    assert found.outcome.low[0] < 0.013 < found.outcome.high[0]
    assert found.outcome.trend == "steady"


def test_runs_without_looks_at_int8_have_one_course():
    stripped = SMALL.model_dump()
    for runs in stripped["runs"]:
        for pair in runs["pairs"]:
            for side in ("control", "treatment"):
                del pair[side]["curves"]["val_bpb_int8"]
    found = courses(deciding(RawRuns.model_validate(stripped))["gelu"])
    assert found.quantization is None
    assert found.outcome == found.training


def test_the_analysis_carries_the_decision_and_its_reasons():
    results = {
        one.contrast.id: one
        for one in analyse(MEDIUM, alpha=0.05, mde=0.005, ladder=[SMALL]).results
    }
    assert results["gelu"].carry.direction == "worse"
    assert "Expected to be worse at 8×H100" in results["gelu"].transfer
    assert results["gelu"].courses is not None
    assert results[NO_OP.id].carry is None
    alone = analyse(MEDIUM, alpha=0.05, mde=0.005)
    assert all(one.carry is None or one.carry.direction is None for one in alone.results)


def test_a_validation_gives_the_coefficient_to_its_platform():
    there = rung("record", 17e6, {name: 0.5 * effect for name, effect in EFFECTS.items()})
    validation = Validation(
        campaign="c",
        script="train_gpt.py",
        script_digest="0",
        platform=there.platform.model_copy(update={"machine": "8 × H100"}),
        seeds=SEEDS,
        cap_seconds=600.0,
        margin_nats=0.005,
        alpha=0.01,
        departures=(),
        results=tuple(
            ValidatedContrast(
                id=each.contrast.id, label="x", environment={}, pairs=each.pairs, words="x"
            )
            for each in there.runs
        ),
    )
    found = platform_transfer([SMALL], validation)
    assert found.coefficient == pytest.approx(0.5, abs=0.02)
    assert (found.here, found.there) == ("small", "8 × H100")
    few = validation.model_copy(update={"results": validation.results[:2]})
    assert platform_transfer([SMALL], few) is None


def test_screening_seeds_claim_nothing():
    screened = [
        raw.model_copy(
            update={
                "runs": tuple(r.model_copy(update={"phase": "screen"}) for r in raw.runs),
                "screen_seeds": SEEDS,
                "confirm_seeds": (),
            }
        )
        for raw in (SMALL, MEDIUM)
    ]
    assert carry_over(screened) == {}


def test_changes_that_went_their_own_way_between_rungs_are_not_claimed():
    apart = {"gelu": 0.002, "silu": 0.020, "leaky": -0.014, "sin": 0.004}
    decided = carry_over([SMALL, rung("medium", 80_000.0, apart)])
    failing = {name: [r.name for r in one.rules if not r.holds] for name, one in decided.items()}
    assert all("transfer" in names for names in failing.values())
    assert failing["silu"] == ["transfer"]
