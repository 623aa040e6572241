import numpy as np

from scripts.causal.campaign.schema import ArmRun, Contrast, ContrastRuns, Pair
from scripts.causal.reporting.curves import MOST_POINTS, arm_band, paired_difference


def runs(*pairs: tuple[dict[str, list[float]], dict[str, list[float]]]) -> ContrastRuns:
    contrast = Contrast(
        id="c",
        variable="v",
        label="c",
        changes={"v": 1},
        control={"v": 0},
        treatment={"v": 1},
        stage="train",
        matched_by="flops",
        flops_per_pair=1.0,
        reason="",
    )
    return ContrastRuns(
        contrast=contrast,
        phase="confirm",
        pairs=tuple(
            Pair(
                seed=seed,
                control=ArmRun(key=f"c{seed}", curves=control),
                treatment=ArmRun(key=f"t{seed}", curves=treatment),
            )
            for seed, (control, treatment) in enumerate(pairs)
        ),
    )


def curve(tokens: list[float], bpb: list[float]) -> dict[str, list[float]]:
    return {"val_tokens": tokens, "val_bpb": bpb}


def test_a_band_spans_the_seeds() -> None:
    band = arm_band(
        runs((curve([0, 10], [4, 2]), {}), (curve([0, 10], [4, 3]), {})),
        "control",
        "val_tokens",
        "val_bpb",
    )
    assert band is not None
    assert band.low.tolist() == [4, 2]
    assert band.high.tolist() == [4, 3]
    assert band.mean.tolist() == [4, 2.5]


def test_the_difference_is_paired_and_at_equal_tokens() -> None:
    # The dearer treatment sees 8 tokens where the control sees 10: compared up to 8.
    difference = paired_difference(
        runs((curve([0, 5, 10], [4, 3, 2]), curve([0, 4, 8], [4, 3, 2])))
    )
    assert difference is not None
    assert difference.x.tolist() == [0, 4, 5, 8]
    np.testing.assert_allclose(difference.mean, [0, -0.2, -0.25, -0.4])


def test_a_pair_with_one_failed_arm_has_no_difference() -> None:
    assert paired_difference(runs((curve([0, 1], [4, 3]), {}))) is None


def test_ragged_and_backward_curves_are_not_drawn() -> None:
    ragged = runs((curve([0, 1, 2], [4, 3]), curve([2, 1], [4, 3])))
    assert arm_band(ragged, "control", "val_tokens", "val_bpb") is None
    assert arm_band(ragged, "treatment", "val_tokens", "val_bpb") is None


def test_long_curves_are_averaged_in_bins() -> None:
    steps = [float(step) for step in range(3000)]
    band = arm_band(
        runs(({"step": steps, "train_loss": steps}, {})), "control", "step", "train_loss"
    )
    assert band is not None
    assert band.x.size == MOST_POINTS
    np.testing.assert_allclose(band.mean, band.x)
