"""Planned interim looks: a contrast that is clear stops, at no cost in wrong claims.

The seeds of a confirmation come in portions planned beforehand, and after each portion the
contrast may be decided. A level a is spent over the looks by the O'Brien–Fleming-like function of
Lan & DeMets (1983), a(t) = 4 − 4Φ(z_{a/4}/√t) at the fraction t of the seeds: almost nothing
early, almost all at the end. The portion that look k may spend,

    a_k = a(t_k) − a(t_{k−1}),   a_1 + … + a_K = a,

is the level of its own t-test on all seeds so far. The usual boundaries also use that the looks
overlap, by the joint normal law of their z-values; with few degrees of freedom there is no such
law. The union bound over looks needs none: it holds for whatever p-values are valid one by one,
the moderated t's included, and early portions are so small that it loses next to nothing (0.0098
of a level of 0.01 are left for the second of two looks).

For a family of contrasts under Holm, each contrast's looks are turned into one sequential p-value
(Liu & Anderson 2008): the least level a at which some look so far rejects, p_k ≤ a_k. It is valid,
P(p ≤ a) ≤ a_1 + … + a_K = a, since every a_k grows with a, and it can only fall as looks are
added. So Holm applied at any look rejects no more than Holm applied to the full, valid p-values
would: the family-wise error is at most alpha whatever made a contrast stop, and levels freed by
one contrast pass to the looks of the others, those gone by included. That is the group-sequential
Holm procedure of Ye, Li, Liu & Yao (2013), with the union bound in place of the normal law.

Sources: K. K. G. Lan & D. L. DeMets, Biometrika 70, 1983; Q. Liu & K. M. Anderson, J. Am. Stat.
Assoc. 103, 2008; Y. Ye, A. Li, L. Liu & B. Yao, Stat. Med. 32, 2013.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy import optimize
from scipy.special import ndtr, ndtri

MOST = 0.6
"""Up to this level every a_k grows with a (as long as z_{a/4} > 1); no claim is made above it."""


def planned_looks(seeds: int, looks: int) -> tuple[int, ...]:
    """How many of the seeds each look has, the last one all; at least 2 at the first.

    Fewer looks than asked for where there are too few seeds.

    Raises:
        ValueError: no look.
    """
    if looks < 1:
        raise ValueError(f"at least one look is needed, got {looks}")
    counts = {max(2, math.ceil(seeds * look / looks)) for look in range(1, looks)}
    return (*sorted(count for count in counts if count < seeds), seeds)


def spent(alpha: float, fraction: float) -> float:
    """What of the level may be spent when this fraction of the seeds is in."""
    if fraction >= 1:
        return alpha
    return float(4 * ndtr(ndtri(alpha / 4) / math.sqrt(fraction)))


def level_at(alpha: float, counts: Sequence[int], look: int) -> float:
    """The level of the test at a look (from 0), `counts` as of `planned_looks`."""
    now = spent(alpha, counts[look] / counts[-1])
    return now if look == 0 else now - spent(alpha, counts[look - 1] / counts[-1])


def sequential_p(p_values: Sequence[float | None], counts: Sequence[int]) -> float | None:
    """The sequential p-value after the looks taken; None where no look has a p-value.

    Args:
        p_values: of the looks taken so far, in order, None where one has none.
        counts: of all looks planned.

    Raises:
        ValueError: more looks taken than planned.
    """
    if len(p_values) > len(counts):
        raise ValueError(f"{len(p_values)} looks were taken, {len(counts)} planned")
    found = [_least_level(p, counts, look) for look, p in enumerate(p_values) if p is not None]
    return min(found, default=None)


def _least_level(p: float, counts: Sequence[int], look: int) -> float:
    """The level at which this look alone rejects at `p`; 1 above `MOST`."""
    if len(counts) == 1 or p == 0:
        return p
    if p >= level_at(MOST, counts, look):
        return 1.0

    # A look's level is at most the whole, so the root is not below p.
    def lacking(log_level: float) -> float:
        return math.log(max(level_at(math.exp(log_level), counts, look), 1e-320) / p)

    lowest = math.log(p) - 1e-9  # beyond the rounding of the two logarithms
    return math.exp(optimize.brentq(lacking, lowest, math.log(MOST), xtol=1e-10))
