"""Turning an estimate of one value against another to the direction that a contrast goes."""

from __future__ import annotations

from scripts.causal.campaign.schema import Value
from scripts.causal.graph.schema import Estimate, Level


def aligned(estimate: Estimate, control: Value | None, treatment: Value | None) -> Estimate | None:
    """Return the estimate in the direction control → treatment, its sign turned where needed.

    Numbers need not agree: 9 → 11 speaks for 2 → 3 in direction, and against 3 → 2; how much is
    for the reader of its levels to judge. Categories must agree, for the effect of one says
    nothing about another.

    Args:
        estimate: the evidence.
        control: the variable's value in the control; None when it has none.
        treatment: its value in the treatment.

    Returns:
        None when the estimate compares something else.
    """
    before, after = estimate.before, estimate.after
    if control is None or treatment is None:
        return None
    if _is(before, control) and _is(after, treatment):
        return estimate
    if _is(before, treatment) and _is(after, control):
        return estimate.turned()
    sign = _step(before, after) * _step(control, treatment)
    if sign == 0:
        return None
    return estimate if sign > 0 else estimate.turned()


def _is(level: Level, value: Value) -> bool:
    """Does a level mean this value? True stands for every value but the one that is off."""
    if level is True:
        return value not in (0, "none")
    return level == value


def _step(before: Level, after: Level) -> int:
    """Return +1 for a larger number, −1 for a smaller one, 0 where there is no order."""
    if isinstance(before, bool | str) or isinstance(after, bool | str):
        return 0
    return (after > before) - (after < before)
