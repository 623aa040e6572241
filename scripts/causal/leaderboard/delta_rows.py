"""Rows that state the change they brought, and what each of them counts from."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

from interventions.vocabulary import load_variables
from scripts.causal.leaderboard.changed import changes_in
from scripts.causal.leaderboard.contrasts import (
    NOT_RUN,
    Reading,
    at_line,
    slug,
)
from scripts.causal.leaderboard.document import Row, Table
from scripts.causal.leaderboard.numbers import parse_number
from scripts.causal.leaderboard.row_contrasts import beyond, closes, held, left_out, row_contrast
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.stages import STAGE_CONTRASTS, STAGE_VARIABLES, stage_of
from scripts.causal.leaderboard.sweeps import SWEPT
from scripts.causal.leaderboard.table_roles import (
    BASELINE,
    METRIC,
    PLUS,
    VALUE,
    bpb_row,
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
    is_log,
)
from scripts.causal.leaderboard.techniques import own_column, variables_in

_NOT_A_CHANGE = re.compile(
    r"\W*(?:val[_ ]loss|(?:train(?:ing)? )?loss(?=\W*$|\s?\()|artifact|size|bytes|time|"
    r"steps?|params|std|throughput|memory)\b",
    re.IGNORECASE,
)
ANOTHER = re.compile(  # a whole submission of somebody, set beside this one
    r"\W*(?:(?:merged|current|official|our|prior|previous|naive|leaderboard|best)\s)*"
    r"(?:PR ?#?\d|#\d|SOTA\b|baseline\b|leaderboard\b|record\b)",
    re.IGNORECASE,
)
_LOST = re.compile(r"degradation|penalty|\bgap\b|\bcost\b|\bloss\b", re.IGNORECASE)
_ONLY_GAP = re.compile(r"\W*gap\W*$", re.IGNORECASE)
_QUANTIZED = re.compile(r"quant|int\d|round-?trip|\bRT\b|\bpost\b|gptq|\bq\b|float", re.IGNORECASE)
_REMOVED = re.compile(  # what the row is without is what it tells of: none, then the thing
    r"\W{0,4}(?:without|w/o|no|remov(?:e|ed|ing)|disabl(?:e|ed|ing))\s(?!change)", re.IGNORECASE
)
_FULL = re.compile(r"\W{0,4}(\d\.\d{4,8})(?!\d)")
_RANGE = re.compile(r"\d?\.\d+ ?(?:to|-) ?[+-]?~?\d?\.\d")
_IN_NATS = re.compile(r"\W{0,4}\d?\.\d+ nats?\b(?!.*bp[bp])", re.IGNORECASE)
_IN_TITLE = re.compile(r"\((\d\.\d{3,8})\)")
_SCORE_TITLE = re.compile(r"\bbp[bp]\b|\bscore\b|\bNN\b", re.IGNORECASE)
_CALLED_BY_SCORE = re.compile(r"\W*\d\.\d{3}")
_LAST_DIGIT = 6e-4  # bpb: what three decimals leave of one number
_FAR = 30  # rows: a change counts from one so near, the first or the control
_ROUNDED = 1.1e-3  # bpb: what three decimals leave of a difference of two scores
_JOINED = re.compile(r"^\W*(?:both|all|combined|everything)\b", re.IGNORECASE)


def delta_rows(reading: Reading, table: Table, columns: Columns) -> Iterator[Ablation]:
    """Yield what each row of a table with a column of changes reports, under one sign."""
    index = next(
        (i for i in reversed(columns.delta) if not re.search("nats", table.header[i], re.I)),
        columns.delta[-1],
    )
    title = table.header[index]
    titled = "nats" if re.search("nats", title, re.I) and "bpb" not in title.lower() else "bpb"
    flipped = flipped_by(reading, table, columns)
    ladder = sum(bool(PLUS.match(cell(row, columns.label))) for row in table.rows) >= 2
    ladder = ladder and not _restated(table, columns)
    running = _stepwise(table, columns) if ladder else {}
    column_variable = penalty_variable(title) or _between_columns(table, columns)
    column_variable = column_variable or _of_each_score(table, columns, title)
    quantized = _QUANTIZED.search(" ".join((*table.header, *table.section[1:])))
    if _ONLY_GAP.match(title) and (not quantized or _of_sliding(table, columns)):
        column_variable = _between_columns(table, columns)
        if column_variable is None:
            return
    if _LOST.search(title) and re.search("quanti", table.header[columns.label], re.I):
        column_variable = STAGE_CONTRASTS["quantized"]
    rows = table.rows
    if is_log(table, columns.label) and _between_columns(table, columns):
        rows = rows[-1:]  # two courses side by side: where they end counts
    failed, above, last_label = left_out(reading, table), set[str](), ""
    for row in rows:
        above |= held([last_label])
        label = last_label = cell(row, columns.label)
        delta = cell_delta(row, index)
        if delta is None or closes(label) or NOT_RUN.search(label):
            continue
        if _NOT_A_CHANGE.match(label) or (
            columns.kind is None and _of_settings(row, index, delta)
        ):
            continue
        if any(NOT_RUN.search(cell(row, at)) for at in (index, *columns.bpb)):
            continue
        if _RANGE.search(cell(row, index)):
            continue
        unit = "nats" if _IN_NATS.match(cell(row, index)) else titled
        if (
            re.search(r"\bm-?bp[bp]\b", title, re.IGNORECASE)
            and "bp" not in cell(row, index).lower()
        ):
            delta /= 1000
        if column_variable:
            text = cell(row, index)
            yield gap_contrast(reading, row, column_variable, delta, text, flipped, unit)
            continue
        if ANOTHER.match(label):
            continue
        delta = signed(delta, cell(row, index), title, flipped)
        delta = running.get(row.line, _exact(table, columns, row, delta))
        if (last := _goes_on(table, columns, row, delta)) is not None:
            label = beyond(label, cell(last, columns.label))
        if abs(delta) > 2:
            continue
        kind = "cumulative" if ladder and PLUS.match(label) else "single"
        if (taken := _REMOVED.match(label)) and not _stays(label):
            delta, label = -delta, label[taken.end() :]
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
            had = {*failed, *(above if kind == "cumulative" else ())}
            yield from row_contrast(reading, row, label, delta, unit, kind, ends, had=had)


def _of_sliding(table: Table, columns: Columns) -> bool:
    """Whether a gap lies between a sliding window's score and another: not quantization's."""
    return "sliding" in [stage_of(table.header[index]) for index in columns.bpb]


def _of_settings(row: Row, index: int, delta: float) -> bool:
    """Whether a change is of a setting, not of the score: | swa_frac | 0.35 | 0.40 | -0.05 |."""
    numbers = [
        parse_number(re.sub(r"[*`~ ]", "", text)) for text in row.cells[max(0, index - 2) : index]
    ]
    if len(numbers) < 2 or delta == 0:
        return False
    first, second = numbers
    if (
        first is None
        or second is None
        or (first > 0.9 and re.search(r"\.\d{3}", row.cells[index - 1]))
    ):
        return False
    return abs(abs(second - first) - abs(delta)) < 1e-6


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
    if abs(delta * 1e3 - round(delta * 1e3)) >= 1e-6 or not columns.bpb:
        return delta
    index = columns.bpb[-1]
    if (score := _FULL.match(cell(row, index))) is None:
        return delta
    if titled := _IN_TITLE.search(table.header[columns.delta[-1]]):  # "vs baseline (1.667)"
        exact = round(float(score.group(1)) - float(titled.group(1)), 8)
        if abs(exact - delta) <= _ROUNDED:
            return exact
    near = table.rows[max(1, at - _FAR) : at]
    others = (*table.rows[: min(1, at)], *near, _control(table, columns))
    apart = [
        (_told(table, columns, end), -abs(exact - delta), exact)
        for other in others
        if other is not None and other is not row and (match := _FULL.match(cell(other, index)))
        for end in [float(match.group(1))]
        for exact in [round(float(score.group(1)) - end, 8)]
        if abs(exact - delta) <= 5.1e-4
    ]
    return max(apart)[2] if apart else delta


@lru_cache(maxsize=128)  # each row of a table asks
def _control(table: Table, columns: Columns) -> Row | None:
    """The row that most changes count from: its score less theirs is what they state."""
    scored = [
        (row, score)
        for row in table.rows
        if (score := cell_score(row, columns.bpb[-1])) is not None
    ]
    best = max(scored, key=lambda one: _told(table, columns, one[1]), default=None)
    return best[0] if best and _told(table, columns, best[1]) >= 2 else None


def _told(table: Table, columns: Columns, control: float) -> int:
    """How many rows state a change that counts from a score."""
    ends = _ends(table, columns)
    return bisect(ends, control + _LAST_DIGIT) - bisect(ends, control - _LAST_DIGIT)


@lru_cache(maxsize=128)  # each row of a table asks
def _ends(table: Table, columns: Columns) -> tuple[float, ...]:
    """What each row's change may count from: its score less the change, or with it."""
    found = (
        (score, cell_delta(row, columns.delta[-1]))
        for row in table.rows
        if (score := cell_score(row, columns.bpb[-1])) is not None
    )
    return tuple(
        sorted(end for score, delta in found if delta for end in (score - delta, score + delta))
    )


def _of_each_score(table: Table, columns: Columns, title: str) -> tuple[str, str, str] | None:
    """What brought each row's change, where the row is called by the score that it had before.

    | NN BPB | Δ adaptive | below "Byte-level PPM mixture": the nearest title that names one thing.
    """
    before = table.header[columns.label]
    called = [cell(row, columns.label) for row in table.rows]
    if not _SCORE_TITLE.search(before) or not all(map(_CALLED_BY_SCORE.match, called)):
        return None
    for words in (title, *reversed(table.section)):
        named = list(dict.fromkeys(name for name, _, _ in changes_in(words)))
        if len(named) == 1 or (named and words == table.section[0]):
            told = next((name for name in named if name in STAGE_VARIABLES), named[0])
            return told, before[:80], title[:80]
    return None


def compares_columns(table: Table, columns: Columns) -> bool:
    """Whether two runs stand side by side, with what lies between them: of each stage."""
    if len(columns.bpb) != 2 or any(stage_of(table.header[index]) for index in columns.bpb):
        return False
    return _between_columns(table, columns) is not None


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
            gaps.append(abs(after - before - delta) < _ROUNDED)
    if len(gaps) < 2 or not all(gaps):
        return None
    title = table.header[second]
    stage = stage_of(title)
    if stage in STAGE_CONTRASTS and (stage == "mixed" or stage_of(table.header[first])):
        return STAGE_CONTRASTS[stage]
    named = changes_in(title)
    variable = named[0][0] if named else f"other:{slug(title)}"
    return variable, table.header[first][:80], title[:80]


def _restated(table: Table, columns: Columns) -> bool:
    """Whether a later row names what an earlier one added: each row then stands alone."""
    rows = [cell(row, columns.label) for row in table.rows]
    if any(_JOINED.match(PLUS.sub("", row)) for row in rows if PLUS.match(row)):
        return True
    added = [PLUS.sub("", row).strip().lower() for row in rows if PLUS.match(row)]
    if any(
        later.startswith(f"{earlier} +")
        for at, earlier in enumerate(added)
        for later in added[at + 2 :]
    ):
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


def _stays(label: str) -> bool:
    """Whether a row's name sets the thing that is left out against another: "No X, Y only"."""
    return bool(re.search(r"\bonly\b|->|→|\bbaseline\b", label, re.IGNORECASE))
