"""Contrasts that tables report, read by the table's role."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from scripts.causal.leaderboard.contrasts import (
    Reading,
)
from scripts.causal.leaderboard.delta_rows import ANOTHER, compares_columns, delta_rows
from scripts.causal.leaderboard.document import Table
from scripts.causal.leaderboard.nats import in_nats, loss_columns
from scripts.causal.leaderboard.row_contrasts import (
    TOTAL,
    beyond,
    held,
    left_out,
    row_contrast,
    scored,
)
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.seed_tables import over_seeds
from scripts.causal.leaderboard.submission_rows import against_base
from scripts.causal.leaderboard.sweeps import of_something_else, score_rows
from scripts.causal.leaderboard.table_pairs import (
    difference_rows,
    gain_rows,
    metric_rows,
    others_rows,
    paired_columns,
    paired_seeds,
    stage_changes,
)
from scripts.causal.leaderboard.table_roles import (
    LONGER,
    PLUS,
    PULL_REQUEST,
    introduced,
    role_of,
    runs_by_length,
)
from scripts.causal.leaderboard.table_signs import penalty_variable
from scripts.causal.leaderboard.tables import (
    Columns,
    cell,
    columns_of,
)
from scripts.causal.leaderboard.told_rows import told_rows

_SAME = 6e-5  # bpb: a closing row that repeats what a row above it says


def table_contrasts(reading: Reading, listed: Sequence[Table] = ()) -> Iterator[list[Ablation]]:
    """Yield the contrasts of each table, and of each list that stands for one."""
    tables = [*introduced(reading.document)]
    for table in (*(over_seeds(table, tables) for table in tables), *listed):
        columns = columns_of(table)
        if not (columns.bpb or columns.delta) and (losses := loss_columns(table)):
            columns = replace(columns, bpb=losses)
            if role_of(table, columns) in ("ladder", "sweep"):
                yield in_nats(list(score_rows(reading, table, columns)))
            continue
        group = list(_by_role(reading, table, columns))
        yield group
        yield [
            difference
            for difference in difference_rows(reading, table, columns)
            if not any(abs(abs(one.delta) - abs(difference.delta)) <= _SAME for one in group)
        ]


def _by_role(reading: Reading, table: Table, columns: Columns) -> Iterator[Ablation]:
    """Yield what a table's rows report, each kind of table read in its own way."""
    role = role_of(table, columns)
    if columns.kind is not None and columns.delta:  # a table that says itself what its rows are
        yield from delta_rows(reading, table, columns)
    elif runs_by_length(table, columns):
        for (_, before), (row, after) in pairwise(scored(table, columns)):
            yield from row_contrast(reading, row, LONGER, after - before, "bpb", "single")
    elif role == "versus":
        yield from paired_columns(reading, table)
    elif role == "stages" and len(table.header) <= 3 and not columns.bpb:
        yield from stage_changes(reading, table, columns)
    elif role == "stages" and compares_columns(table, columns):
        yield from delta_rows(reading, table, columns)
    elif role in ("ladder", "leave_one_out", "deltas") and columns.delta:
        told = columns.bpb and role == "deltas" and of_something_else(table, columns)
        rows = score_rows if told else delta_rows
        yield from rows(reading, table, columns)
        if role == "ladder" and columns.bpb and penalty_variable(table.header[columns.delta[-1]]):
            yield from _steps(reading, table, columns)  # beside what each run loses
        yield from others_rows(reading, table, columns)
    elif role == "ladder":
        yield from _steps(reading, table, columns)
    elif role in ("sweep", "none") and columns.bpb:
        varied = list(score_rows(reading, table, columns)) if role == "sweep" else []
        yield from varied or against_base(reading, table, columns)
    elif role == "seeds":
        yield from paired_seeds(reading, table, columns)


def metric_contrasts(reading: Reading) -> Iterator[list[Ablation]]:
    """Yield what two-column tables of metrics say of gains and penalties."""
    for table in reading.document.tables:
        columns = columns_of(table)
        role = role_of(table, columns)
        if len(table.header) != 2 and (columns.bpb or columns.delta):
            if role == "versus":
                yield list(gain_rows(reading, table, columns.delta))
            continue
        if role in ("metrics", "none"):
            yield list(told_rows(reading, table, columns))
        if role == "metrics":
            yield list(metric_rows(reading, table))
        elif role in ("none", "versus") and not (columns.bpb or columns.delta):
            yield list(gain_rows(reading, table))


def _steps(reading: Reading, table: Table, columns: Columns) -> Iterator[Ablation]:
    """A cumulative ladder of scores: every row against the row before.

    Where most steps raise the score the rows are alternatives: each adds to the first row.
    """
    rows = scored(table, columns)
    added = [(a, b) for (_, a), (row, b) in pairwise(rows) if PLUS.match(cell(row, columns.label))]
    ladder = sum(after > before for before, after in added) * 2 <= len(added)
    begun = False
    had = set(left_out(reading, table))
    for (last, before), (row, after) in pairwise(rows):
        label = cell(row, columns.label)
        had |= held([cell(last, columns.label)]) if ladder else set()
        begun = begun or bool(PLUS.match(label))
        whole = ANOTHER.match(label) or TOTAL.match(label)
        other = whole or any(map(PULL_REQUEST.search, (*row.cells[: columns.label], label)))
        if begun and (PLUS.match(label) or not other):
            onto, kind = (before, "cumulative") if ladder else (rows[0][1], "single")
            named = beyond(label, cell(last, columns.label)) if ladder else label
            yield from row_contrast(reading, row, named, after - onto, "bpb", kind, had=had)
