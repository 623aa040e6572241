import numpy as np
import pytest

from scripts.causal.stats.trend import HORIZON, Trajectory, trajectory, trend

TOKENS = np.linspace(1e5, 1e6, 10)


def path(effect, *, noise=1e-5, seeds=3):
    rng = np.random.default_rng(2)
    shared = np.array([effect(t / 1e6) for t in TOKENS])
    return Trajectory(TOKENS, shared + noise * rng.normal(size=(seeds, 1)))


def test_an_effect_that_stays_is_steady():
    assert trend(path(lambda f: -0.01)).answer == "steady"


def test_an_effect_that_grows_is_steady():
    assert trend(path(lambda f: 0.01 * f)).answer == "steady"


def test_an_effect_that_shrinks_through_zero_within_the_horizon_may_flip():
    # Linear in log tokens, at zero after 2× the run.
    found = trend(path(lambda f: -0.01 * (np.log(2) - np.log(f))))
    assert found.answer == "may_flip"
    assert found.horizon_effect == pytest.approx(0.01 * np.log(HORIZON / 2), rel=0.02)


def test_zero_beyond_the_horizon_is_no_flip():
    found = trend(path(lambda f: -0.01 * (np.log(2 * HORIZON) - np.log(f))))
    assert found.answer == "steady"


def test_a_sign_that_changed_late_may_flip_again():
    # Softcap 20 against 30: better at a quarter of the run, worse at its end.
    assert trend(path(lambda f: 0.03 * (f - 0.75))).answer == "may_flip"


def test_a_sign_that_changed_early_is_history():
    assert trend(path(lambda f: 0.03 * (f - 0.25))).answer == "steady"


def test_seeds_that_disagree_tell_nothing():
    effects = 0.001 + np.array([[1.0], [-1.0], [0.5]]) * 0.003 * np.log(TOKENS / TOKENS[0])
    assert trend(Trajectory(TOKENS, effects)).answer == "unknown"


@pytest.mark.parametrize(
    "nothing",
    [None, path(lambda f: 0.01, seeds=1), Trajectory(TOKENS[-2:], np.full((3, 2), 0.01))],
)
def test_too_little_to_tell(nothing):
    assert trend(nothing).answer == "unknown"


def test_identical_arms_are_steady_at_zero():
    found = trend(Trajectory(TOKENS, np.zeros((2, 10))))
    assert (found.answer, found.horizon_effect) == ("steady", 0.0)


def test_swapping_the_arms_gives_the_same_answer():
    shrinking = path(lambda f: -0.01 * (np.log(2) - np.log(f)))
    swapped = trend(Trajectory(shrinking.tokens, -shrinking.effects))
    assert swapped.answer == trend(shrinking).answer
    assert swapped.horizon_effect == pytest.approx(-trend(shrinking).horizon_effect)


def test_arms_are_paired_at_equal_fractions_of_their_runs():
    # The treatment's step costs twice as much: half the tokens at the same FLOPs.
    control = ([100.0, 200.0, 400.0], [3.0, 2.0, 1.0])
    treatment = ([50.0, 100.0, 200.0], [3.5, 2.25, 1.125])
    found = trajectory([(control, treatment)])
    assert list(found.tokens) == [100.0, 200.0, 400.0]
    assert found.effects == pytest.approx(np.array([[0.5, 0.25, 0.125]]))


def test_points_that_some_curve_does_not_cover_are_left_out():
    control = ([100.0, 200.0, 400.0], [3.0, 2.0, 1.0])
    late = ([200.0, 400.0], [2.0, 1.5])
    assert list(trajectory([(control, late)]).tokens) == [200.0, 400.0]
    assert trajectory([]) is None


def test_a_measurement_before_the_first_step_is_left_out():
    control, treatment = ([0.0, 100.0], [8.0, 2.0]), ([0.0, 100.0], [8.0, 1.5])
    found = trajectory([(control, treatment)])
    assert (list(found.tokens), found.effects.tolist()) == ([100.0], [[-0.5]])


@pytest.mark.parametrize(
    ("tokens", "bpb"),
    [
        ([100.0, 200.0], [1.0]),
        ([], []),
        ([200.0, 100.0], [1.0, 1.0]),
        ([-1.0, 100.0], [1.0, 1.0]),
        ([0.0], [1.0]),
        ([100.0, 200.0], [1.0, float("nan")]),
    ],
)
def test_malformed_curves_are_refused(tokens, bpb):
    good = ([100.0, 200.0], [2.0, 1.0])
    with pytest.raises(ValueError, match="curve"):
        trajectory([(good, (tokens, bpb))])
