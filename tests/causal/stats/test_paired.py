import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scripts.causal.stats.paired import (
    Estimate,
    correlation,
    interval,
    p_value,
    plain_estimate,
    pooled_correlation,
    sign_flip_p,
)

# GPTQ reserve time changed, same code and seeds, in mBPB (record of 2026-04-29).
RECORD = [-0.45, 0.04, 0.29]
differences_lists = st.lists(
    st.floats(-1, 1).filter(lambda x: abs(x) > 1e-6), min_size=2, max_size=8
)


def test_plain_t_agrees_with_scipy():
    differences = [-0.0021, -0.0013, 0.0004, -0.0030]
    oracle = stats.ttest_1samp(differences, 0.0)
    band = oracle.confidence_interval(0.95)
    estimate = plain_estimate(differences)
    assert p_value(estimate) == pytest.approx(oracle.pvalue)
    assert interval(estimate, 0.95) == pytest.approx((band.low, band.high))
    assert (estimate.df, estimate.pairs) == (3, 4)


def test_sign_flip_agrees_with_enumeration_by_hand():
    differences = [0.3, -0.1, 0.5, 0.2]
    observed = abs(sum(differences))
    patterns = list(itertools.product((1, -1), repeat=4))
    as_far = sum(
        abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= observed - 1e-12
        for signs in patterns
    )
    assert sign_flip_p(differences) == pytest.approx(as_far / len(patterns))


@pytest.mark.parametrize(("pairs", "least"), [(3, 0.25), (8, 2 / 256)])
def test_sign_flip_cannot_go_below_its_floor(pairs, least):
    assert sign_flip_p([0.01 * (k + 1) for k in range(pairs)]) == pytest.approx(least)


def test_sign_flip_of_many_pairs_is_sampled_from_a_fixed_seed():
    differences = list(np.random.default_rng(3).normal(0.2, 1, size=30))
    assert sign_flip_p(differences) == sign_flip_p(differences)
    assert sign_flip_p(differences) == pytest.approx(
        p_value(plain_estimate(differences)), abs=0.02
    )


def test_identical_arms_have_no_t_and_divide_by_nothing():
    estimate = plain_estimate([0.0, 0.0, 0.0])
    assert estimate == Estimate(0.0, 0.0, 2, 3)
    assert p_value(estimate) is None
    assert interval(estimate, 0.95) is None
    assert sign_flip_p([0.0, 0.0]) == 1.0


def test_equal_differences_have_no_spread_even_when_their_mean_rounds():
    assert plain_estimate([0.1, 0.1, 0.1]).sd == 0.0


def test_one_pair_tells_no_spread():
    estimate = plain_estimate([0.01])
    assert (estimate.mean, estimate.df) == (0.01, 0)
    assert p_value(estimate) is None
    assert sign_flip_p([0.01]) is None


@pytest.mark.parametrize("bad", [[], [math.nan, 0.1], [math.inf, 0.1]])
def test_no_number_is_refused(bad):
    with pytest.raises(ValueError):
        plain_estimate(bad)
    with pytest.raises(ValueError):
        sign_flip_p(bad)


@settings(deadline=None)
@given(differences_lists)
def test_swapping_the_arms_only_turns_the_sign(differences):
    there = plain_estimate(differences)
    back = plain_estimate([-d for d in differences])
    assert back.mean == pytest.approx(-there.mean, abs=1e-12)
    assert p_value(back) == pytest.approx(p_value(there)) if there.testable else True
    assert sign_flip_p([-d for d in differences]) == pytest.approx(sign_flip_p(differences))


@settings(deadline=None)
@given(differences_lists, st.floats(1e-3, 1e3), st.randoms(use_true_random=False))
def test_units_and_order_of_seeds_do_not_matter(differences, factor, random):
    shuffled = [factor * d for d in differences]
    random.shuffle(shuffled)
    one, other = plain_estimate(differences), plain_estimate(shuffled)
    assert other.mean == pytest.approx(factor * one.mean, abs=1e-9 * factor)
    assert other.sd == pytest.approx(factor * one.sd, rel=1e-6, abs=1e-9 * factor)


def test_correlation_is_pearsons_and_needs_three_varying_pairs():
    control, treatment = [1.0, 1.2, 1.1, 1.4], [1.1, 1.25, 1.3, 1.45]
    expected = np.corrcoef(control, treatment)[0, 1]
    assert correlation(control, treatment) == pytest.approx(expected)
    assert correlation(control[:2], treatment[:2]) is None
    assert correlation([1.0, 1.0, 1.0], [1.0, 1.1, 1.2]) is None
    with pytest.raises(ValueError, match="same seeds"):
        correlation(control, treatment[:3])


def test_three_record_seeds_decide_nothing():
    assert p_value(plain_estimate(RECORD)) == pytest.approx(stats.ttest_1samp(RECORD, 0).pvalue)
    assert p_value(plain_estimate(RECORD)) > 0.8


def test_correlation_pooled_over_contrasts_is_that_of_the_centred_values():
    rng = np.random.default_rng(2)
    arms = []
    for level in (1.0, 5.0, -3.0):
        common = rng.normal(size=4)
        arms.append((level + common, 2 * level + common + rng.normal(size=4)))
    centred = [np.concatenate([arm[k] - arm[k].mean() for arm in arms]) for k in (0, 1)]
    r, df = pooled_correlation(arms)
    assert r == pytest.approx(np.corrcoef(*centred)[0, 1])
    assert df == 9
    assert pooled_correlation(arms[:1])[1] == 3
    assert pooled_correlation([([1.0, 2.0], [1.0, 2.0])]) is None
    assert pooled_correlation([([1.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0])]) is None
