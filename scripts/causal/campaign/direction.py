"""Estimates say ``a → b`` with the usual value first; a contrast may go from b to a."""

from __future__ import annotations

import re

from scripts.causal.campaign.schema import Value
from scripts.causal.graph.schema import Estimate

# "9 → 11 (linear), adjusted for date, track": the levels and what is said about them.
COMPARISON = re.compile(r"(?P<before>.+?) → (?P<after>[^,(]+?)(?P<rest> \(.*|, .*)?")
OFF, ON = frozenset({"without", "false", "off"}), frozenset({"with", "true", "on"})


def aligned(estimate: Estimate, control: Value | None, treatment: Value | None) -> Estimate | None:
    """Return the estimate in the direction control → treatment, its sign turned where needed.

    Numbers need not agree: 9 → 11 speaks for 2 → 3 in direction, and against 3 → 2; how much is
    for the reader of its `contrast` to judge. Categories must agree, for the effect of one says
    nothing about another.

    Args:
        estimate: with a contrast written ``before → after``.
        control: the variable's value in the control; None when it has none.
        treatment: its value in the treatment.

    Returns:
        None when the estimate compares something else, or its contrast cannot be read.
    """
    match = COMPARISON.fullmatch(estimate.contrast)
    if match is None or control is None or treatment is None:
        return None
    before, after = match["before"], match["after"]
    sign = 0.0
    if _is(before, control) and _is(after, treatment):
        sign = 1.0
    elif _is(before, treatment) and _is(after, control):
        sign = -1.0
    elif _number(control) is not None and _number(treatment) is not None:
        sign = _step(_number(before), _number(after)) * _step(_number(control), _number(treatment))
    if sign > 0:
        return estimate
    if sign < 0:
        return estimate.model_copy(
            update={
                "effect": -estimate.effect,
                "low": -estimate.high,
                "high": -estimate.low,
                "contrast": f"{after} → {before}{match['rest'] or ''}",
            }
        )
    return None


def _is(level: str, value: Value) -> bool:
    """Does a level as an estimate writes it mean this value?"""
    word = level.strip().casefold()
    if isinstance(value, bool):
        return word in (ON if value else OFF)
    if isinstance(value, str):
        return level.strip() == value
    if word in ON | OFF:
        return (word in ON) == (value != 0)
    return _number(level) == value


def _number(value: Value | str) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _step(before: float | None, after: float | None) -> float:
    if before is None or after is None or before == after:
        return 0.0
    return 1.0 if after > before else -1.0
