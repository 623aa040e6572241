import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy.special import digamma, polygamma

from scripts.causal.stats.moderated import (
    Prior,
    discount,
    fit_prior,
    moderate,
    pool,
    trigamma_inverse,
)
from scripts.causal.stats.paired import Estimate, p_value, plain_estimate

SPREAD_OUT = [1e-8, 4e-7, 2e-6, 9e-6, 1e-4, 3e-7, 5e-5, 8e-9]


@settings(deadline=None)
@given(st.floats(1e-3, 1e3))
def test_trigamma_inverse_undoes_trigamma(y):
    assert trigamma_inverse(float(polygamma(1, y))) == pytest.approx(y, rel=1e-6)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_trigamma_inverse_refuses_what_trigamma_never_is(value):
    with pytest.raises(ValueError, match="positive"):
        trigamma_inverse(value)


def test_variance_and_df_are_smyths():
    own = Estimate(mean=-0.002, sd=0.003, df=2, pairs=3)
    shrunk = moderate(own, Prior(variance=0.001**2, df=50))
    assert shrunk.sd**2 == pytest.approx((50 * 0.001**2 + 2 * 0.003**2) / 52)
    assert (shrunk.df, shrunk.mean, shrunk.pairs) == (52, -0.002, 3)


def test_without_a_prior_it_is_the_plain_test_and_with_an_infinite_one_the_normal():
    own = plain_estimate([0.1, 0.3, 0.2])
    assert moderate(own, None) == own
    known = moderate(own, Prior(0.04, math.inf))
    assert p_value(known) == pytest.approx(
        math.erfc(0.2 / (0.2 / math.sqrt(3)) / math.sqrt(2)), rel=1e-9
    )


def test_a_prior_gives_identical_pairs_a_spread_but_no_effect():
    shrunk = moderate(plain_estimate([0.0, 0.0]), Prior(1e-6, 6))
    assert shrunk.mean == 0
    assert p_value(shrunk) == 1.0


def test_fit_solves_the_two_moment_equations():
    # Independent check: mean and variance of log s² under s² ~ s₀² F(d, d₀), solved by bisection.
    d = 4
    z = np.log(SPREAD_OUT)
    excess = z.var(ddof=1) - polygamma(1, d / 2)
    half = optimize.brentq(lambda y: polygamma(1, y) - excess, 1e-3, 1e3)
    shift = digamma(d / 2) - math.log(d / 2) - digamma(half) + math.log(half)
    prior = fit_prior(SPREAD_OUT, [d] * len(SPREAD_OUT))
    assert prior.df == pytest.approx(2 * half, rel=1e-6)
    assert prior.variance == pytest.approx(math.exp(z.mean() - shift), rel=1e-6)


@pytest.mark.parametrize(("d0", "variance"), [(3.0, 2.0), (20.0, 5e-7)])
def test_fit_recovers_the_prior_that_made_the_variances(d0, variance):
    rng = np.random.default_rng(11)
    k, d = 40_000, 2
    true = d0 * variance / rng.chisquare(d0, size=k)
    fitted = fit_prior(true * rng.chisquare(d, size=k) / d, np.full(k, d))
    assert fitted.df == pytest.approx(d0, rel=0.15)
    assert fitted.variance == pytest.approx(variance, rel=0.03)


def test_equal_variances_pool_exactly_and_no_further():
    prior = fit_prior([1e-6, 1.1e-6, 0.9e-6, 1e-6], [2, 2, 2, 2])
    assert prior == Prior(pytest.approx(1e-6), 8)


def test_contrasts_that_share_their_controls_hold_less_together():
    # Differences with one control in common correlate by 1/2, their variances by 1/4.
    correlations = np.full((4, 4), 0.5)
    np.fill_diagonal(correlations, 1)
    prior = fit_prior([1e-6, 1.1e-6, 0.9e-6, 1e-6], [2, 2, 2, 2], correlations)
    assert prior.df == pytest.approx(8 / (1 + 3 / 4))


def test_a_contrast_counted_twice_adds_nothing():
    correlations = np.eye(4)
    correlations[2, 3] = correlations[3, 2] = 1
    twice = fit_prior([1e-6, 1.1e-6, 0.9e-6, 0.9e-6], [2, 2, 2, 2], correlations)
    assert twice.df < 8


def test_fewer_than_three_variances_fit_no_prior():
    assert fit_prior([], []) is None
    assert fit_prior([1e-6], [2]) is None
    assert fit_prior([1e-6, 2e-6], [2, 2]) is None
    # Bit-identical arms do not count.
    assert fit_prior([1e-6, 2e-6, 0.0], [2, 2, 2]) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1e-6])
def test_what_is_no_variance_is_refused(bad):
    with pytest.raises(ValueError):
        fit_prior([1e-6, 2e-6, bad], [2, 2, 2])
    with pytest.raises(ValueError):
        fit_prior([1e-6, 2e-6], [2])


@settings(deadline=None)
@given(st.floats(1e-3, 1e3))
def test_fit_follows_the_unit(factor):
    base = fit_prior(SPREAD_OUT, [3] * 8)
    scaled = fit_prior([factor**2 * v for v in SPREAD_OUT], [3] * 8)
    assert scaled.df == pytest.approx(base.df, rel=1e-6)
    assert scaled.variance == pytest.approx(factor**2 * base.variance, rel=1e-6)


def test_own_earlier_spread_is_pooled_and_the_mean_is_not():
    fresh = Estimate(-0.002, 0.001, 2, 3)
    pooled = pool(fresh, Estimate(-0.009, 0.002, 1, 2))
    assert pooled.mean == -0.002
    assert pooled.df == 3
    assert pooled.sd**2 == pytest.approx((2 * 0.001**2 + 0.002**2) / 3)
    assert pool(fresh, None) == pool(fresh, Estimate(0.0, 0.0, 1, 2)) == fresh


def test_choosing_by_screening_effects_halves_the_prior():
    assert discount(Prior(1e-6, 8.0)) == Prior(1e-6, 4.0)
