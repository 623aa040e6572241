"""Columns of seed tables that tell a stage which the ladder does not have."""

from __future__ import annotations

import re

from scripts.causal.leaderboard.changed import changes_in
from scripts.causal.leaderboard.contrasts import contrast, slug
from scripts.causal.leaderboard.document import Document, Table
from scripts.causal.leaderboard.schema import Ablation, Source
from scripts.causal.leaderboard.stage_tables import STARTS
from scripts.causal.leaderboard.stages import stage_of
from scripts.causal.leaderboard.tables import cell_score, columns_of, mean_row
from scripts.causal.leaderboard.techniques import variables_in

_SCORE_WORD = re.compile(r"\W*(?:val_)?bp[bp]\b\W*", re.IGNORECASE)
_GENERIC = re.compile(
    r"\b(?:best|final|exact|official|reported?|claim\w*|full|standard|chunked|reference|this|ours?|pr|"
    r"seed|rt|score|gain|improvement|delta|submission|value|post|pre|total|peak|mean|pass|training|checkpoint|val|eval)\b|#\d",
    re.IGNORECASE,
)


def before_and_after(document: Document) -> list[Ablation]:
    """Seed tables with a "Pre-X bpb" and a "Post-X bpb" column, for X outside the ladder."""
    found = []
    for table in document.tables:
        columns = columns_of(table)
        mean = mean_row(table)
        titles = {table.header[index].lower(): index for index in columns.bpb}
        for title, index in titles.items():
            match = re.match(r"\W*pre[- ]([a-z0-9-]+)", title)
            after = next((t for t in titles if match and f"post-{match.group(1)}" in t), None)
            if match is None or match.group(1) == "eval" or after is None or not table.rows:
                continue
            if stage_of(title) or (stage_of(after) and STARTS.search(title)):
                continue
            row = table.rows[mean if mean is not None else 0]
            before, value = cell_score(row, index), cell_score(row, titles[after])
            if before is None or value is None:
                continue
            named = variables_in(match.group(1)) or variables_in(f"{match.group(1)} cache")
            found.append(
                contrast(
                    variable=named[0][0] if named else f"other:{slug(match.group(1))}",
                    control="none",
                    treatment=match.group(1),
                    delta=value - before,
                    quote=document.quote(row.line),
                    source=Source(file=document.name, line=row.line),
                )
            )
    return found


def last_column(document: Document, table: Table) -> list[Ablation]:
    """A seed table's last score column, where it names what no stage is: "Sliding | ETLB BPB"."""
    columns = columns_of(table)
    mean = mean_row(table)
    if columns.seed is None or mean is None or len(columns.bpb) < 2 or columns.delta:
        return []
    before, after = columns.bpb[-2:]
    title = _SCORE_WORD.sub(" ", table.header[after])
    was, value = (cell_score(table.rows[mean], index) for index in (before, after))
    if (
        not (stage_of(table.header[before]) and re.search("[A-Za-z]{3}", title))
        or stage_of(table.header[after])
        or _GENERIC.search(title)
        or was is None
        or value is None
    ):
        return []
    named = changes_in(title)
    line = table.rows[mean].line
    return [
        contrast(
            variable=named[0][0] if named else f"other:{slug(title)}",
            control=table.header[before][:80],
            treatment=title.strip()[:80],
            delta=value - was,
            quote=document.quote(line),
            source=Source(file=document.name, line=line),
        )
    ]
