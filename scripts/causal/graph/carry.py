"""Estimates of a variable carried to the very contrast that is asked about, and at what cost.

A README compares 9 with 11 layers, a campaign asks about 9 against 10: the estimate speaks of it
on a line, the less surely the less of the line it covers. Estimates from a to b and from b to c
together speak of a to c.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from scripts.causal.graph.schema import QUANTILE, Estimate, Level

Kind = Literal["reported", "differences", "identified", "associated", "tested"]
LEARNT: tuple[Kind, ...] = ("reported", "differences", "identified", "associated")
# A value on a line between others, per unit of the line that the evidence does not cover.
BEND = 0.5


def kind_of(estimate: Estimate) -> Kind:
    """Return the kind of source that the estimate is."""
    if estimate.source != "observed":
        return estimate.source
    if estimate.method == "differences":
        return "differences"
    return "associated" if estimate.identified is False else "identified"


def same(one: Level, other: Level) -> bool:
    """Say whether two levels are one; True is no 1, and False no 0."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _used(level: Level) -> bool:
    return level is not False and level not in {0, "none"}


@dataclass(frozen=True)
class Evidence:
    """An estimate turned to the contrast asked about, with what carrying it there may cost."""

    estimate: Estimate
    extra: float = 0.0

    @property
    def tau(self) -> float:
        """How far one stack lies from the mean over stacks, as far as it tells."""
        return self.estimate.tau or 0.0

    @property
    def variance(self) -> float:
        """Of its error about the mean over stacks, apart from the spread of its kind."""
        return self.estimate.se**2 + self.extra**2


def turned(estimate: Estimate, before: Level, after: Level) -> Estimate | None:
    """Return the estimate in the direction asked about; None when it compares something else."""
    if same(estimate.before, before) and same(estimate.after, after):
        return estimate
    if same(estimate.before, after) and same(estimate.after, before):
        return estimate.turned()
    return None


def _scaled(estimate: Estimate, before: Level, after: Level, factor: float) -> Estimate:
    low, high = sorted((estimate.low * factor, estimate.high * factor))
    bounds = estimate.bounds
    return estimate.model_copy(
        update={
            "before": before,
            "after": after,
            "effect": estimate.effect * factor,
            "low": low,
            "high": high,
            "bounds": None
            if bounds is None
            else tuple(sorted((bounds[0] * factor, bounds[1] * factor))),
            "tau": None if estimate.tau is None else estimate.tau * abs(factor),
        }
    )


def _composed(first: Estimate, second: Estimate, before: Level, after: Level) -> Estimate:
    """Return before → after from two estimates against a common level.

    Their errors are taken for independent. Of two levels in one regression they share that of the
    common level, so that the interval is rather too wide.
    """
    taus = [one.tau for one in (first, second) if one.tau is not None]
    effect = second.effect - first.effect
    half = QUANTILE * float(np.hypot(first.se, second.se))
    return second.model_copy(
        update={
            "before": before,
            "after": after,
            "effect": effect,
            "low": effect - half,
            "high": effect + half,
            "n": min(first.n, second.n),
            "bounds": None,
            "tau": float(np.hypot.reduce(taus)) if taus else None,
        }
    )


def _on_line(estimate: Estimate, before: Level, after: Level, typical: float) -> Evidence | None:
    """Return the estimate carried along a line; None where the two do not overlap."""
    ends = [
        float(one)
        for one in (estimate.before, estimate.after, before, after)
        if not isinstance(one, bool | str)
    ]
    if len(ends) < 4:
        return None
    low, high, here, there = ends
    if low == high or here == there:
        return None
    factor = (there - here) / (high - low)
    if not 1 / 3 <= abs(factor) <= 3:
        return None
    mine, theirs = sorted((here, there)), sorted((low, high))
    union = max(mine[1], theirs[1]) - min(mine[0], theirs[0])
    common = min(mine[1], theirs[1]) - max(mine[0], theirs[0])
    if common <= 0:
        return None
    missed = 1 - common / union
    carried = _scaled(estimate, before, after, factor)
    return Evidence(carried, BEND * missed * (abs(carried.effect) + typical))


def _any_value(
    group: Sequence[Estimate], before: Level, after: Level, typical: float
) -> Evidence | None:
    """Return evidence between "used at whatever value" and one value; None where there is none."""
    flags = sum(isinstance(one, bool) for one in (before, after))
    candidates = []
    for one in (*group, *(each.turned() for each in group)):
        if _used(one.before) or not _used(one.after) or _used(before) or not _used(after):
            continue
        if one.after is True or (after is True and flags):
            candidates.append(one)
    if not candidates:
        return None
    best = min(candidates, key=lambda one: (one.se, -one.n))
    carried = best.model_copy(update={"before": before, "after": after})
    return Evidence(carried, BEND * typical)


def _about(
    group: Sequence[Estimate], before: Level, after: Level, typical: float
) -> Evidence | None:
    """Return what the estimates of one kind and one variable say of a contrast."""
    for one in group:
        if (same_contrast := turned(one, before, after)) is not None:
            return Evidence(same_contrast)
    against: dict[str, list[Estimate]] = {"before": [], "after": []}
    for one in group:
        for side, level in (("before", before), ("after", after)):
            against[side] += [one] if same(one.after, level) else []
    for first in against["before"]:
        for second in against["after"]:
            if same(first.before, second.before):
                return Evidence(_composed(first, second, before, after))
    carried = [found for one in group if (found := _on_line(one, before, after, typical))]
    if _used(before):
        back = _any_value(group, after, before, typical)
        carried += [replace(back, estimate=back.estimate.turned())] if back else []
    else:
        found = _any_value(group, before, after, typical)
        carried += [found] if found else []
    return min(carried, key=lambda one: one.estimate.se**2 + one.extra**2, default=None)


def evidence_about(
    estimates: Sequence[Estimate], before: Level, after: Level, typical: float
) -> tuple[Evidence, ...]:
    """Return, one per kind of source, what a variable's estimates say of before → after.

    The very contrast where it was estimated; else the difference of two against a common level;
    for numbers, the nearest contrast on a straight line; "used at whatever value" for one value.
    Carrying over adds half a typical effect, for a line half of it per share not covered.
    """
    found = []
    for kind in ("tested", *LEARNT):
        group = [one for one in estimates if kind_of(one) == kind]
        one = _about(group, before, after, typical)
        if one is not None:
            found.append(one)
    return tuple(found)


def contrasts(estimates: Sequence[Estimate]) -> tuple[tuple[Level, Level], ...]:
    """Return the contrasts that some estimate is about, each in one direction."""
    found: list[tuple[Level, Level]] = []
    for one in estimates:
        if not any(
            (same(one.before, b) and same(one.after, a))
            or (same(one.before, a) and same(one.after, b))
            for b, a in found
        ):
            found.append((one.before, one.after))
    return tuple(found)


def direction(before: Level, after: Level) -> int:
    """Return +1 where something comes into use, -1 where it goes out of use, else 0."""
    return int(_used(after)) - int(_used(before))
