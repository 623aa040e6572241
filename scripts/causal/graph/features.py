"""What a submission is made of, as columns in which one unit is one whole change of a variable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interventions.vocabulary import Value
from scripts.causal.graph.coding import CodedVariable
from scripts.causal.graph.design import CONTEXT, LEAST_DEPARTURES, Design
from scripts.causal.graph.regression import Model
from scripts.causal.graph.schema import Level

MOST_KNOTS = 7  # the commonest; more would be of too few rows each
NEAR = 0.01  # 786000 tokens are 786432
Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Feature:
    """One variable's columns over the rows of the design.

    Attributes:
        variable: vocabulary id.
        off: the level that every column is compared with.
        levels: one per column. A numeric variable is a line broken at these values, so that a
            column says how much nearer to its value than to the next ones a row lies.
        columns: (rows, levels); a row at `off`, or of which nothing is known, holds zeros, and so
            does one at a level that too few have (three rows of the real leaderboard's 1037 that
            tell their quantization): it counts as `off`.
        told: whether the row's value is told, by itself, its script or an ancestor.
        guessed: the value is taken to be `off` wherever it is not told, since too few rows tell
            that they do without.
    """

    variable: str
    off: Level
    levels: tuple[Level, ...]
    columns: Numbers
    told: Flags
    guessed: bool


@dataclass(frozen=True)
class Panel:
    """Rows, or differences of rows, with the model fitted to them.

    Attributes:
        features: by variable; their columns are those of the design, not of the differences.
        places: variable → its columns' places among the model's nuisance columns.
        moves: variable → rows that speak of it: departing from `off`, or changing it.
        model: None where none can be fitted; `why` says why.
    """

    features: Mapping[str, Feature]
    places: Mapping[str, tuple[int, ...]]
    moves: Mapping[str, Flags]
    model: Model | None
    why: str = ""


def context_columns(design: Design) -> Numbers:
    """Return the intercept, the date on unit scale and the track's indicators, (n, q)."""
    rows = len(design.table)
    columns = [np.ones(rows)]
    for name in CONTEXT:
        if name not in design.table:
            continue
        cells = design.table[name].tolist()
        if isinstance(cells[0], str):
            columns += [
                np.array([float(cell == level) for cell in cells])
                for level in sorted(set(cells))[1:]
            ]
        else:
            numbers = np.array(cells, dtype=float)
            columns.append((numbers - numbers.mean()) / (numbers.std() or 1.0))
    return np.column_stack(columns)


def _numbers(levels: Sequence[Level]) -> list[float]:
    return [float(one) for one in levels if not isinstance(one, str)]


def _hats(values: Numbers, off: float, levels: Sequence[float]) -> Numbers:
    """Return the basis of a broken line through 0 at `off`, (n,) → (n, levels).

    Beyond the outermost knots the line stays at their height: what nobody tried is not guessed.
    """
    knots = np.array(sorted([off, *levels]))
    return np.column_stack(
        [np.interp(values, knots, (knots == level).astype(float)) for level in levels]
    )


def _common(values: Sequence[Value], least: int) -> list[Value]:
    """Return the levels of at least `least` rows, the commonest first."""
    counts = Counter(values)
    often = [one for one in counts if counts[one] >= least]
    return sorted(often, key=lambda one: (-counts[one], str(one)))


def _knots(levels: Sequence[float]) -> list[float]:
    """Return the commonest levels, none within NEAR of a commoner one, in rising order."""
    kept: list[float] = []
    for level in levels:
        if all(abs(level - one) > NEAR * max(abs(level), abs(one)) for one in kept):
            kept.append(level)
    return sorted(kept[:MOST_KNOTS])


def _feature(name: str, coded: CodedVariable, least: int) -> Feature | None:
    """Return the variable's columns, None when too few rows depart from its `off`."""
    told = np.array([origin != "unknown" for origin in coded.origins])
    values = [value for value, known in zip(coded.values, told, strict=True) if known]
    levels = [one for one in _common(values, least) if one != coded.off]
    guessed = values.count(coded.off) < least
    if guessed and coded.kind == "numeric" and len(levels) > 1 and np.all(told):
        off: Value = levels.pop(0)  # all are told and nobody is at the baseline
        guessed = False
    else:
        off = coded.off
    if not levels:
        return None
    if coded.kind == "numeric":
        steps = _knots([float(one) for one in levels])
        numbers = np.array([float(one) for one in coded.values])
        columns = _hats(numbers, float(off), steps)
        columns[~told] = 0.0
        return Feature(name, float(off), tuple(steps), columns, told, guessed)
    columns = np.array([[float(cell == one) for one in levels] for cell in coded.values])
    columns[~told] = 0.0
    return Feature(name, off, tuple(levels), columns, told, guessed)


def features(design: Design, least: int = LEAST_DEPARTURES) -> dict[str, Feature]:
    """Return the columns of every variable that at least `least` rows depart in."""
    found = {name: _feature(name, coded, least) for name, coded in design.coded.items()}
    return {name: one for name, one in found.items() if one is not None}
