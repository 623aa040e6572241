"""Contrasts that tables report, read by the table's role."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from interventions.vocabulary import load_variables
from scripts.causal.leaderboard.contrasts import (
    NOT_RUN,
    Reading,
    at_line,
    slug,
)
from scripts.causal.leaderboard.document import Row, Table
from scripts.causal.leaderboard.nats import in_nats, loss_columns
from scripts.causal.leaderboard.row_contrasts import TOTAL, beyond, closes, row_contrast, scored
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.stages import STAGE_CONTRASTS, stage_of
from scripts.causal.leaderboard.sweeps import SWEPT, of_something_else, score_rows
from scripts.causal.leaderboard.table_pairs import (
    difference_rows,
    gain_rows,
    metric_rows,
    paired_columns,
    paired_seeds,
    stage_changes,
)
from scripts.causal.leaderboard.table_roles import (
    BASELINE,
    METRIC,
    PLUS,
    PULL_REQUEST,
    VALUE,
    bpb_row,
    introduced,
    role_of,
    titles_of,
)
from scripts.causal.leaderboard.table_signs import (
    flipped_by,
    gap_contrast,
    penalty_variable,
    signed,
)
from scripts.causal.leaderboard.tables import (
    Columns,
    cell,
    cell_delta,
    cell_score,
    columns_of,
    is_log,
)
from scripts.causal.leaderboard.techniques import own_column, variables_in

_NOT_A_CHANGE = re.compile(
    r"\W*(?:val[_ ]loss|(?:train(?:ing)? )?loss(?=\W*$|\s?\()|artifact|size|bytes|time|"
    r"steps?|params|std|throughput|memory)\b",
    re.IGNORECASE,
)
_ANOTHER = re.compile(  # a whole submission of somebody, set beside this one
    r"\W*(?:(?:merged|current|official|our|prior|previous|naive|leaderboard|best)\s)*"
    r"(?:PR ?#?\d|#\d|SOTA\b|baseline\b|leaderboard\b|record\b)",
    re.IGNORECASE,
)
_LOST = re.compile(r"degradation|penalty|\bgap\b|\bcost\b|\bloss\b", re.IGNORECASE)
_SAME = 6e-5  # bpb: a closing row that repeats what a row above it says
_FULL = re.compile(r"\W{0,4}(\d\.\d{4,8})(?!\d)")
_JOINED = re.compile(r"^\W*(?:both|all|combined|everything)\b", re.IGNORECASE)


def table_contrasts(reading: Reading, listed: Sequence[Table] = ()) -> Iterator[list[Ablation]]:
    """Yield the contrasts of each table, and of each list that stands for one."""
    for table in (*introduced(reading.document), *listed):
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
    if role == "versus":
        yield from paired_columns(reading, table)
    elif role == "stages" and len(table.header) <= 3 and not columns.bpb:
        yield from stage_changes(reading, table, columns)
    elif role in ("ladder", "leave_one_out", "deltas") and columns.delta:
        told = columns.bpb and role == "deltas" and of_something_else(table, columns)
        rows = score_rows if told else _delta_rows
        yield from rows(reading, table, columns)
    elif role == "ladder":
        yield from _steps(reading, table, columns)
    elif role == "sweep":
        yield from score_rows(reading, table, columns)
    elif role == "seeds":
        yield from paired_seeds(reading, table, columns)


def metric_contrasts(reading: Reading) -> Iterator[list[Ablation]]:
    """Yield what two-column tables of metrics say of gains and penalties."""
    for table in reading.document.tables:
        columns = columns_of(table)
        role = role_of(table, columns)
        if role == "metrics":
            yield list(metric_rows(reading, table))
        elif role == "none" and not (columns.bpb or columns.delta):
            yield list(gain_rows(reading, table))


def _delta_rows(reading: Reading, table: Table, columns: Columns) -> Iterator[Ablation]:
    index = next(
        (i for i in reversed(columns.delta) if not re.search("nats", table.header[i], re.I)),
        columns.delta[-1],
    )
    title = table.header[index]
    unit = "nats" if re.search("nats", title, re.I) and "bpb" not in title.lower() else "bpb"
    flipped = flipped_by(reading, table, columns)
    ladder = sum(bool(PLUS.match(cell(row, columns.label))) for row in table.rows) >= 2
    ladder = ladder and not _restated(table, columns)
    running = _stepwise(table, columns) if ladder else {}
    column_variable = penalty_variable(title) or _between_columns(table, columns)
    if _LOST.search(title) and re.search("quanti", table.header[columns.label], re.I):
        column_variable = STAGE_CONTRASTS["quantized"]
    rows = table.rows
    if is_log(table, columns.label) and _between_columns(table, columns):
        rows = rows[-1:]  # two courses side by side: where they end counts
    for row in rows:
        label = cell(row, columns.label)
        delta = cell_delta(row, index)
        if delta is None or closes(label) or NOT_RUN.search(label):
            continue
        if _NOT_A_CHANGE.match(label):
            continue
        if (
            re.search(r"\bm-?bp[bp]\b", title, re.IGNORECASE)
            and "bp" not in cell(row, index).lower()
        ):
            delta /= 1000
        if column_variable:
            text = cell(row, index)
            yield gap_contrast(reading, row, column_variable, delta, text, flipped, unit)
            continue
        if _ANOTHER.match(label):
            continue
        delta = signed(delta, cell(row, index), title, flipped)
        delta = running.get(row.line, _exact(table, columns, row, delta))
        if (last := _goes_on(table, columns, row, delta)) is not None:
            label = beyond(label, cell(last, columns.label))
        if abs(delta) > 2:
            continue
        kind = "cumulative" if ladder and PLUS.match(label) else "single"
        if VALUE.match(label) and BASELINE.search(label) and _from_ours(table, columns):
            delta, label = -delta, _bare_value(table, columns, label)
        if METRIC.match(table.header[columns.label]) and len(table.header) > 4:
            if bpb_row(row):  # submissions side by side, the last two set against each other
                yield from row_contrast(reading, row, "total", delta, unit, "bundle")
            continue
        if stated := _stated(reading, row, columns, label, delta, unit):
            yield stated
        else:
            if VALUE.match(label) or not re.search("[A-Za-z]{2}", label):
                if is_log(table, columns.label) and not SWEPT.search(titles_of(table)):
                    continue
                label = f"{table.header[columns.label]} = {label}"
            ends = None
            if (mine := own_column(table)) is not None and len(row.cells) > mine:
                ends = (cell(row, mine - 1)[:80], cell(row, mine)[:80])
            yield from row_contrast(reading, row, label, delta, unit, kind, ends)


def _from_ours(table: Table, columns: Columns) -> bool:
    """Whether a row's change is zero: the others count from the setting that was chosen."""
    texts = [cell(row, columns.delta[-1]) for row in table.rows]
    return any(re.match(r"\W{0,4}0(?:\.0+)?(?![.\d])", text) for text in texts)


def _bare_value(table: Table, columns: Columns, label: str) -> str:
    return f"{table.header[columns.label]} = {label.partition('(')[0]}"


def _goes_on(table: Table, columns: Columns, row: Row, delta: float) -> Row | None:
    """The row before, where a row's delta counts from it."""
    at = table.rows.index(row)
    if not (at and columns.bpb):
        return None
    last = table.rows[at - 1]
    before, after = cell_score(last, columns.bpb[-1]), cell_score(row, columns.bpb[-1])
    stepped = before is not None and after is not None and abs(after - before - delta) < 6e-4
    return last if stepped else None


def _exact(table: Table, columns: Columns, row: Row, delta: float) -> float:
    """A rounded change, computed anew from the two scores that it is the difference of."""
    at = table.rows.index(row)
    if re.search(r"\d\.\d{4}", cell(row, columns.delta[-1])):
        return delta  # not rounded
    for index in columns.bpb[-1:]:
        onto, score = (
            [match for other in rows if (match := _FULL.match(cell(other, index)))]
            for rows in ((*table.rows[max(0, at - 1) : at], table.rows[0]), (row,))
        )
        for other in onto if score else ():
            exact = float(score[0].group(1)) - float(other.group(1))
            if abs(exact - delta) <= 5.1e-4 and abs(delta * 1e3 - round(delta * 1e3)) < 1e-6:
                return round(exact, 8)
    return delta


def _between_columns(table: Table, columns: Columns) -> tuple[str, str, str] | None:
    """What a delta column compares, where it is the difference of the two score columns."""
    if len(columns.bpb) != 2 or len(columns.delta) != 1:
        return None
    first, second = columns.bpb
    gaps = []
    for row in table.rows:
        delta = cell_delta(row, columns.delta[0])
        before, after = cell_score(row, first), cell_score(row, second)
        if delta is not None and before is not None and after is not None:
            gaps.append(abs(after - before - delta) < 6e-4)
    if len(gaps) < 2 or not all(gaps):
        return None
    title = table.header[second]
    stage = stage_of(title)
    if stage in STAGE_CONTRASTS and stage_of(table.header[first]):
        return STAGE_CONTRASTS[stage]
    named = variables_in(title)
    variable = named[0][0] if named else f"other:{slug(title)}"
    return variable, table.header[first][:80], title[:80]


def _restated(table: Table, columns: Columns) -> bool:
    """Whether a later row names what an earlier one added: each row then stands alone."""
    rows = [cell(row, columns.label) for row in table.rows]
    if any(_JOINED.match(PLUS.sub("", row)) for row in rows if PLUS.match(row)):
        return True
    named = [{name for name, _, _ in variables_in(row)} for row in rows if PLUS.match(row)]
    return any(earlier and earlier < later for earlier, later in pairwise(named)) or any(
        earlier and earlier < later for earlier, later in zip(named, named[2:], strict=False)
    )


def _stepwise(table: Table, columns: Columns) -> dict[int, float]:
    """Step-to-step changes of a ladder whose delta column counts from the first row.

    Returns row line → change against the row before; empty where the column counts steps already
    or the scores do not tell. A row whose delta counts from elsewhere keeps it.
    """
    if not columns.bpb:
        return {}
    rows = [
        (row, score, delta)
        for row in table.rows
        if (score := cell_score(row, columns.bpb[-1])) is not None
        for delta in [cell_delta(row, columns.delta[-1])]
    ]
    if len(rows) < 3:
        return {}
    first = rows[0][1]
    totals = sum(d is not None and abs(s - first - d) < 6e-4 for _, s, d in rows[2:])
    steps = sum(
        d is not None and abs(s - before - d) < 6e-4
        for (_, before, _), (_, s, d) in pairwise(rows[1:])
    )
    if totals <= steps:
        return {}
    return {
        row.line: round(s - before, 8)
        for (_, before, _), (row, s, d) in pairwise(rows)
        if d is not None and abs(s - first - d) < 6e-4
    }


def _stated(
    reading: Reading, row: Row, columns: Columns, label: str, delta: float, unit: str
) -> Ablation | None:
    """A row that names a vocabulary id and gives both ends and the kind needs no reading."""
    if label not in load_variables() and not re.fullmatch(r"other:[a-z0-9_]{1,60}", label):
        return None
    ends = [
        cell(row, index) if index is not None else ""
        for index in (columns.control, columns.treatment)
    ]
    kind = cell(row, columns.kind) if columns.kind is not None else ""
    return at_line(
        reading,
        row.line,
        variable=label,
        control=ends[0] or None,
        treatment=ends[1] or None,
        delta=delta,
        unit=unit,
        kind=kind if kind in ("single", "cumulative", "bundle") else "single",
    )


def _steps(reading: Reading, table: Table, columns: Columns) -> Iterator[Ablation]:
    """A cumulative ladder of scores: every row against the row before.

    Where most steps raise the score the rows are alternatives: each adds to the first row.
    """
    rows = scored(table, columns)
    added = [(a, b) for (_, a), (row, b) in pairwise(rows) if PLUS.match(cell(row, columns.label))]
    ladder = sum(after > before for before, after in added) * 2 <= len(added)
    begun = False
    for (last, before), (row, after) in pairwise(rows):
        label = cell(row, columns.label)
        begun = begun or bool(PLUS.match(label))
        other = _ANOTHER.match(label) or TOTAL.match(label) or PULL_REQUEST.search(label)
        if begun and (PLUS.match(label) or not other):
            onto, kind = (before, "cumulative") if ladder else (rows[0][1], "single")
            named = beyond(label, cell(last, columns.label)) if ladder else label
            yield from row_contrast(reading, row, named, after - onto, "bpb", kind)
