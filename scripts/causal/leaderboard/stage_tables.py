"""Stage scores that tables hold: one column per stage, or one row per stage."""

from __future__ import annotations

import re
from statistics import fmean

from scripts.causal.leaderboard.contrasts import contrast, slug
from scripts.causal.leaderboard.document import Document, Table
from scripts.causal.leaderboard.schema import Ablation, Source
from scripts.causal.leaderboard.stage_names import ORDER, Stages, stage_of, stage_rows
from scripts.causal.leaderboard.tables import (
    Columns,
    cell,
    cell_score,
    columns_of,
    mean_row,
    parse_seed,
)
from scripts.causal.leaderboard.techniques import variables_in

_START = re.compile(
    r"\b(?:base|static|raw|bf16|training|checkpoint|last|live|standard|non-overlap\w*|"
    r"full eval)\b",
    re.IGNORECASE,
)
_FINAL = re.compile(r"^\W*final\b(?!.*\d-?gram)", re.IGNORECASE)
_SPOKEN = (("mixed", r"\b(?:n|\d)-?gram\b|\bPPM\b"), ("ttt", r"\bTTT\b"), ("sliding", r"sliding"))
_BARE = re.compile(r"^\W*(?:final )?val_?bpb\W*$", re.IGNORECASE)
_SCORE_WORD = re.compile(r"\W*(?:val_)?bp[bp]\b\W*", re.IGNORECASE)
_GENERIC = re.compile(
    r"\b(?:best|final|exact|official|reported?|claim\w*|full|standard|chunked|reference|this|ours?|pr|"
    r"seed|rt|score|gain|improvement|delta|submission|value|post|pre|total|peak|mean|pass|training|checkpoint|val|eval)\b|#\d",
    re.IGNORECASE,
)


def stages_of_columns(document: Document, table: Table) -> Stages:
    """One column per stage, one row per seed: the mean row, else the mean over the rows."""
    columns = columns_of(table)
    if columns.seed is None:
        return {}
    stages: Stages = {}
    mean = mean_row(table)
    seeds = [parse_seed(cell(row, columns.seed)) for row in table.rows]
    if mean is None and len(set(seeds)) < len(seeds):
        return {}  # several runs, each with a seed
    for index, stage in _staged(document, table, columns).items():
        each = [
            v
            for row in table.rows
            if parse_seed(cell(row, columns.seed)) is not None
            and (v := cell_score(row, index)) is not None
        ]
        if mean is not None and (value := cell_score(table.rows[mean], index)) is not None:
            line = table.rows[mean].line
            if each and abs(fmean(each) - value) < 6e-5:
                value = fmean(each)  # the same mean before it was rounded
        else:
            values = [v for row in table.rows if (v := cell_score(row, index)) is not None]
            if not values:
                continue
            value, line = fmean(values), table.rows[0].line
        stages.setdefault(stage, (value, Source(file=document.name, line=line)))
    return stages


def _staged(document: Document, table: Table, columns: Columns) -> dict[int, str]:
    """Index → stage of a seed table's score columns.

    A "Base val_bpb" is what the first stage beside it starts from; "Final" is what comes after
    a "Pre-TTT" or, of quantized weights, what the submission evaluates with.
    """
    titles = {index: table.header[index] for index in columns.bpb}
    stages = {index: stage for index, title in titles.items() if (stage := stage_of(title))}
    unknown = [index for index in titles if index not in stages]
    if len(unknown) != 1 or not stages:
        return stages
    index, others = unknown[0], list(stages.values())
    if _START.search(titles[index]) and index < min(stages):
        follows = ORDER.index(others[0])
        stages[index] = "raw" if follows <= ORDER.index("quantized") else ORDER[follows - 1]
    elif _FINAL.search(titles[index]) and index > max(stages):
        if re.search(r"\bpre[- ]?ttt", titles[max(stages)], re.IGNORECASE):
            stages[index] = "ttt"
        elif others[-1] == "quantized":
            stages[index] = "ttt" if re.search(r"\bTTT\b", document.text) else "sliding"
    elif _BARE.match(titles[index]) and others == ["raw"]:
        stages[index] = _evaluated(document)
    return dict(sorted(stages.items()))


def _evaluated(document: Document) -> str:
    """The last stage that a README speaks of at all."""
    return next(
        (stage for stage, word in _SPOKEN if re.search(word, document.text, re.IGNORECASE)),
        "quantized",
    )


def stages_of_rows(document: Document, table: Table) -> Stages:
    """One row per stage under a column of scores."""
    columns = columns_of(table)
    if columns.seed is not None or not columns.bpb:
        return {}
    stages: Stages = {}
    labels = [cell(row, columns.label) for row in table.rows]
    for index, stage in stage_rows(labels).items():
        row = table.rows[index]
        value = cell_score(row, columns.bpb[0])
        if value is not None:
            stages.setdefault(stage, (value, Source(file=document.name, line=row.line)))
    return stages


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
            if match is None or after is None or stage_of(title) or not table.rows:
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
    named = variables_in(title)
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
