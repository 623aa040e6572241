"""Tables of several seeds and several runs, folded into one row a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from scripts.causal.leaderboard.document import Row, Table
from scripts.causal.leaderboard.stages import stage_of
from scripts.causal.leaderboard.table_roles import BASELINE, PLUS, PULL_REQUEST
from scripts.causal.leaderboard.tables import (
    MEAN,
    Columns,
    cell,
    cell_score,
    columns_of,
    is_log,
    parse_seed,
)

_SEED_COLUMN = re.compile(r"\W*(?:seed[ =_]{0,2}|s)\d{1,5}\W*$", re.IGNORECASE)
_COMPARED = "ablation over seeds"  # what such a table is, whatever the title above it says
_SCORE = re.compile(r"\W{0,4}\d\.\d{3,8}\W*$")
_SPREAD = re.compile(r"\W*(?:std|stdev|σ|s\.?d)\b", re.IGNORECASE)


def over_seeds(table: Table, tables: Sequence[Table] = ()) -> Table:
    """A table with one row for each run, its scores the means over the seeds, where it tells runs.

    Three kinds are told apart: one column for each seed, a column that says which row is of which
    seed, and one column for each run with a row for each seed. All else is returned as it is, also
    the seeds of runs that another of the README's `tables` sums up.
    """
    columns = columns_of(table)
    seeds = [i for i in columns.bpb if _SEED_COLUMN.match(table.header[i])]
    if len(seeds) >= 2 and columns.seed is None and not is_log(table, columns.label):
        return _with_means(table, columns, seeds)
    if columns.seed is None:
        return table
    if columns.label != columns.seed:
        told = {cell(row, 0) for other in tables if other is not table for row in other.rows}
        runs = {cell(row, columns.label) for row in table.rows}
        return table if len(runs & told) > 1 else _runs_of(table, columns, columns.seed)
    return _turned(table, columns, columns.seed)


def _with_means(table: Table, columns: Columns, seeds: list[int]) -> Table:
    """| Config | Seed 42 | Seed 314 | with the mean for the columns of seeds."""
    told = [i for i in columns.bpb if i not in seeds and MEAN.search(table.header[i])]
    kept = [
        i for i, title in enumerate(table.header) if i not in seeds and not _SPREAD.match(title)
    ]
    rows = []
    for row in table.rows:
        scores = [score for i in seeds if (score := cell_score(row, i)) is not None]
        mean = () if told else (f"{fmean(scores):.8f}" if scores else "",)
        rows.append(Row((*(cell(row, i) for i in kept), *mean), row.line))
    header = (*(table.header[i] for i in kept), *(() if told else ("mean val_bpb",)))
    return replace(table, header=header, rows=tuple(rows))


def _runs_of(table: Table, columns: Columns, seed: int) -> Table:
    """| Run | Seed | bpb |, where a run has several rows: their means over the seeds all have.

    Where each row is another run, and states its change, the seed only says what it is against.
    """
    runs: dict[str, list[Row]] = {}
    for row in table.rows:
        if parse_seed(cell(row, seed)) is not None:
            runs.setdefault(cell(row, columns.label), []).append(row)
    of = {run: {parse_seed(cell(row, seed)): row for row in rows} for run, rows in runs.items()}
    seeds = {number for rows in of.values() for number in rows}
    if columns.delta:
        return _without(table, seed) if len(of) > max(3, 2 * len(seeds)) else table
    if len(of) < 2 or len(seeds) < 2 or not columns.bpb:
        return table
    if not all(re.search("[A-Za-z]{2}", run) for run in of) or max(map(len, of.values())) < 2:
        return table
    common = set.intersection(*(set(rows) for rows in of.values()))
    if not common:
        return table
    rows = []
    for run_rows in of.values():
        first, *_ = each = [run_rows[number] for number in run_rows if number in common]
        cells = list(first.cells)
        for index in columns.bpb:
            scores = [score for row in each if (score := cell_score(row, index)) is not None]
            if index < len(cells):
                cells[index] = f"{fmean(scores):.8f}" if len(scores) == len(each) else ""
        rows.append(Row(tuple(cells), first.line))
    section = (*table.section, _COMPARED)
    return _without(replace(table, rows=tuple(rows), section=section), seed)


def _without(table: Table, column: int) -> Table:
    header = (*table.header[:column], *table.header[column + 1 :])
    rows = tuple(Row((*r.cells[:column], *r.cells[column + 1 :]), r.line) for r in table.rows)
    return replace(table, header=header, rows=rows)


def _turned(table: Table, columns: Columns, seed: int) -> Table:
    """| Seed | baseline | + A | + B |: one row for each run instead of one column."""
    rows = [row for row in table.rows if parse_seed(cell(row, seed)) is not None]
    runs = [
        i
        for i in range(len(table.header))
        if i != seed and rows and all(_SCORE.match(cell(row, i)) for row in rows)
    ]
    titles = [table.header[i] for i in runs]
    if columns.delta or len(titles) < 2 or any(map(stage_of, titles)):
        return table
    added = sum(bool(PLUS.match(title)) for title in titles[1:])
    control = BASELINE.search(titles[0]) or added == len(titles) - 1
    if not control or any(map(PULL_REQUEST.search, titles)):
        return table
    if len(rows) < 2:
        return table
    each = [[cell_score(row, index) or 0.0 for row in rows] for index in runs]
    line = next((row.line for row in table.rows if MEAN.search(cell(row, seed))), rows[0].line)
    means = tuple(
        Row((title, f"{fmean(scores):.8f}"), line)
        for title, scores in zip(titles, each, strict=True)
    )
    section = (*table.section, _COMPARED)
    return replace(table, header=("Run", "val_bpb"), rows=means, section=section)
