"""What every reader of contrasts shares: the sign, the unit, the words for better and worse."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from interventions.keywords import guarded
from scripts.causal.leaderboard.document import Document, Table
from scripts.causal.leaderboard.schema import Ablation, Source
from scripts.causal.leaderboard.tables import Columns, cell, cell_delta, cell_score, columns_of

WORSE = re.compile(
    r"\bwors|\bhurts?\b|\bdegrad|\bregress|\bcosts?\b|\bpenalt|\bharm|\blos[est]|\bhigher\b|"
    r"\bsacrific|\bbehind\b|\bincreas",
    re.IGNORECASE,
)
BETTER = re.compile(
    r"\bimprov|\bbetter|\bgain|\bsav(?:es|ing)|\bhelp|\breduc|\blower|\bdrop|\bbenefit|\bboost|"
    r"\bwins?\b|\bcontribut|\bbeats?\b|\boutperform|\bbeating|\bdelivers?\b|\bgives?\b|\bcut|\brecover",
    re.IGNORECASE,
)
GAIN = re.compile(r"gain|improve|benefit|reduction|saving|recover", re.IGNORECASE)
"""Titles of columns in which good is positive, whatever the author writes elsewhere."""
NOT_RUN = guarded(
    r"\bexpected|\bproject(?:ed|ion)|\bestimat|\bplanned|\bnext (?:step|up|experiment)|"
    r"\bfuture(?! (?:byte|token|hidden|latent|embedding|state))|"
    r"\broadmap|\best(?:\.|[_ ]bp[bp])|\bto ?do\b|\bextrapolat|\bhypothes|"
    r"\b(?:we|i)(?:'d| would)\b|"
    r"\bwith more (?:compute|time)\b",
    re.IGNORECASE,
)
_ANOTHER = re.compile(r"#\d{2,5}|\bSOTA\b|\bbaseline\b", re.IGNORECASE)
_VALUE = re.compile(r"\s?=\s?[~+-]?\d(?:[\w.%-]|,\d{3})*|\s\d[\d.,]*(?:e-?\d+)?[km%x]?\s*$")


@dataclass(frozen=True)
class Reading:
    """A README with what its author's numbers mean.

    Attributes:
        positive_is_better: the author writes improvements as positive numbers.
        used: the techniques of the submission itself.
    """

    document: Document
    positive_is_better: bool = False
    used: frozenset[str] = frozenset()


def reading_of(document: Document, used: Iterable[str] = ()) -> Reading:
    """Find the author's sign convention; `used` are the submission's own techniques."""
    signs = [
        sign
        for table in document.tables
        for columns in [columns_of(table)]
        if not (columns.delta and GAIN.search(table.header[columns.delta[-1]]))
        if not _of_others(table, columns)
        if (sign := author_sign(table, columns)) is not None
    ]
    return Reading(document, bool(signs) and max(signs) < 0, frozenset(used))


def _of_others(table: Table, columns: Columns) -> bool:
    """Whether each row with a change is another submission: how far this one is from it."""
    labels = [
        cell(row, columns.label)
        for row in table.rows
        if columns.delta and cell_delta(row, columns.delta[-1]) is not None
    ]
    return bool(labels) and all(map(_ANOTHER.search, labels))


def author_sign(table: Table, columns: Columns) -> int | None:
    """+1 where the author's deltas fall with the score, -1 where an improvement is positive.

    The numbers themselves tell: a delta is the difference to the score column before, or to
    another row's score, or the rows' scores less their deltas are one constant, the control's.
    """
    if not (columns.bpb and columns.delta):
        return None
    across: list[tuple[float, float]] = []
    down: list[list[tuple[float, float]]] = []
    pairs: list[tuple[float, float]] = []
    onto: list[float] = []  # the control's score and the row before's
    for row in table.rows:
        scored = [cell_score(row, index) for index in columns.bpb]
        delta = cell_delta(row, columns.delta[-1])
        if delta is not None and scored[-1] is not None:
            pairs.append((scored[-1], delta))
        if delta is not None and abs(delta) >= 1e-3:
            ordered = [score for score in scored if score is not None]
            across += [(after - before, delta) for before, after in pairwise(ordered)]
            if scored[-1] is not None:
                down.append([(scored[-1] - other, delta) for other in onto])
        if scored[-1] is not None:
            onto = [*onto[:1], scored[-1]]
    for rising, falling in (
        _votes(across),
        _votes([min(row, key=_misfit) for row in down if row]),
    ):
        if rising + falling > 1 and max(rising, falling) > 2 * min(rising, falling):
            return 1 if rising > falling else -1
    if len(pairs) < 2 or max(abs(delta) for _, delta in pairs) < 1e-3:
        return None
    rises = _spread([score - delta for score, delta in pairs])
    falls = _spread([score + delta for score, delta in pairs])
    if min(rises, falls) < 6e-4 and max(rises, falls) > 2 * min(rises, falls) + 5e-4:
        return 1 if rises < falls else -1
    return None


def _votes(pairs: Iterable[tuple[float, float]]) -> tuple[int, int]:
    """How many deltas equal their difference, and how many equal it with the sign turned."""
    rising = falling = 0
    for difference, delta in pairs:
        room = min(6e-4, abs(delta) / 3)
        rising += abs(difference - delta) < room
        falling += abs(difference + delta) < room
    return rising, falling


def _misfit(pair: tuple[float, float]) -> float:
    return abs(abs(pair[0]) - abs(pair[1]))


def _spread(values: list[float]) -> float:
    centre = fmean(values)
    return max(abs(value - centre) for value in values)


def contrast(
    *,
    variable: str,
    control: str | None,
    treatment: str | None,
    delta: float,
    source: Source,
    quote: str | None,
    unit: str = "bpb",
    kind: str = "single",
) -> Ablation:
    """Return the contrast, its delta rounded to what a log prints."""
    return Ablation.model_validate(
        {
            "variable": variable,
            "from": control,
            "to": treatment,
            "delta": round(delta, 8),
            "unit": unit,
            "kind": kind,
            "quote": quote,
            "source": source,
        }
    )


def at_line(
    reading: Reading,
    line: int,
    *,
    variable: str,
    control: str | None,
    treatment: str | None,
    delta: float,
    unit: str = "bpb",
    kind: str = "single",
) -> Ablation:
    """Return the contrast that a README line states, in the unit that it is written in."""
    return contrast(
        variable=variable,
        control=control,
        treatment=treatment,
        delta=delta,
        unit=unit,
        kind=kind,
        quote=reading.document.quote(line),
        source=Source(file=reading.document.name, line=line),
    )


def slug(label: str) -> str:
    """A short id for a technique outside the vocabulary, without the value it was set to."""
    text = re.sub(r"\([^()]*\)", " ", label.lower())
    words = re.findall(r"[a-z0-9]+", _VALUE.sub(" ", text)) or re.findall(r"[a-z0-9]+", text)
    return "_".join(words[:5])[:48] or "unnamed"
