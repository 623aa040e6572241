"""What the whole procedure promises, by simulation: screen, choose, confirm, under Holm.

The small sizes run always and catch a broken procedure; the full sizes (marker `slow`) measure it.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from scripts.causal.stats.equivalence import tost_p
from scripts.causal.stats.family import holm
from scripts.causal.stats.moderated import discount, fit_prior, moderate, pool
from scripts.causal.stats.paired import interval, p_value, plain_estimate
from scripts.causal.stats.power import power
from scripts.causal.stats.screening import worth_confirming

ALPHA = 0.05
SIZES = [400, pytest.param(8000, marks=pytest.mark.slow)]


@dataclass(frozen=True)
class Setting:
    """A campaign of `contrasts` sharing one control, in units of a difference's typical sd.

    `spread_df`: true variances are inverse-chi-square with these df; infinite when all equal.
    """

    contrasts: int
    screen_seeds: int
    confirm_seeds: int
    confirmed: int
    spread_df: float
    effect: float = 0.0
    mde: float = 1.5


@dataclass
class Tally:
    false_confirmations: int = 0
    false_equivalences: int = 0
    families: int = 0
    covered: int = 0
    intervals: int = 0
    error: float = 0.0


def campaigns(setting, repeats, seed):
    """The share of families with a wrong claim, of intervals that cover, and the mean error."""
    rng = np.random.default_rng(seed)
    k = setting.contrasts
    correlations = np.full((k, k), 0.5)
    np.fill_diagonal(correlations, 1)
    tally = Tally()
    for _ in range(repeats):
        sd = np.ones(k)
        if np.isfinite(setting.spread_df):
            sd = np.sqrt(setting.spread_df / rng.chisquare(setting.spread_df, size=k))

        def differences(seeds, sd=sd):
            control, treatment = rng.normal(size=(seeds, 1)), rng.normal(size=(seeds, k))
            return setting.effect + sd * (treatment - control) / np.sqrt(2)

        screen = [plain_estimate(column) for column in differences(setting.screen_seeds).T]
        prior = fit_prior([e.sd**2 for e in screen], [e.df for e in screen], correlations)
        prior = None if prior is None else discount(prior)
        chosen = worth_confirming(
            {str(i): moderate(e, prior) for i, e in enumerate(screen)}, mde=setting.mde
        )[: setting.confirmed]
        fresh = differences(setting.confirm_seeds).T
        confirmed = [
            moderate(pool(plain_estimate(fresh[i]), screen[i]), prior) for i in map(int, chosen)
        ]
        if not confirmed:
            continue
        tally.families += 1
        tally.false_confirmations += min(holm([p_value(e) for e in confirmed])) <= ALPHA
        tost = [tost_p(e, setting.mde) for e in confirmed]
        tally.false_equivalences += min(holm(tost)) <= ALPHA
        bands = [interval(e, 0.95) for e in confirmed]
        tally.covered += sum(low <= setting.effect <= high for low, high in bands)
        tally.intervals += len(bands)
        tally.error += sum(e.mean - setting.effect for e in confirmed)
    return tally


def upper(rate, count):
    """`rate` with three binomial standard errors of room."""
    return rate + 3 * np.sqrt(rate * (1 - rate) / count)


EQUAL = Setting(8, 2, 3, 4, np.inf)
UNEQUAL = Setting(12, 3, 3, 3, 4.0)
MANY_SEEDS = Setting(8, 3, 8, 4, 10.0)


@pytest.mark.parametrize("repeats", SIZES)
@pytest.mark.parametrize("setting", [EQUAL, UNEQUAL, MANY_SEEDS])
def test_wrong_confirmations_stay_below_alpha_and_intervals_cover(setting, repeats):
    found = campaigns(setting, repeats, seed=1)
    assert found.false_confirmations / repeats <= upper(ALPHA, repeats)
    # Choosing the noisiest contrasts costs up to 2 points of nominal 95 %.
    assert found.covered / found.intervals >= 0.93 - 3 * np.sqrt(0.07 * 0.93 / found.intervals)


@pytest.mark.parametrize("repeats", SIZES)
@pytest.mark.parametrize("sign", [-1, 1])
def test_wrong_equivalences_stay_below_alpha(sign, repeats):
    # The hardest true effect is the margin itself.
    setting = Setting(6, 3, 5, 3, 10.0, effect=sign * 1.5)
    found = campaigns(setting, repeats, seed=2)
    assert found.families > repeats / 4
    assert found.false_equivalences / repeats <= upper(ALPHA, repeats)


@pytest.mark.parametrize("repeats", SIZES)
def test_the_confirmed_estimate_is_free_of_the_screens_selection(repeats):
    found = campaigns(UNEQUAL, repeats, seed=3)
    assert abs(found.error / found.intervals) < 4 * 1.5 / np.sqrt(found.families)


@pytest.mark.parametrize("repeats", [2000, pytest.param(40_000, marks=pytest.mark.slow)])
def test_power_is_what_was_promised(repeats):
    # Equal variances, an exact pooled prior: 3 seeds, 8 df borrowed.
    rng = np.random.default_rng(4)
    effect, pairs, df0 = 2.0, 3, 8
    hits = 0
    for _ in range(repeats):
        prior_variance = rng.chisquare(df0) / df0
        own = rng.normal(effect, 1, size=pairs)
        variance = (df0 * prior_variance + own.var(ddof=1) * 2) / (df0 + 2)
        hits += abs(own.mean()) / np.sqrt(variance / pairs) > 2.228138852  # t(10), 97.5 %
    promised = power(effect, sd=1.0, pairs=pairs, df=df0 + 2, alpha=0.05)
    assert hits / repeats == pytest.approx(promised, abs=3 * 0.5 / np.sqrt(repeats))
