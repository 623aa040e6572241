"""What every reader of contrasts shares: the sign, the unit, the words for better and worse."""

from __future__ import annotations

import re
from dataclasses import dataclass
from statistics import fmean

from scripts.causal.leaderboard.document import Document, Table
from scripts.causal.leaderboard.schema import Ablation, Source
from scripts.causal.leaderboard.tables import Columns, cell_delta, cell_score, columns_of

WORSE = re.compile(
    r"\bwors|\bhurts?\b|\bdegrad|\bregress|\bcosts?\b|\bpenalt|\bharm|\blos[est]|\bhigher\b|"
    r"\bsacrific|\bbehind\b|\bincreas",
    re.IGNORECASE,
)
BETTER = re.compile(
    r"\bimprov|\bbetter|\bgain|\bsav(?:es|ing)|\bhelp|\breduc|\blower|\bdrop|\bbenefit|\bboost|"
    r"\bwins?\b|\bcontribut|\bbeats?\b|\bbeating|\bdelivers?\b|\bgives?\b|\bcut|\brecover",
    re.IGNORECASE,
)
NOT_RUN = re.compile(
    r"\bexpected|\bproject(?:ed|ion)|\bestimat|\bplanned|\bfuture|\bnext (?:step|up|experiment)|"
    r"\broadmap|\bto ?do\b|\bextrapolat|\bhypothes",
    re.IGNORECASE,
)
_VALUE = re.compile(r"\s?=\s?[~+-]?\d[\w.%-]*|\s\d[\d.,]*(?:e-?\d+)?[km%x]?\s*$")


@dataclass(frozen=True)
class Reading:
    """A README with what its author's numbers mean.

    Attributes:
        positive_is_better: the author writes improvements as positive numbers.
    """

    document: Document
    positive_is_better: bool = False


def reading_of(document: Document) -> Reading:
    """Find the author's sign convention."""
    signs = [
        sign
        for table in document.tables
        if (sign := author_sign(table, columns_of(table))) is not None
    ]
    return Reading(document, bool(signs) and max(signs) < 0)


def author_sign(table: Table, columns: Columns) -> int | None:
    """+1 where score - delta is one constant over the rows, -1 where score + delta is.

    The constant is the control's score, so the numbers themselves tell which sign means better.
    """
    if not (columns.bpb and columns.delta):
        return None
    for index in columns.bpb:
        pairs = [
            (score, delta)
            for row in table.rows
            if (score := cell_score(row, index)) is not None
            and (delta := cell_delta(row, columns.delta[-1])) is not None
        ]
        if len(pairs) < 2 or max(abs(delta) for _, delta in pairs) < 1e-3:
            continue
        rises = _spread([score - delta for score, delta in pairs])
        falls = _spread([score + delta for score, delta in pairs])
        if min(rises, falls) < 6e-4 and max(rises, falls) > 2 * min(rises, falls) + 5e-4:
            return 1 if rises < falls else -1
    return None


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
