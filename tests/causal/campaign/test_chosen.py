"""Which runs a submission is made of: the best confirmed treatment, a named arm, the control."""

import pytest
from literal_results import literal_contrast, literal_result

from scripts.causal.campaign.chosen import choose_runs, load_results
from scripts.causal.campaign.schema import (
    ArmRun,
    Contrast,
    ContrastResult,
    ContrastRuns,
    Pair,
    Platform,
    RawRuns,
)
from scripts.causal.files import InputError

PLATFORM = Platform(trainer="gpt", backend="b", scale="tiny", data="d", machine="m")


def contrast(name: str) -> Contrast:
    return literal_contrast(
        name,
        variable="activation",
        label=name.upper(),
        changes={"activation": name},
        control={"activation": "relu_sq", "iterations": 20},
        treatment={"activation": name, "iterations": 19},
    )


def runs(name: str, phase: str, seeds: tuple[int, ...], failed: tuple[int, ...] = ()):
    def arm(which: str, seed: int) -> ArmRun:
        if which == "treatment" and seed in failed:
            return ArmRun(key=f"{which}{seed}", failure="diverged")
        return ArmRun(key=f"{name}-{which}-{seed}", metrics={"val_bpb": 2.0})

    pairs = tuple(
        Pair(seed=seed, control=arm("control", seed), treatment=arm("treatment", seed))
        for seed in seeds
    )
    return ContrastRuns(contrast=contrast(name), phase=phase, pairs=pairs)


def raw(*each: ContrastRuns) -> RawRuns:
    return RawRuns(
        cycle=1, platform=PLATFORM, screen_seeds=(1, 2), confirm_seeds=(42, 43), runs=each
    )


def verdict(name: str, decided: str, effect: float) -> ContrastResult:
    return literal_result(contrast(name), decided, effect, seeds_used=(42, 43))


CAMPAIGN = [
    raw(runs("gelu", "screen", (1, 2)), runs("gelu", "confirm", (42, 43))),
    raw(runs("silu", "screen", (1, 2)), runs("silu", "confirm", (42, 43), failed=(43,))),
]


def test_the_best_confirmed_treatment_is_chosen_on_fresh_seeds():
    decided = [
        verdict("gelu", "confirmed_better", -0.01),
        verdict("silu", "confirmed_better", -0.02),
    ]
    chosen = choose_runs(CAMPAIGN, decided)
    assert chosen.label == "SILU"
    assert list(chosen.runs) == [42]
    assert chosen.changes == {"activation": "silu", "iterations": 19}


def test_without_a_confirmed_improvement_it_is_the_control():
    chosen = choose_runs(CAMPAIGN, [verdict("gelu", "inconclusive", -0.3)])
    assert (chosen.label, chosen.changes) == ("baseline", {})
    assert {run.key for run in chosen.runs.values()} == {"gelu-control-42", "gelu-control-43"}


def test_a_campaign_that_confirmed_nothing_falls_back_on_screening_runs():
    chosen = choose_runs([raw(runs("gelu", "screen", (1, 2)))], [])
    assert list(chosen.runs) == [1, 2]


def test_an_arm_can_be_named():
    chosen = choose_runs(CAMPAIGN, [], contrast="gelu", arm="treatment")
    assert chosen.runs[42].key == "gelu-treatment-42"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contrast": "tanh"}, "no runs of contrast 'tanh'.*gelu"),
        ({"contrast": "gelu", "arm": "both"}, "control or treatment"),
    ],
)
def test_what_is_not_there_is_named(options, message):
    with pytest.raises(InputError, match=message):
        choose_runs(CAMPAIGN, [], **options)


def test_an_arm_that_failed_at_every_seed_cannot_be_submitted():
    only = [raw(runs("silu", "confirm", (42, 43), failed=(42, 43)))]
    with pytest.raises(InputError, match="no treatment run of contrast 'silu' has a result"):
        choose_runs(only, [], contrast="silu")


def test_a_folder_without_a_campaign_is_named(tmp_path):
    with pytest.raises(InputError, match="no campaign here") as caught:
        load_results(tmp_path)
    assert str(tmp_path) in str(caught.value)
