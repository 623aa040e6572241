import pytest

from scripts.causal.campaign.direction import aligned
from scripts.causal.campaign.schema import Value
from scripts.causal.graph.schema import Estimate, Level


def estimate(before: Level, after: Level) -> Estimate:
    return Estimate(
        source="reported", before=before, after=after, effect=-0.02, low=-0.05, high=0.01, n=1
    )


@pytest.mark.parametrize(
    ("levels", "values"),
    [
        ((False, True), (False, True)),
        ((0, True), (0, 0.1)),
        (("none", True), ("none", "score_first")),
        (("relu_sq", "leaky_relu_sq"), ("relu_sq", "leaky_relu_sq")),
        ((9, 11), (9, 11)),
        ((9, 11), (2, 3)),
        ((0.99, 0.9), (0.95, 0.9)),
    ],
)
def test_the_same_direction_stands_as_it_is(
    levels: tuple[Level, Level], values: tuple[Value, Value]
) -> None:
    assert aligned(estimate(*levels), *values) == estimate(*levels)


@pytest.mark.parametrize(
    ("levels", "values"),
    [
        ((False, True), (True, False)),
        (("relu_sq", "gelu"), ("gelu", "relu_sq")),
        ((9, 11), (9, 7)),
        ((0, True), (3072, 0)),
    ],
)
def test_the_other_direction_turns_effect_and_interval(
    levels: tuple[Level, Level], values: tuple[Value, Value]
) -> None:
    # "with skips −0.02" is evidence that taking them away costs 0.02.
    found = aligned(estimate(*levels), *values)
    assert found is not None
    assert (found.effect, found.low, found.high) == (0.02, -0.01, 0.05)
    assert (found.before, found.after) == levels[::-1]


@pytest.mark.parametrize(
    ("levels", "values"),
    [
        (("relu_sq", "leaky_relu_sq"), ("relu_sq", "gelu")),
        (("gelu", "leaky_relu_sq"), ("relu_sq", "leaky_relu_sq")),
        ((9, 11), (None, 11)),
        ((9, 11), (9, 9)),
        (("none", "score_first"), ("none", "lora")),
        ((0, True), (64, 128)),
    ],
)
def test_another_comparison_is_no_evidence(
    levels: tuple[Level, Level], values: tuple[Value | None, Value]
) -> None:
    assert aligned(estimate(*levels), *values) is None
