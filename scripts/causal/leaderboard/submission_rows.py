"""Tables of whole submissions: this one against the one that it builds on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from scripts.causal.leaderboard.contrasts import NOT_RUN, Reading
from scripts.causal.leaderboard.document import Table
from scripts.causal.leaderboard.row_contrasts import row_contrast, scored
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.table_roles import BASELINE, SUBMISSION, titles_of
from scripts.causal.leaderboard.tables import Columns, cell

_THIS = re.compile(
    r"\W*(?:this|ours)\b|\bthis (?:submission|work|PR|run|repro\w*|entry|record)\b", re.IGNORECASE
)
_BASE = re.compile(
    r"\b(?:base|parent|control)\b|\b(?:our|my) (?:prior|previous|earlier|PR|#)|\bprior\b|"
    r"\bprev(?:ious)?\b",
    re.IGNORECASE,
)


def against_base(reading: Reading, table: Table, columns: Columns) -> Iterator[Ablation]:
    """Yield how far this submission is from the other of two rows, or from the one called base."""
    rows = scored(table, columns)
    labels = [cell(row, columns.label) for row, _ in rows]
    ours = [at for at, label in enumerate(labels) if _THIS.search(label)]
    if len(ours) != 1 or NOT_RUN.search(titles_of(table)):
        return
    others = [at for at in range(len(rows)) if at != ours[0]]
    told = others if len(others) == 1 else [at for at in others if _BASE.search(labels[at])]
    for at in told[:1]:
        if SUBMISSION.search(labels[at]) or BASELINE.search(labels[at]):
            row, score = rows[ours[0]]
            delta = score - rows[at][1]
            yield from row_contrast(reading, row, "total", delta, "bpb", "bundle")
