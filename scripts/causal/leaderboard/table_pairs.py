"""Tables and rows that set one thing against another: columns, metrics, closing rows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from scripts.causal.leaderboard.contrasts import (
    Reading,
    at_line,
    slug,
)
from scripts.causal.leaderboard.document import Table
from scripts.causal.leaderboard.mentions import variables_in
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.stages import STAGE_CONTRASTS, stage_of
from scripts.causal.leaderboard.table_roles import (
    ABSENT,
    BASELINE,
    OURS,
    PULL_REQUEST,
    bpb_row,
)
from scripts.causal.leaderboard.table_signs import gap_contrast, penalty_variable, signed
from scripts.causal.leaderboard.tables import (
    Columns,
    cell,
    cell_delta,
    cell_score,
)

_COMPARES = re.compile(
    r"\bgain|\bimprove|\bdelta|Δ|\bpenalty|\bgap\b|\bbenefit|\bdegradation|\bvs\.?\b|\bcost\b",
    re.IGNORECASE,
)
_WITH = re.compile(r"^(?:with|\+)\s", re.IGNORECASE)
_DIFFERENCE = re.compile(
    r"\W*(?:Δ|delta|difference|improvement|change|gain)\W*(?:$|vs|over|from|against)", re.I
)


def paired_columns(reading: Reading, table: Table) -> Iterator[Ablation]:
    """| Metric | Control | Treatment | with rows of scores: the last such row's contrast."""
    titles = (table.header[1], table.header[2])
    turned = bool(ABSENT.search(titles[1])) and not ABSENT.search(titles[0])
    turned = turned or bool(
        (OURS.search(titles[0]) or not BASELINE.search(titles[0]))
        and BASELINE.search(titles[1])
        and not OURS.search(titles[1])
    )
    control, treatment = (2, 1) if turned else (1, 2)
    stages = [stage_of(title) for title in titles]
    for row in table.rows:
        before, after = cell_score(row, control), cell_score(row, treatment)
        if (
            not (bpb_row(row) or stage_of(cell(row, 0)))
            or before is None
            or after is None
            or abs(after - before) > 1
        ):
            continue
        title = table.header[treatment]
        absent = ABSENT.search(table.header[control])
        known = set() if absent else {name for name, _, _ in variables_in(table.header[control])}
        named = [name for name, _, _ in variables_in(title) if name not in known]
        kind = "single"
        if all(stages) and stages[1] in STAGE_CONTRASTS:
            variable = STAGE_CONTRASTS[stages[1]][0]
        elif len(named) == 1:
            variable = named[0]
        elif named or (not absent and _whole(title, table)):
            variable, kind = "other:bundle", "bundle"
        else:
            variable = f"other:{slug(_WITH.sub('', title))}"
        yield at_line(
            reading,
            row.line,
            variable=variable,
            control=table.header[control][:80],
            treatment=title[:80],
            delta=after - before,
            kind=kind,
        )


def _whole(title: str, table: Table) -> bool:
    """Whether a column is a whole submission rather than one change of it."""
    return bool(OURS.search(title) or PULL_REQUEST.search(title) or len(table.rows) > 4)


def metric_rows(reading: Reading, table: Table) -> Iterator[Ablation]:
    """| Metric | Value | with rows such as "TTT gain" or "Delta vs SOTA"."""
    for row in table.rows:
        label, text = cell(row, 0), cell(row, 1)
        if not _COMPARES.search(label) or re.search(r"size|bytes|time|step|loss|ppl", label, re.I):
            continue
        delta = cell_delta(row, 1)
        if delta is None or abs(delta) > 1:
            continue
        if stage := penalty_variable(label):
            yield gap_contrast(reading, row, stage, delta, text, reading.positive_is_better)
            continue
        against = re.search(
            r"^\W*(?:improvement|delta|gain|Δ)\W*$|\bvs\b|\bover\b|baseline|SOTA|#\d{2,5}",
            label,
            re.I,
        )
        subject = re.split(r"\bvs\b|\bover\b|\bfrom\b|\(", label, maxsplit=1)[0]
        named = variables_in(subject)
        if named or against:
            yield at_line(
                reading,
                row.line,
                variable=named[0][0] if named else "other:bundle",
                control=None,
                treatment=None,
                delta=signed(delta, text, label, reading.positive_is_better),
                unit="nats" if re.search(r"\bnats?\b", f"{label} {text}") else "bpb",
                kind="single" if named else "bundle",
            )


def gain_rows(reading: Reading, table: Table) -> Iterator[Ablation]:
    """Rows such as "| TTT gain | -0.041 BPB | -0.0025 BPB |" in tables of settings: each run's."""
    for row in table.rows:
        column = penalty_variable(cell(row, 0))
        for index in range(1, len(table.header) if column else 0):
            delta, text = cell_delta(row, index), cell(row, index)
            if column is None or delta is None or "bpb" not in f"{row.cells[0]} {text}".lower():
                continue
            variable, control, treatment = column
            stage = (variable, control, f"{treatment} ({table.header[index][:40]})")
            yield gap_contrast(reading, row, stage, delta, text, reading.positive_is_better)


def stage_changes(reading: Reading, table: Table, columns: Columns) -> Iterator[Ablation]:
    """Stages of one run with the change each brought, no scores beside it."""
    for row in table.rows:
        stage = stage_of(cell(row, columns.label))
        delta = cell_delta(row, columns.delta[-1]) if columns.delta else None
        if stage in STAGE_CONTRASTS and delta is not None and abs(delta) <= 3:
            variable, control, treatment = STAGE_CONTRASTS[stage]
            yield at_line(
                reading,
                row.line,
                variable=variable,
                control=control,
                treatment=treatment,
                delta=delta,
            )


def difference_rows(reading: Reading, table: Table, columns: Columns) -> Iterator[Ablation]:
    """A closing row such as "| Delta vs SOTA | | -0.0050 |"."""
    if not columns.bpb or len(table.header) < 3:
        return
    for row in table.rows:
        text = cell(row, columns.bpb[-1])
        where = next((c for c in row.cells if _DIFFERENCE.match(c)), None)
        delta = cell_delta(row, columns.bpb[-1])
        if where is None or where is text or delta is None or not 0 < abs(delta) < 0.6:
            continue
        if penalty_variable(where) or not re.match(r"\W{0,4}\d", text):
            continue
        yield at_line(
            reading,
            row.line,
            variable="other:bundle",
            control=None,
            treatment=None,
            delta=signed(delta, text, where, reading.positive_is_better),
            kind="bundle",
        )
