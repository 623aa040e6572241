"""The tests of one confirmatory family: p-values at every look taken, adjusted by Holm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scripts.causal.campaign.measured import Measured
from scripts.causal.campaign.schema import VariancePrior
from scripts.causal.campaign.screened import moderated_estimate
from scripts.causal.stats import paired
from scripts.causal.stats.equivalence import tost_p
from scripts.causal.stats.family import holm
from scripts.causal.stats.looks import level_at, sequential_p
from scripts.causal.stats.paired import Estimate


@dataclass(frozen=True)
class PValues:
    """The p-values of one contrast in its family; None where undefined.

    The adjusted ones rest on all looks taken, the others on the last.
    """

    difference: float | None = None
    difference_adjusted: float | None = None
    equivalence: float | None = None
    equivalence_adjusted: float | None = None


@dataclass(frozen=True)
class Terms:
    """What every verdict of a cycle is judged by.

    Attributes:
        share: the cycle's part of alpha.
        seeds: the cycle's fresh seeds in the order planned.
        looks: how many of them each planned look has; the last one has all.
    """

    share: float
    family_size: int
    mde: float
    prior: VariancePrior | None
    seeds: tuple[int, ...]
    looks: tuple[int, ...]

    def taken(self, measured: Measured) -> int:
        """At how many of the looks a contrast has all its seeds; at least 1."""
        return max(1, sum(count <= len(measured.seeds) for count in self.looks))

    def level(self, measured: Measured) -> float:
        """The level of the contrast's last test, were it alone in its family."""
        return level_at(self.share, self.looks, self.taken(measured) - 1)


def claim(
    measured: Measured, screened: Measured | None, prior: VariancePrior | None
) -> Estimate | None:
    """The estimate on fresh seeds that a claim can rest on, if there is one.

    One pair has no spread of its own to set against the prior; bit-identical arms need no test.
    """
    if measured.phase != "confirm" or len(measured.pairs) < 2 or measured.identical:
        return None
    estimate = moderated_estimate(measured, prior, screened)
    return estimate if estimate is not None and estimate.testable else None


def family_p_values(
    confirms: Mapping[str, Measured], screens: Mapping[str, Measured], terms: Terms
) -> dict[str, PValues]:
    """Test every contrast of a family at each look it took, for a difference and equivalence.

    Args:
        confirms: contrast → its fresh seeds; all of them are the family.
        screens: contrast → its screening seeds, whose variance the moderated t borrows.
        terms: what the cycle judges by.
    """
    by_look = [_claims(one, screens.get(name), terms) for name, one in confirms.items()]

    def each(p_value: Callable[[Estimate], float | None]) -> list[list[float | None]]:
        return [[None if one is None else p_value(one) for one in claims] for claims in by_look]

    def adjusted(p_values: list[list[float | None]]) -> list[float | None]:
        return holm([sequential_p(each, terms.looks) for each in p_values])

    difference = each(paired.p_value)
    equivalence = each(lambda estimate: tost_p(estimate, terms.mde))
    columns = zip(
        [p_values[-1] for p_values in difference],
        adjusted(difference),
        [p_values[-1] for p_values in equivalence],
        adjusted(equivalence),
        strict=True,
    )
    return {name: PValues(*row) for name, row in zip(confirms, columns, strict=True)}


def _claims(measured: Measured, screened: Measured | None, terms: Terms) -> list[Estimate | None]:
    """`claim` at each look taken; None at one whose sign the last does not bear out."""
    last = claim(measured, screened, terms.prior)
    earlier = [
        claim(measured.among(terms.seeds[:count]), screened, terms.prior)
        for count in terms.looks[: terms.taken(measured) - 1]
    ]
    return [
        one if one is not None and last is not None and one.mean * last.mean > 0 else None
        for one in earlier
    ] + [last]
