"""What a number of seeds can show, before they are spent and after."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import optimize
from scipy.special import nctdtr, ndtr, stdtrit

POWER_WANTED = 0.8


def power(effect: float, *, sd: float, pairs: int, df: float, alpha: float) -> float:
    """Probability that the two-sided t-test rejects 0 when the true effect is `effect`.

    By the noncentral t. With `df` = pairs − 1 it is the plain paired t; with the moderated df it
    is the moderated one (given its variance).

    Args:
        effect: true mean difference, bpb.
        sd: standard deviation of one paired difference, √2·√(1 − r) times that of a single run
            whose arms correlate by r over seeds.
        pairs: number of seeds.
        df: degrees of freedom behind the test's variance; may be infinite.
        alpha: two-sided level.

    Raises:
        ValueError: sd, pairs or df is not positive, or alpha is outside (0, 1).
    """
    if not (sd > 0 and pairs > 0 and df > 0 and 0 < alpha < 1):
        raise ValueError(f"sd, pairs, df > 0 and 0 < alpha < 1, got {sd}, {pairs}, {df}, {alpha}")
    shift = abs(effect) * math.sqrt(pairs) / sd
    critical = -float(stdtrit(df, alpha / 2))
    if math.isinf(df):
        return float(ndtr(shift - critical) + ndtr(-critical - shift))
    # SciPy returns NaN for probabilities that are next to nothing.
    missed, lower = np.nan_to_num(nctdtr(df, shift, [critical, -critical]), nan=0.0)
    return float(min(1 - missed + lower, 1.0))


def minimum_detectable_effect(
    *, sd: float, pairs: int, df: float, alpha: float, power_wanted: float = POWER_WANTED
) -> float:
    """The smallest true effect that is confirmed with probability `power_wanted`.

    Raises:
        ValueError: as `power`, or `power_wanted` is not between alpha and 1.
    """
    if not alpha < power_wanted < 1:
        raise ValueError(f"power must lie between alpha and 1, got {power_wanted}")
    return _smallest(
        lambda effect: power(effect, sd=sd, pairs=pairs, df=df, alpha=alpha),
        power_wanted,
        unit=sd / math.sqrt(pairs),
        critical=-float(stdtrit(df, alpha / 2)),
    )


def _smallest(
    chance: Callable[[float], float], wanted: float, *, unit: float, critical: float
) -> float:
    """The effect at which a chance that grows with it reaches what is wanted."""
    # Beyond critical + 40 standard errors even one degree of freedom leaves nothing to chance.
    ceiling = unit * (critical * 40 + 40)
    return float(optimize.brentq(lambda x: chance(x) - wanted, 0.0, ceiling, xtol=unit * 1e-6))


def pairs_needed(
    effect: float,
    *,
    sd: float,
    prior_df: float,
    alpha: float,
    power_wanted: float = POWER_WANTED,
    most: int = 64,
) -> int | None:
    """The fewest seeds (at least 2) that reach `power_wanted`; None if `most` do not.

    `prior_df` is d₀ of the moderated test; 0 plans the plain paired t.
    """
    for pairs in range(2, most + 1):
        if power(effect, sd=sd, pairs=pairs, df=prior_df + pairs - 1, alpha=alpha) >= power_wanted:
            return pairs
    return None
