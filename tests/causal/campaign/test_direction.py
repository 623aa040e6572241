import pytest

from scripts.causal.campaign.direction import aligned
from scripts.causal.campaign.schema import Value
from scripts.causal.graph.schema import Estimate


def estimate(contrast: str) -> Estimate:
    return Estimate(source="reported", effect=-0.02, low=-0.05, high=0.01, n=1, contrast=contrast)


@pytest.mark.parametrize(
    ("contrast", "control", "treatment"),
    [
        ("without → with", False, True),
        ("without → with", 0, 0.1),
        ("relu_sq → leaky_relu_sq", "relu_sq", "leaky_relu_sq"),
        ("9 → 11", 9, 11),
        ("9 → 11", 2, 3),
        ("9 → 11 (linear), adjusted for date, track", 2, 4),
        ("0.99 → 0.9", 0.95, 0.9),
    ],
)
def test_the_same_direction_stands_as_it_is(
    contrast: str, control: Value, treatment: Value
) -> None:
    assert aligned(estimate(contrast), control, treatment) == estimate(contrast)


@pytest.mark.parametrize(
    ("contrast", "control", "treatment", "turned"),
    [
        ("without → with", True, False, "with → without"),
        ("relu_sq → gelu", "gelu", "relu_sq", "gelu → relu_sq"),
        ("9 → 11 (linear), adjusted for date", 9, 7, "11 → 9 (linear), adjusted for date"),
    ],
)
def test_the_other_direction_turns_effect_and_interval(
    contrast: str, control: Value, treatment: Value, turned: str
) -> None:
    # "with skips −0.02" is evidence that taking them away costs 0.02.
    found = aligned(estimate(contrast), control, treatment)
    assert found is not None
    assert (found.effect, found.low, found.high) == (0.02, -0.01, 0.05)
    assert found.contrast == turned


@pytest.mark.parametrize(
    ("contrast", "control", "treatment"),
    [
        ("relu_sq → leaky_relu_sq", "relu_sq", "gelu"),
        ("gelu → leaky_relu_sq", "relu_sq", "leaky_relu_sq"),
        ("9 → 11", None, 11),
        ("9 → 11", 9, 9),
        ("no U-Net skips", True, False),
        ("without → score_first", False, True),
    ],
)
def test_another_comparison_is_no_evidence(
    contrast: str, control: Value | None, treatment: Value
) -> None:
    assert aligned(estimate(contrast), control, treatment) is None
