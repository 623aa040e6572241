import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from scripts.causal.stats.power import minimum_detectable_effect, pairs_needed, power

# Seed spread within a leaderboard record, pooled over 22 of them (50 df). Without correlation
# between the arms a difference spreads by √2 more; both published tables below assume that.
RUN_SD = 0.00072
SD = RUN_SD * math.sqrt(2)


@pytest.mark.parametrize(("pairs", "expected"), [(3, 0.12), (4, 0.30), (5, 0.53), (7, 0.87)])
def test_published_power_of_the_plain_paired_t(pairs, expected):
    found = power(0.002, sd=SD, pairs=pairs, df=pairs - 1, alpha=0.01)
    assert found == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(("pairs", "expected"), [(3, 0.76), (4, 0.89), (5, 0.95)])
def test_published_power_with_the_variance_pooled_over_50_df(pairs, expected):
    assert power(0.002, sd=SD, pairs=pairs, df=50, alpha=0.01) == pytest.approx(
        expected, abs=0.005
    )
    # The contrast's own pairs add their df to the prior's and change nothing at this precision.
    own = power(0.002, sd=SD, pairs=pairs, df=50 + pairs - 1, alpha=0.01)
    assert own == pytest.approx(expected, abs=0.006)


def test_it_is_not_the_spread_of_a_single_run_that_the_table_assumes():
    assert power(0.002, sd=RUN_SD, pairs=3, df=2, alpha=0.01) > 0.2


@pytest.mark.parametrize(("effect", "pairs", "alpha"), [(0.5, 5, 0.05), (1.0, 12, 0.01)])
def test_power_agrees_with_statsmodels(effect, pairs, alpha):
    oracle = TTestPower().power(effect, pairs, alpha, alternative="two-sided")
    assert power(effect, sd=1.0, pairs=pairs, df=pairs - 1, alpha=alpha) == pytest.approx(oracle)


def test_power_agrees_with_simulation():
    rng = np.random.default_rng(5)
    draws = rng.normal(1.2, 1.0, size=(40_000, 4))
    share = float((stats.ttest_1samp(draws, 0, axis=1).pvalue <= 0.05).mean())
    assert power(1.2, sd=1.0, pairs=4, df=3, alpha=0.05) == pytest.approx(share, abs=0.01)


def test_limits():
    assert power(0.0, sd=1.0, pairs=3, df=2, alpha=0.05) == pytest.approx(0.05)
    assert power(9.0, sd=0.01, pairs=5, df=50, alpha=0.01) == 1.0
    assert power(2.0, sd=1.0, pairs=4, df=math.inf, alpha=0.05) == pytest.approx(
        power(2.0, sd=1.0, pairs=4, df=1e7, alpha=0.05), abs=1e-5
    )
    assert power(-0.5, sd=1.0, pairs=4, df=3, alpha=0.05) == power(
        0.5, sd=1.0, pairs=4, df=3, alpha=0.05
    )
    with pytest.raises(ValueError):
        power(1.0, sd=0.0, pairs=3, df=2, alpha=0.05)


@pytest.mark.parametrize("df", [1, 2, 10, 52, math.inf])
def test_minimum_detectable_effect_inverts_power(df):
    effect = minimum_detectable_effect(sd=SD, pairs=3, df=df, alpha=0.01, power_wanted=0.9)
    assert power(effect, sd=SD, pairs=3, df=df, alpha=0.01) == pytest.approx(0.9, abs=1e-3)


def test_pooling_halves_the_seeds_that_a_plain_test_needs():
    plain = pairs_needed(0.002, sd=SD, prior_df=0, alpha=0.01)
    pooled = pairs_needed(0.002, sd=SD, prior_df=50, alpha=0.01)
    assert (plain, pooled) == (7, 4)
    assert pairs_needed(1e-6, sd=SD, prior_df=50, alpha=0.01) is None
