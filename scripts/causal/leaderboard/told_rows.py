"""Rows of tables without a score that say in words what their thing brought."""

from __future__ import annotations

import re
from collections.abc import Iterator

from scripts.causal.leaderboard.contrasts import NOT_RUN, Reading
from scripts.causal.leaderboard.document import Block, Row, Table
from scripts.causal.leaderboard.numbers import in_bits
from scripts.causal.leaderboard.row_contrasts import closes, left_out, row_contrast
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.sentences import HYPOTHETICAL, NOT_A_CHANGE, PENALTY
from scripts.causal.leaderboard.stated_deltas import (
    StatedDelta,
    exactly,
    is_gain,
    signed_by_words,
    stated_deltas,
)
from scripts.causal.leaderboard.table_roles import PULL_REQUEST, titles_of
from scripts.causal.leaderboard.tables import Columns, cell

_MOST = 0.1  # bpb: of a change without its sign
_METRIC = re.compile(  # a row of metrics, or none with words
    r"\bbp[bp]\b|\bgain|\bimprove|\bdelta|Δ|\bpenalty|\bgap\b|\bbenefit|\bdegradation|\bvs\.?\s|"
    r"\bcost\b|^[^A-Za-z]*[A-Za-z]?[^A-Za-z]*$",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\d ?(?:to|-) ?\d?\.\d")
_VERDICT = re.compile(
    r"\W*(?:[A-Za-z][\w -]{0,30}?)?[ :(~]{0,3}([+-])(0?\.\d{3,5})"
    r"(?=\W*$|[,;)]| \(| (?:pre|post)-?quant)",
    re.IGNORECASE,
)


def told_rows(reading: Reading, table: Table, columns: Columns) -> Iterator[Ablation]:
    """Yield what a row's remark states: | XSA on all layers | Free. -0.0016 BPB vs the last 4 |.

    One change in one row; a table with a column of scores or of changes is read by that.
    """
    titles = (titles_of(table), *table.header)
    if columns.bpb or columns.delta or any(map(NOT_RUN.search, titles)):
        return
    had = left_out(reading, table)
    for row in table.rows:
        label = cell(row, columns.label)
        if closes(label) or PULL_REQUEST.search(label) or _METRIC.search(label):
            continue
        if (change := _told(table, row, columns.label)) is not None:
            yield from row_contrast(reading, row, label, change, "bpb", "single", had=had)


def _told(table: Table, row: Row, label: int) -> float | None:
    """The one change in bpb that a row's other cells state."""
    stated = [
        (delta, text)
        for index, cell_text in enumerate(row.cells)
        if index != label and "." in cell_text
        for text in [in_bits(cell_text)]
        for delta in stated_deltas(text) or _verdict(text)
    ]
    if len(stated) != 1:
        return None
    delta, text = stated[0]
    if not delta.sign and delta.number > _MOST and not is_gain(delta, text):
        return None  # a score
    if delta.unit.startswith("nat") or _unsure(text) or PENALTY.search(text):
        return None
    change = signed_by_words(delta, text, Block("item", text, row.line, table.section))
    return None if change is None else exactly(change, text)


def _unsure(text: str) -> bool:
    """Whether a remark says what may be, or how sure a number is, and no change."""
    return any(words.search(text) for words in (HYPOTHETICAL, NOT_A_CHANGE, _RANGE))


def _verdict(text: str) -> list[StatedDelta]:
    """The change that a verdict gives without its unit: "DEAD: +0.013 pre-quant"."""
    match = _VERDICT.match(text)
    if match is None:
        return []
    return [StatedDelta(match.start(1), match.end(), match.group(1), float(match.group(2)), "bpb")]
