"""Paired differences: what they say without borrowing anything from other contrasts.

Probabilities are those of ``scipy.special``, at a hundredth of the time of ``scipy.stats``: a
campaign asks for a few, its simulation for millions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import stdtr, stdtrit

ENUMERATED_PAIRS = 14
"""Up to here all 2ⁿ sign patterns are enumerated (16,384); above, 99,999 are drawn."""


@dataclass(frozen=True)
class Estimate:
    """A mean paired difference with the spread it is judged by.

    Attributes:
        mean: mean difference, treatment minus control.
        sd: standard deviation of one difference.
        df: degrees of freedom behind `sd`; 0 where one pair tells no spread, may be infinite.
        pairs: number of differences.
    """

    mean: float
    sd: float
    df: float
    pairs: int

    @property
    def standard_error(self) -> float:
        """Standard deviation of `mean`."""
        return self.sd / math.sqrt(self.pairs)

    @property
    def testable(self) -> bool:
        """Whether a t statistic exists: some spread, and degrees of freedom behind it."""
        return self.df > 0 and self.sd > 0


def finite(values: Sequence[float]) -> NDArray[np.float64]:
    """The values as an array of shape (n,).

    Raises:
        ValueError: there are none, or one is NaN or infinite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError("at least one difference is needed")
    if not np.all(np.isfinite(array)):
        raise ValueError("differences must be finite numbers")
    return array


def plain_estimate(differences: Sequence[float]) -> Estimate:
    """The estimate of the plain paired t-test: sample sd with n − 1 degrees of freedom.

    Raises:
        ValueError: no difference, or one that is not finite.
    """
    values = finite(differences)
    n = len(values)
    # Equal values have no spread; the rounding of their mean must not invent one.
    spread = float(values.std(ddof=1)) if n > 1 and np.ptp(values) > 0 else 0.0
    mean = float(values.mean()) if spread else float(values[0])
    return Estimate(mean, spread, n - 1, n)


def p_value(estimate: Estimate) -> float | None:
    """Two-sided p of "the true mean difference is 0"; None where there is no t statistic."""
    if not estimate.testable:
        return None
    t = estimate.mean / estimate.standard_error
    return float(2 * stdtr(estimate.df, -abs(t)))


def interval(estimate: Estimate, level: float) -> tuple[float, float] | None:
    """Two-sided t interval of the mean at `level`; None where there is no t statistic."""
    if not estimate.testable:
        return None
    half = -float(stdtrit(estimate.df, (1 - level) / 2)) * estimate.standard_error
    return estimate.mean - half, estimate.mean + half


def sign_flip_p(differences: Sequence[float], *, seed: int = 0) -> float | None:
    """Two-sided p of the sign-flip test of the mean: exact up to `ENUMERATED_PAIRS` pairs.

    Assumes only that each difference is as likely as its negative; the price is that n pairs
    cannot go below 2^(1−n). None for a single pair. `seed` draws the sign patterns of larger
    samples.

    Raises:
        ValueError: no difference, or one that is not finite.
    """
    values = finite(differences)
    if len(values) < 2:
        return None
    # All-zero differences give the same mean under every pattern.
    if not values.any():
        return 1.0
    exact = len(values) <= ENUMERATED_PAIRS
    result = stats.permutation_test(
        (values,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=2 ** len(values) if exact else 99_999,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def correlation(control: Sequence[float], treatment: Sequence[float]) -> float | None:
    """Pearson correlation of the arms over seeds: what pairing buys (1 − r of the variance).

    None below 3 pairs or where an arm does not vary.

    Raises:
        ValueError: arms of unequal length, or a value that is not finite.
    """
    first, second = finite(control), finite(treatment)
    if len(first) != len(second):
        raise ValueError("both arms need the same seeds")
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.clip(stats.pearsonr(first, second).statistic, -1, 1))


def pooled_correlation(
    arms: Sequence[tuple[Sequence[float], Sequence[float]]],
) -> tuple[float, int] | None:
    """Correlation of (control, treatment) over seeds, pooled over contrasts, and its df.

    Sums of squares and products about each contrast's own means, so that contrasts of three
    seeds, whose own correlations are next to nothing, tell something together. Contrasts that
    share a control share its scatter: the df are an upper bound of what they know.

    None below 3 degrees of freedom or where an arm never varies.
    """
    pairs = [(finite(one), finite(other)) for one, other in arms if len(one) > 1]
    centred = [(one - one.mean(), other - other.mean()) for one, other in pairs]
    products = np.array([[a @ a, b @ b, a @ b] for a, b in centred]).reshape(-1, 3).sum(axis=0)
    df = sum(len(one) - 1 for one, _ in pairs)
    if df < 3 or not products[:2].all():
        return None
    return float(np.clip(products[2] / math.sqrt(products[0] * products[1]), -1, 1)), df
