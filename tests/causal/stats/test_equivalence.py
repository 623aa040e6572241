import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.weightstats import ttost_paired

from scripts.causal.stats.equivalence import tost_p
from scripts.causal.stats.moderated import Prior, moderate
from scripts.causal.stats.paired import Estimate, interval, plain_estimate


@pytest.mark.parametrize("margin", [0.0005, 0.002, 0.01])
def test_plain_tost_agrees_with_statsmodels(margin):
    control = [1.2010, 1.2034, 1.1990, 1.2021, 1.2008]
    treatment = [1.2003, 1.2040, 1.1984, 1.2019, 1.2012]
    differences = [t - c for c, t in zip(control, treatment, strict=True)]
    oracle = ttost_paired(np.array(treatment), np.array(control), -margin, margin)[0]
    assert tost_p(plain_estimate(differences), margin) == pytest.approx(oracle)


def test_a_prior_makes_three_seeds_enough_to_call_equivalent():
    own = plain_estimate([0.0011, -0.0009, 0.0004])
    assert tost_p(own, 0.002) > 0.04
    assert tost_p(moderate(own, Prior(0.0007**2, 50)), 0.002) < 0.001


@settings(deadline=None)
@given(st.floats(-0.01, 0.01), st.floats(1e-4, 1e-2), st.integers(1, 40), st.integers(2, 9))
def test_it_is_the_same_as_the_90_percent_interval_inside_the_margin(mean, sd, df, pairs):
    estimate = Estimate(mean, sd, df, pairs)
    low, high = interval(estimate, 0.9)
    if abs(abs(mean) + (high - low) / 2 - 0.002) > 1e-9:
        assert (tost_p(estimate, 0.002) < 0.05) == (low > -0.002 and high < 0.002)


def test_no_spread_is_no_test_and_no_margin_is_refused():
    assert tost_p(plain_estimate([0.0, 0.0]), 0.002) is None
    with pytest.raises(ValueError, match="margin"):
        tost_p(plain_estimate([0.1, 0.2]), 0.0)
