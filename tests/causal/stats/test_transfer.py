import numpy as np
import pytest

from scripts.causal.stats.transfer import effects, predict, transfer


def measured(mean, error):
    return effects(mean, error**2 * np.eye(len(mean)))


X = np.array([0.02, -0.01, 0.015, 0.004, -0.006])


def test_effects_that_carry_over_by_a_half_have_the_coefficient_one_half():
    found = transfer(measured(X, 1e-5), measured(X / 2, 1e-5))
    assert found.coefficient == pytest.approx(0.5, abs=1e-3)
    assert found.low < 0.5 < found.high
    assert found.high - found.low < 0.01
    assert (found.contrasts, found.same_sign, found.spread) == (5, 5, 0.0)


def test_errors_here_do_not_pull_the_coefficient_to_zero():
    # Ordinary regression on effects measured with an error as large as they are halves it.
    rng = np.random.default_rng(0)
    true = rng.normal(0, 0.01, 80)
    here = true + rng.normal(0, 0.01, 80)
    found = transfer(measured(here, 0.01), measured(true, 1e-4))
    assert found.coefficient == pytest.approx(1.0, abs=0.25)
    assert (here @ true) / (here @ here) < 0.6


def test_effects_that_are_noise_bound_nothing():
    found = transfer(measured([1e-4, -2e-4, 1e-4], 0.003), measured([0.01, -0.02, 0.01], 0.001))
    assert not found.bounded
    assert predict(found, 0.01, 0.001) is None


def test_contrasts_that_depart_from_the_line_widen_the_prediction():
    errors = 1e-4
    near = transfer(measured(X, errors), measured(X, errors))
    off = np.array([0.004, 0.006, -0.005, -0.004, 0.005])
    far = transfer(measured(X, errors), measured(X + off, errors))
    assert near.spread == 0
    assert far.spread == pytest.approx(0.005, rel=0.5)
    narrow, wide = predict(near, 0.01, errors), predict(far, 0.01, errors)
    assert narrow[0] == pytest.approx(0.01, rel=0.05)
    assert wide[2] - wide[1] > 5 * (narrow[2] - narrow[1])


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        true = rng.normal(0, 0.01, 6)
        here = measured(true + rng.normal(0, 0.002, 6), 0.002)
        there = measured(0.7 * true + rng.normal(0, 0.002, 6), 0.002)
        found = transfer(here, there)
        hits += found.low <= 0.7 <= found.high
    assert 0.72 <= hits / 100 <= 0.93


def test_noise_shared_through_a_control_is_no_evidence():
    # Every difference moved by the same amount, as a lucky control does.
    shared = 1e-8 * np.eye(5) + 1e-5 * np.ones((5, 5))
    shifted = transfer(effects(X + 0.003, shared), effects(X, 1e-8 * np.eye(5)))
    assert shifted.coefficient == pytest.approx(1.0, abs=0.05)


def test_two_contrasts_are_too_few():
    assert transfer(measured(X[:2], 1e-3), measured(X[:2], 1e-3)) is None


def test_malformed_effects_are_refused():
    with pytest.raises(ValueError, match="k × k"):
        effects([0.1, 0.2], np.eye(3))
    with pytest.raises(ValueError, match="finite"):
        effects([0.1, np.nan], np.eye(2))
    with pytest.raises(ValueError, match="same contrasts"):
        transfer(measured(X, 1e-3), measured(X[:4], 1e-3))
