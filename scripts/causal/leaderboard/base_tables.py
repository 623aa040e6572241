"""The rows, columns and titles of tables that may hold the score of a submission's base."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from scripts.causal.leaderboard.base_clause import (
    MIDWAY,
    PARENT,
    ROUNDED,
    STAGE,
    TURNED,
    Child,
    in_line,
)
from scripts.causal.leaderboard.document import Row, Table
from scripts.causal.leaderboard.tables import Columns, cell, cell_score, columns_of, mean_row

_BASE_ROW = re.compile(
    r"\bbaseline|\bbase(?![a-z]|_int)|\bcontrol\b|\bdefault|\b(?:current|merged) sota|"
    r"\bprev(?:ious)?\b|\bprior|\bparent\b|^\W*standard\b(?! eval| round)",
    re.IGNORECASE,
)
_STAGE_BASE = re.compile(rf"(?:{MIDWAY.pattern})\W(?:\w+\W){{0,2}}baseline", re.IGNORECASE)
_OWN_BASE_ROW = re.compile(r"\b(?:baseline|control)\b", re.IGNORECASE)
_BASE_COLUMN = re.compile(
    r"\b(?:baseline|base|sota|parent|control|record|without)\b(?! (?:bpb|loss))", re.IGNORECASE
)
# "SOTA (1.1428)", "vs control (1.1929)" at the head of a column
_TITLED = re.compile(
    r"\b(?:baseline|base|sota|parent|control)\b[^()]{0,20}\((?:val_bpb\W{0,2})?(\d\.\d{3,10})",
    re.IGNORECASE,
)
_BPB_ROW = re.compile(r"\W*(?:val[_ ]?)?bpb\W*$", re.IGNORECASE)
_PREDICTED = re.compile(r"\best\b|estimat|expect|predict|project", re.IGNORECASE)
# In a column of changes: the row that the others change.
_NO_CHANGE = re.compile(r"\W*(?:n/?a|ref(?:erence)?|start)?\W*", re.IGNORECASE)


def in_table(table: Table, child: Child) -> Iterator[tuple[float, float, int]]:
    """What of a table may be the base's score: weight, value and source line."""
    columns = columns_of(table)
    if columns.seed == 0:
        yield from _without_its_last_stage(table, columns, child)
        return
    if len(table.header) == 2 and not columns.bpb:  # a list of facts: "previous | 1.0810"
        for row in table.rows:
            for weight, value, _ in in_line(": ".join(row.cells), child):
                yield weight, value, row.line
    for title in table.header:
        titled = _TITLED.search(title) if "(" in title else None
        if titled and child.is_other(float(titled.group(1))):
            yield 3, float(titled.group(1)), table.line
    yield from _beside_own(table, child)
    yield from _in_rows(table, columns, child)


def own_is_base(table: Table, child: Child) -> bool:
    """Whether a table names the submission's own run as the baseline or control of others."""
    columns = columns_of(table)
    return any(
        _OWN_BASE_ROW.search(cell(row, columns.label))
        and any(child.is_own(cell_score(row, index), ROUNDED) for index in columns.bpb)
        for row in table.rows
    )


def _in_rows(table: Table, columns: Columns, child: Child) -> Iterator[tuple[float, float, int]]:
    """The score of a parent's or baseline's row, in the column that also holds the own one."""
    scored = [index for index in columns.bpb if not _PREDICTED.search(table.header[index])]
    own = _column_of(table, scored, child)
    hold: bool | None = None  # whether another run can be the base
    for row in table.rows:
        found = {i: score for i in scored if (score := cell_score(row, i)) is not None}
        if not found:
            continue
        value = found.get(own, [*found.values()][-1])
        weight = _row_weight(row, cell(row, columns.label), child)
        if not weight and own >= 0 and row is table.rows[0] and _opens_ladder(row, columns):
            weight = 3
        if not weight or not child.is_other(value):
            continue
        if weight != PARENT and hold is None:
            hold = not own_is_base(table, child)
        if weight == PARENT or hold:
            yield weight, value, row.line


def _row_weight(row: Row, label: str, child: Child) -> float:
    text = " ".join(row.cells)
    if child.names_parent(text):
        return PARENT
    if MIDWAY.search(label) or _STAGE_BASE.search(text):
        return 0
    if re.search(r"\bnaive\b", text, re.IGNORECASE):
        return 1
    if _BASE_ROW.search(label):
        return 4
    if re.search(r"(?<!near-)\bbaseline\b", text, re.IGNORECASE):  # in a column of notes
        return 2
    return 0


def _opens_ladder(row: Row, columns: Columns) -> bool:
    """Whether other rows change this one: a run by its name, no stage of one."""
    changes = [cell(row, index) for index in columns.delta]
    label = cell(row, columns.label)
    named = re.search("[a-z]", label, re.IGNORECASE) and not re.search(r"\beval", label)
    return (
        bool(named)
        and not (STAGE.search(label) or MIDWAY.search(label))
        and any(_NO_CHANGE.fullmatch(change) for change in changes)
    )


def _without_its_last_stage(
    table: Table, columns: Columns, child: Child
) -> Iterator[tuple[float, float, int]]:
    """Of a table of seeds, what the model alone scores: before a cache, a mixture, slots.

    These take more than a fortieth off a score, an ordinary stage takes less.
    """
    own = _column_of(table, columns.bpb, child)
    row = table.rows[mean_row(table) or 0]
    before = [score for i in columns.bpb if i < own and (score := cell_score(row, i)) is not None]
    if child.score and len(before) == 1 and before[0] > 1.025 * child.score:
        yield 0.5, before[0], row.line


def _column_of(table: Table, columns: Sequence[int], child: Child) -> int:
    """The last of the columns that holds the own score, -1 where none does."""
    holds = [i for i in columns for row in table.rows if child.is_own(cell_score(row, i))]
    return max(holds, default=-1)


def _beside_own(table: Table, child: Child) -> Iterator[tuple[float, float, int]]:
    """The score in a parent's or the baseline's column, in the row that holds the own one."""
    named = {
        index: PARENT if child.names_parent(title) else TURNED
        for index, title in enumerate(table.header)
        if index
        and (
            child.names_parent(title) or (_BASE_COLUMN.search(title) and not MIDWAY.search(title))
        )
    }
    for row in table.rows if named or len(table.header) == 3 else ():
        scores = [cell_score(row, index) for index in range(len(row.cells))]
        at = [index for index, value in enumerate(scores) if index and child.is_own(value)][:2]
        weights = named
        if len(scores) == 3 and at == [2] and _BPB_ROW.match(row.cells[0]):
            weights = {1: 2.5, **named} if not MIDWAY.search(table.header[1]) else named
        for index, weight in weights.items():
            value = scores[index] if index < len(scores) else None
            if value is not None and set(at) - {index} and child.is_other(value):
                yield weight, value, row.line
