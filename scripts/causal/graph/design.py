"""From submissions to the table that the graph is estimated from: one column per factor.

A cell that nothing tells (`coding.Origin` "unknown") is the upstream baseline's value, and its
column says how many such cells it has (`Design.imputed`). READMEs tell what departs from the
baseline: of 167 cells that six READMEs of the real leaderboard leave open, the scripts beside
them have the baseline's value in 161, and the usual value of the day in 36. In worlds of known
truth (`benchmarks/worlds.py`, class "missing") the graph from cells so filled has an adjacency F1
of 0.80, as good as from complete cells (0.81), with unknown as a level of its own 0.78, with
draws from the told cells 0.67.

No score is left out for being strange. What makes scores incomparable is a column: the track, and
the evaluation factors, of which those that change what is measured (`REGIME`) go before all
others. The tests see the score's normal scores, so a wild one moves nothing by its size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interventions.vocabulary import Variable, load_variables
from scripts.causal.graph.coding import CodedVariable, Kind, Origin, code_variable
from scripts.causal.graph.context import LABELS, Context, read_context
from scripts.causal.graph.encode import Matrix, encode_column
from scripts.causal.graph.lineage import lineage_clusters, parent_rows
from scripts.causal.leaderboard.schema import Leaderboard

OUTCOME = "bpb"
CONTEXT = tuple(LABELS)
REGIME = ("ngram_mix", "slot")
LEAST_SUBMISSIONS = 12
LEAST_DEPARTURES = 4  # rows; whom fewer share is pooled, and what fewer do is no factor
# Rows whose score a factor moves by a whole standard deviation, as a share p of all, explain
# p (1 - p) of its variance: fewer than these cannot show.
LEAST_SHARE = 0.02
ROWS_PER_FACTOR = 4  # fewer leave an adjusted fit too few rows for its errors
LEAST_OF_ITS_OWN = 0.02  # share of a column's variance that the others must leave unexplained
RARE = "rare"

TIERS = {
    "context": 0,
    "architecture": 1,
    "data": 1,
    "optimization": 1,
    "loss": 1,
    "quantization": 2,
    "encoding": 2,
    "evaluation": 3,
    "outcome": 4,
}
Cause = Literal["never_varied", "too_few", "collinear"]


@dataclass(frozen=True)
class Column:
    """What one column of the table holds; `group` gives its tier."""

    id: str
    label: str
    kind: Kind
    group: str

    @property
    def tier(self) -> int:
        """Place in time: context, design, quantization and encoding, evaluation, outcome."""
        return TIERS[self.group]


@dataclass(frozen=True)
class Excluded:
    """A variable left out of the table: the cause, the words, and what it coincides with."""

    variable: str
    cause: Cause
    reason: str
    partners: tuple[str, ...] = ()


@dataclass(frozen=True)
class Design:
    """The table and everything that was decided in making it.

    Attributes:
        table: one row per scored submission; context, factors in vocabulary order, outcome.
            Numbers as floats, levels and flags as text, rare levels pooled as ``rare``.
        columns: column id → what it holds, in the table's order.
        clusters: lineage label per row.
        coded: every factor's uncut values, also of those left out.
        excluded: what was left out.
        imputed: column → rows whose value nothing tells.
        unquantified: column → rows that use the technique without stating a value.
        parents: per row the place in the table of the submission it builds on, None when that
            is not named, not there, or has no score.
        origins: factor of the table → how each row's value came about.
    """

    table: pd.DataFrame
    columns: Mapping[str, Column]
    clusters: tuple[str, ...]
    coded: Mapping[str, CodedVariable]
    excluded: tuple[Excluded, ...]
    imputed: Mapping[str, int]
    unquantified: Mapping[str, int]
    parents: tuple[int | None, ...]
    origins: Mapping[str, tuple[Origin, ...]]

    @property
    def factors(self) -> tuple[str, ...]:
        """The ids of the columns that somebody could set."""
        return tuple(c for c in self.columns if c != OUTCOME and c not in CONTEXT)


def _pool_rare(values: Sequence[object]) -> list[str]:
    """Return levels as text, those of fewer than LEAST_DEPARTURES rows under one name."""
    names = [str(value) for value in values]
    counts = Counter(names)
    return [name if counts[name] >= LEAST_DEPARTURES else RARE for name in names]


def _cells(coded: CodedVariable) -> list[float] | list[str]:
    if coded.kind == "numeric":
        return [float(value) for value in coded.values]
    return _pool_rare(coded.values)


def _departures(cells: Iterable[object]) -> int:
    """Return how many rows do not have the commonest value."""
    counts = Counter(cells)
    return sum(counts.values()) - max(counts.values(), default=0)


def _too_constant(coded: CodedVariable, rows: int) -> tuple[Cause, str] | None:
    """Return why a variable has too little variation to be compared, None when it has enough."""
    stated = rows - coded.count("unknown")
    if stated == 0:
        return "never_varied", f"no submission of {rows} mentions it"
    departing = min(_departures(coded.values), _departures(_cells(coded)))
    if _departures(coded.values) == 0:
        return "never_varied", f"all {rows} submissions have the same value, {coded.values[0]}"
    if departing < LEAST_DEPARTURES:
        return (
            "too_few",
            f"only {_departures(coded.values)} of {rows} submissions depart from the commonest "
            f"value; at least {LEAST_DEPARTURES} that agree on another are needed",
        )
    if departing < LEAST_SHARE * rows:
        return (
            "too_few",
            f"only {departing} of {rows} submissions depart from the commonest value, "
            f"less than {LEAST_SHARE:.0%}",
        )
    if stated < LEAST_DEPARTURES:
        return "too_few", f"only {stated} of {rows} submissions state it"
    return None


class _Columns:
    """The cells of every column, each encoded once."""

    def __init__(self, cells: Mapping[str, Sequence[float] | Sequence[str]]):
        self.cells = cells
        self._codes: dict[str, NDArray[np.intp]] = {}
        self._blocks: dict[str, Matrix] = {}

    def codes(self, name: str) -> NDArray[np.intp]:
        """Return which of its distinct values each row has, from 0, (n,)."""
        if name not in self._codes:
            self._codes[name] = pd.factorize(np.asarray(self.cells[name], dtype=object))[0]
        return self._codes[name]

    def block(self, name: str) -> Matrix:
        """Return the encoded column, (n, p)."""
        if name not in self._blocks:
            self._blocks[name] = encode_column(self.cells[name])
        return self._blocks[name]

    def splits_alike(self, one: str, other: str) -> bool:
        """Say whether two columns put the same rows together."""
        mine, theirs = self.codes(one), self.codes(other)
        count, width = int(mine.max(initial=-1)) + 1, int(theirs.max(initial=-1)) + 1
        return count == width == len(np.unique(mine * width + theirs))

    def determined(self, name: str, by: Sequence[str]) -> tuple[str, ...]:
        """Return those of `by` that together fix the column's ranks; empty when they do not."""
        block, base = self.block(name), np.hstack([self.block(other) for other in by])
        fitted, *_ = np.linalg.lstsq(base, block, rcond=None)
        left = block - base @ fitted
        if np.any(np.sum(left**2, axis=0) >= LEAST_OF_ITS_OWN * np.sum(block**2, axis=0)):
            return ()
        weight = np.abs(fitted).max(axis=1)
        owners = [other for other in by for _ in range(self.block(other).shape[1])]
        named = {owner for owner, w in zip(owners, weight, strict=True) if w > 0.1}
        return tuple(other for other in by if other in named) or tuple(by)

    def collinear(self, name: str, kept: Sequence[str]) -> tuple[str, ...]:
        """Return the kept columns that together determine this one; empty when none do.

        A single column that splits the submissions in the same way is looked for first; then the
        encoded columns are compared by rank, one by one and all together.
        """
        for other in kept:
            if self.splits_alike(name, other):
                return (other,)
        for group in [*([other] for other in kept), list(kept)]:
            if group and (found := self.determined(name, group)):
                return found
        return ()


def _set_aside_context(
    columns: _Columns, wanted: Sequence[str], rows: int
) -> tuple[list[str], list[Excluded]]:
    """Return the context columns that vary, and those that do not or that others determine."""
    kept: list[str] = []
    excluded: list[Excluded] = []
    for name in wanted:
        cells = columns.cells[name]
        if len(set(cells)) < 2:
            reason = f"the same in all {rows} scored submissions"
            excluded.append(Excluded(name, "never_varied", reason))
        elif _departures(cells) < LEAST_DEPARTURES:
            reason = f"only {_departures(cells)} of {rows} submissions differ from the rest"
            excluded.append(Excluded(name, "too_few", reason))
        elif partners := columns.collinear(name, kept):
            excluded.append(_copy_of(name, partners))
        else:
            kept.append(name)
    return kept, excluded


def _copy_of(name: str, partners: tuple[str, ...]) -> Excluded:
    text = ", ".join(partners)
    return Excluded(name, "collinear", f"cannot be told apart from {text} in these rows", partners)


def _choose_factors(
    columns: _Columns,
    coded: Mapping[str, CodedVariable],
    context: Sequence[str],
    rows: int,
    limit: int,
) -> tuple[list[str], list[Excluded]]:
    """Return the factors that are taken, at most `limit`, and why the others are not.

    Args:
        columns: of the context and of every factor.
        coded: every factor, in vocabulary order.
        context: the columns already taken; a factor that they determine is not.
        rows: of the table.
        limit: most factors that these rows can bear.
    """
    chosen: list[str] = []
    excluded: list[Excluded] = []
    worth = []
    for index, (name, variable) in enumerate(coded.items()):
        fault = _too_constant(variable, rows)
        if fault:
            excluded.append(Excluded(name, *fault))
        else:
            worth.append((name not in REGIME, -_departures(columns.cells[name]), index, name))
    for _, departures, _, name in sorted(worth):
        partners = columns.collinear(name, [*context, *chosen])
        if partners:
            excluded.append(_copy_of(name, partners))
        elif len(chosen) >= limit:
            excluded.append(
                Excluded(
                    name,
                    "too_few",
                    f"too few submissions to separate: {-departures} of {rows} depart from its "
                    f"commonest value, and {rows} rows support the {limit} most varied factors",
                )
            )
        else:
            chosen.append(name)
    return chosen, excluded


def _describe(
    context: Iterable[Context],
    variables: Mapping[str, Variable],
    coded: Mapping[str, CodedVariable],
) -> dict[str, Column]:
    """Return what each column would hold: context, factors in vocabulary order, outcome."""
    return {
        **{one.id: Column(one.id, LABELS[one.id], one.kind, "context") for one in context},
        **{
            name: Column(name, name.replace("_", " "), coded[name].kind, variable.group)
            for name, variable in variables.items()
        },
        OUTCOME: Column(OUTCOME, "validation bpb", "numeric", "outcome"),
    }


def build_design(
    leaderboard: Leaderboard,
    *,
    variables: Mapping[str, Variable] | None = None,
    most_factors: int | None = None,
    context: Sequence[str] = CONTEXT,
) -> Design:
    """Return the design matrix of the submissions that state a score.

    Factors are taken in the order of how many submissions depart from their commonest value (the
    more, the more the rows can say), those of REGIME first, at most one per ROWS_PER_FACTOR rows;
    the rest are set aside and named.

    Args:
        leaderboard: all submissions; those without a score still tell what others inherit.
        variables: the vocabulary; None for the repository's.
        most_factors: take no more than so many.
        context: which context columns to take.

    Returns:
        The design; of an empty leaderboard one without rows.
    """
    variables = load_variables() if variables is None else variables
    everyone = leaderboard.submissions
    places = [place for place, one in enumerate(everyone) if one.val_bpb is not None]
    scored = [everyone[place] for place in places]
    rows = len(scored)
    ancestry = parent_rows(everyone)
    row_of = {place: row for row, place in enumerate(places)}
    surroundings = {
        one.id: one for one in read_context(everyone, ancestry, places) if one.id in context
    }
    coded = {
        name: code_variable(variable, everyone, ancestry).take(places)
        for name, variable in variables.items()
    }
    cells = {
        **{
            name: one.cells if one.kind == "numeric" else _pool_rare(one.cells)
            for name, one in surroundings.items()
        },
        **{name: _cells(one) for name, one in coded.items()},
        OUTCOME: [float(one.val_bpb) for one in scored if one.val_bpb is not None],
    }
    columns = _describe(surroundings.values(), variables, coded)
    encoded = _Columns(cells)
    kept, no_context = _set_aside_context(encoded, list(surroundings), rows)
    limit = rows // ROWS_PER_FACTOR
    limit = limit if most_factors is None else min(limit, most_factors)
    chosen, no_factors = _choose_factors(encoded, coded, kept, rows, limit)
    kept, excluded = kept + chosen, no_context + no_factors
    order = [name for name in columns if name in {*kept, OUTCOME}]
    place = {name: index for index, name in enumerate(columns)}
    imputed = {n: coded[n].count("unknown") for n in order if n in coded}
    imputed |= {n: one.guessed for n, one in surroundings.items() if n in order}
    unquantified = {n: coded[n].count("used_without_value") for n in order if n in coded}
    return Design(
        table=pd.DataFrame({n: cells[n] for n in order}, index=[one.id for one in scored]),
        columns={name: columns[name] for name in order},
        clusters=lineage_clusters(scored),
        coded=coded,
        excluded=tuple(sorted(excluded, key=lambda one: place[one.variable])),
        imputed={name: count for name, count in imputed.items() if count},
        unquantified={name: count for name, count in unquantified.items() if count},
        parents=tuple(
            None if parent is None else row_of.get(parent)
            for parent in (ancestry[place] for place in places)
        ),
        origins={name: coded[name].origins for name in order if name in coded},
    )
