"""Does an effect depend on its setting? One contrast, measured in two settings, compared.

That an effect is confirmed in one setting and not in another says nothing yet: the difference
between "significant" and "not significant" need not be significant (Gelman & Stern 2006, The
American Statistician 60(4)). What is tested is the difference of the two effects, with the
standard errors of both (Welch 1947), each from paired seeds, its variance moderated where there
is a prior.

| answer      | rule, first that applies                                                   |
|-------------|----------------------------------------------------------------------------|
| turns       | as `depends`, and each effect's own interval lies on another side of 0     |
| depends     | adjusted p of the difference ≤ alpha                                       |
| same        | adjusted p of the TOST of the difference at ±MDE ≤ alpha                   |
| cannot_tell | otherwise                                                                  |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scripts.causal.stats.equivalence import tost_p
from scripts.causal.stats.paired import Estimate, interval, p_value

Answer = Literal["turns", "depends", "same", "cannot_tell"]


@dataclass(frozen=True)
class Comparison:
    """Effect in the second setting minus effect in the first, bpb; the p-values are raw."""

    difference: Estimate
    p: float | None
    p_equivalence: float | None


def compare(first: Estimate, second: Estimate, margin: float) -> Comparison:
    """Compare one contrast's effects in two settings.

    The settings are taken as independent: runs of one seed in two settings share little beside
    the seed, and what they do share makes the test cautious.

    Raises:
        ValueError: `margin` is not positive.
    """
    parts = [each.standard_error**2 for each in (first, second)]
    variance = sum(parts)
    shares = [
        part**2 / each.df
        for part, each in zip(parts, (first, second), strict=True)
        if each.df > 0 and not math.isinf(each.df)
    ]
    known = first.testable and second.testable
    df = 0.0 if not known else variance**2 / sum(shares) if shares else math.inf
    # One "difference" whose spread is the standard error: what `Estimate` asks for.
    difference = Estimate(second.mean - first.mean, math.sqrt(variance), df, 1)
    return Comparison(difference, p_value(difference), tost_p(difference, margin))


def answer(
    first: Estimate,
    second: Estimate,
    *,
    p_adjusted: float | None,
    p_equivalence_adjusted: float | None,
    alpha: float,
) -> Answer:
    """The answer by the table above."""
    if p_adjusted is not None and p_adjusted <= alpha:
        bands = interval(first, 1 - alpha), interval(second, 1 - alpha)
        sides = {_side(band) for band in bands}
        return "turns" if sides == {-1, 1} else "depends"
    if p_equivalence_adjusted is not None and p_equivalence_adjusted <= alpha:
        return "same"
    return "cannot_tell"


def _side(band: tuple[float, float] | None) -> int:
    if band is None or band[0] <= 0 <= band[1]:
        return 0
    return 1 if band[0] > 0 else -1
