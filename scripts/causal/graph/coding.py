"""From what a submission says of a variable to one comparable value.

A README may give a value, say only that a technique is used, say that it is not, or say nothing.
The four are told apart here and counted, so that no reader takes a guess for a statement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from interventions.vocabulary import Value, Variable
from scripts.causal.leaderboard.schema import Submission

Kind = Literal["numeric", "categorical", "binary"]
Origin = Literal["stated", "used_without_value", "unstated"]


@dataclass(frozen=True)
class CodedVariable:
    """One variable over all submissions, in their order.

    Attributes:
        kind: as in the vocabulary; binary for a numeric variable of which nobody gives a value.
        values: one per submission: numbers, level names, or True/False.
        off: the value that stands for "not used, or as in the baseline".
        typical: the value taken where a technique is used without a value.
        origins: how each value came about.
    """

    kind: Kind
    values: tuple[Value, ...]
    off: Value
    typical: Value
    origins: tuple[Origin, ...]

    def count(self, origin: Origin) -> int:
        """Return how many values came about in this way."""
        return self.origins.count(origin)


def _read(variable: Variable, submission: Submission) -> tuple[Value | None, Origin]:
    """Return the value (None when it is used without one) and how it came about."""
    off: Value = False if variable.kind == "binary" else variable.baseline
    if variable.id not in submission.techniques:
        if variable.id in submission.absent:
            return off, "stated"
        return variable.baseline, "unstated"
    value = submission.techniques[variable.id]
    if value is False:
        return off, "stated"
    try:
        value = variable.check(value)
    except ValueError:
        # True for a number, a level we do not know, or words where a number belongs.
        return (True, "stated") if variable.kind == "binary" else (None, "used_without_value")
    return (float(value) if variable.kind == "numeric" else value), "stated"


def _typical(variable: Variable, values: Sequence[Value | None]) -> Value | None:
    """Return the usual value of those who use the variable and say which; None when nobody does.

    The median of numbers and the commonest level, over values other than the baseline's.
    """
    given = [value for value in values if value is not None and value != variable.baseline]
    if not given:
        return None
    if variable.kind == "numeric":
        return float(median(float(value) for value in given))
    counts = Counter(given)
    return min(counts, key=lambda level: (-counts[level], str(level)))


def code_variable(variable: Variable, submissions: Sequence[Submission]) -> CodedVariable:
    """Return the variable's value in each submission.

    An unstated value is the vocabulary's baseline. A technique that is used without a value gets
    the usual value of the submissions that state one; when none does, the variable is reduced to
    used / not used.
    """
    read = [_read(variable, submission) for submission in submissions]
    origins = tuple(origin for _, origin in read)
    typical = _typical(variable, [value for value, _ in read])
    if typical is None and "used_without_value" in origins:
        used = tuple(origin == "used_without_value" for origin in origins)
        return CodedVariable("binary", used, False, True, origins)
    off: Value = variable.baseline
    if variable.kind == "numeric":
        off = float(off)
    if typical is None:
        typical = off
    values = tuple(
        typical if value is None else (float(value) if variable.kind == "numeric" else value)
        for value, _ in read
    )
    kind: Kind = variable.kind  # type: ignore[assignment]
    return CodedVariable(kind, values, off, typical, origins)
