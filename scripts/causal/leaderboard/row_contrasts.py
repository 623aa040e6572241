"""What one row of a table says was changed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from interventions.vocabulary import Value
from scripts.causal.leaderboard.contrasts import (
    Reading,
    at_line,
    slug,
)
from scripts.causal.leaderboard.document import Row, Table
from scripts.causal.leaderboard.mentions import variables_in
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.table_roles import (
    BASELINE,
    MINUS,
    PLUS,
)
from scripts.causal.leaderboard.tables import (
    MEAN,
    SPREAD,
    Columns,
    cell,
    cell_score,
)

Named = list[tuple[str, Value | None, int]]
Ends = tuple[str | None, str | None]


TOTAL = re.compile(
    r"^\W*(?:total|overall|sum|combined|net|all)\b|^\W*(?:this|ours|final)\b|"
    r"^\W*full\b(?! (?:GPTQ|Hessian|rope|MHA|attention|XSA|precision))",
    re.IGNORECASE,
)
_CHANGE = re.compile(
    r"\b(?:up|down|reduced|increased|changed|raised|lowered|was|from)\s(?:from )?([\w.,^]+)"
    r"|([\w.,^]+)\s?(?:->|→)\s?([\w.,^]+)",
    re.IGNORECASE,
)


def scored(table: Table, columns: Columns) -> list[tuple[Row, float]]:
    """Return the rows with a score in the last score column: no means, no spreads."""
    index = columns.bpb[-1]
    return [
        (row, value)
        for row in table.rows
        if (value := cell_score(row, index)) is not None
        and not MEAN.search(cell(row, columns.label))
        and not SPREAD.match(cell(row, columns.label))
    ]


def row_contrast(
    reading: Reading,
    row: Row,
    label: str,
    delta: float,
    unit: str,
    kind: str,
    ends: Ends | None = None,
) -> Iterator[Ablation]:
    """Yield the contrast that a row with this label reports; nothing where it names no change."""
    if not re.search(r"[A-Za-z]", label) or re.search(r"\bpr\b.{0,4}#?\d+\s{0,4}$", label, re.I):
        return
    named = _subjects(label)
    if TOTAL.match(label) or (len(named) > 1 and re.search(r"\s[+&]\s|\band\b", label)):
        kind = "bundle"
    if TOTAL.match(label) or len(named) > 2:
        variable, kind = "other:bundle", "bundle"
    else:
        variable = named[0][0] if named else f"other:{slug(PLUS.sub('', label))}"
    control, treatment = ends or _ends(label, named)
    yield at_line(
        reading,
        row.line,
        variable=variable,
        control=control,
        treatment=treatment,
        delta=delta,
        unit=unit,
        kind=kind,
    )


def _subjects(label: str) -> Named:
    """The techniques a row is about; one named only in an aside is not its subject."""
    named = variables_in(label)
    head = re.split(r"[,;]", PLUS.sub("", label), maxsplit=1)[0].strip()
    start = label.find(head) + len(head) if head else 0
    if (
        re.search(r"[A-Za-z]{3}", head)
        and not BASELINE.search(head)
        and not TOTAL.match(head)
        and named
        and min(at for _, _, at in named) >= start
    ):
        return []
    return named


def _ends(label: str, named: Named) -> Ends:
    """What the contrast goes from and to, where the label says."""
    text = PLUS.sub("", label).strip()
    if MINUS.match(label):
        thing = MINUS.sub("", label).strip()[:80]
        return thing or None, "none"
    match = _CHANGE.search(label)
    if match and match.group(2):
        return match.group(2), match.group(3)
    value = next((str(v) for _, v, _ in named if v is not None), None)
    return (match.group(1) if match else None), value or text[:80] or None
