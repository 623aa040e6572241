"""From submissions to the table that the graph is estimated from: one column per factor."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np
import pandas as pd

from interventions.vocabulary import Variable, load_variables
from scripts.causal.graph.coding import CodedVariable, Kind, Origin, code_variable
from scripts.causal.graph.encode import encode_column
from scripts.causal.graph.lineage import lineage_clusters, parent_rows
from scripts.causal.leaderboard.schema import Leaderboard, Submission

OUTCOME = "bpb"
CONTEXT = ("date", "track")
LEAST_SUBMISSIONS = 12
LEAST_DEPARTURES = 4
MOST_FACTORS = 14
ROWS_PER_FACTOR = 4
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


def days(date: str | None) -> float | None:
    """Return an ISO date as days since 1970, None when it is not one."""
    try:
        return float(datetime.date.fromisoformat((date or "")[:10]).toordinal() - 719163)
    except ValueError:
        return None


def _context(submissions: Sequence[Submission]) -> tuple[dict[str, list[float | str]], int]:
    """Return the context columns and how many dates had to be taken to be the median one."""
    given = [days(one.date) for one in submissions]
    known = [day for day in given if day is not None]
    usual = float(median(known)) if known else 0.0
    dates: list[float | str] = [usual if day is None else day for day in given]
    tracks: list[float | str] = [one.track or "unstated" for one in submissions]
    return {"date": dates, "track": tracks}, given.count(None)


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
    if stated < LEAST_DEPARTURES:
        return "too_few", f"only {stated} of {rows} submissions state it"
    return None


def _collinear(
    name: str, cells: Mapping[str, Sequence[float] | Sequence[str]], kept: Sequence[str]
) -> tuple[str, ...]:
    """Return the kept columns that together determine this one; empty when none do.

    A single column that splits the submissions in the same way is looked for first; then the
    encoded columns are compared by rank.
    """
    mine = pd.factorize(np.asarray(cells[name], dtype=object))[0]
    for other in kept:
        theirs = pd.factorize(np.asarray(cells[other], dtype=object))[0]
        pairs = len(set(zip(mine.tolist(), theirs.tolist(), strict=True)))
        if pairs == len(set(mine.tolist())) == len(set(theirs.tolist())):
            return (other,)
    block = encode_column(cells[name])
    for size in ("one", "all"):
        for group in [[other] for other in kept] if size == "one" else [list(kept)]:
            if not group:
                continue
            base = np.hstack([encode_column(cells[other]) for other in group])
            fitted, *_ = np.linalg.lstsq(base, block, rcond=None)
            left = block - base @ fitted
            if np.all(np.sum(left**2, axis=0) < 0.02 * np.sum(block**2, axis=0)):
                weight = np.abs(fitted).max(axis=1)
                owners = [o for o in group for _ in range(encode_column(cells[o]).shape[1])]
                named = {o for o, w in zip(owners, weight, strict=True) if w > 0.1}
                return tuple(o for o in group if o in named) or tuple(group)
    return ()


def build_design(
    leaderboard: Leaderboard,
    *,
    variables: Mapping[str, Variable] | None = None,
    most_factors: int = MOST_FACTORS,
) -> Design:
    """Return the design matrix of the submissions that state a score.

    Factors are taken in the order of how many submissions depart from their commonest value (the
    more, the more the rows can say), at most one per ROWS_PER_FACTOR rows and `most_factors` in
    all; the rest are set aside and named. The date and the track are always context columns.
    """
    variables = load_variables() if variables is None else variables
    everyone = leaderboard.submissions
    places = [place for place, one in enumerate(everyone) if one.val_bpb is not None]
    scored = [everyone[place] for place in places]
    rows = len(scored)
    ancestry = parent_rows(everyone)
    row_of = {place: row for row, place in enumerate(places)}
    context, undated = _context(scored)
    coded = {
        name: code_variable(variable, everyone, ancestry).take(places)
        for name, variable in variables.items()
    }
    cells: dict[str, list[float] | list[str]] = {
        "date": [float(day) for day in context["date"]],
        "track": _pool_rare(context["track"]),
        **{name: _cells(one) for name, one in coded.items()},
        OUTCOME: [float(one.val_bpb) for one in scored if one.val_bpb is not None],
    }
    columns = {
        "date": Column("date", "date", "numeric", "context"),
        "track": Column("track", "track", "categorical", "context"),
        **{
            name: Column(name, name.replace("_", " "), coded[name].kind, variable.group)
            for name, variable in variables.items()
        },
        OUTCOME: Column(OUTCOME, "validation bpb", "numeric", "outcome"),
    }
    excluded: list[Excluded] = []
    kept: list[str] = []
    for name in CONTEXT:
        if len(set(cells[name])) < 2:
            excluded.append(
                Excluded(name, "never_varied", f"the same in all {rows} scored submissions")
            )
        else:
            kept.append(name)
    worth = []
    for index, name in enumerate(variables):
        fault = _too_constant(coded[name], rows)
        if fault:
            excluded.append(Excluded(name, *fault))
        else:
            worth.append((-_departures(cells[name]), index, name))
    limit = min(most_factors, rows // ROWS_PER_FACTOR)
    chosen = 0
    for departures, _, name in sorted(worth):
        partners = _collinear(name, cells, kept)
        if partners:
            text = ", ".join(partners)
            excluded.append(
                Excluded(
                    name, "collinear", f"cannot be told apart from {text} in these rows", partners
                )
            )
        elif chosen >= limit:
            excluded.append(
                Excluded(
                    name,
                    "too_few",
                    f"too few submissions to separate: {-departures} of {rows} depart from its "
                    f"commonest value, and {rows} rows support the {limit} most varied factors",
                )
            )
        else:
            kept.append(name)
            chosen += 1
    order = [name for name in columns if name in {*kept, OUTCOME}]
    place = {name: index for index, name in enumerate(columns)}
    imputed = {n: coded[n].count("unknown") for n in order if n in coded}
    if undated and "date" in order:
        imputed["date"] = undated
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
