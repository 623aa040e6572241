"""Results given as a list of items, one run or change each, read as the tables they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from scripts.causal.leaderboard.contrasts import NOT_RUN
from scripts.causal.leaderboard.document import Block, Document, Row, Table
from scripts.causal.leaderboard.run_lines import told_run
from scripts.causal.leaderboard.table_roles import BASELINE, PLUS

_FRACTION = re.compile(r"\.\d\d")  # in every score and every change
_LISTING = ("item", "code", "paragraph")
_SAID = re.compile(r"bpb|->|→", re.IGNORECASE)  # where a line is no list item
_SETTING = re.compile(r"(?:export )?\w+\s?=\s?\S+(?:\s\\\\?|\s\w+=.*)?$")
_SEEDS = re.compile(r"\bseeds?\b", re.IGNORECASE)
_ABOUT = re.compile(r"\s?\b(?:experiment|sweep|ablation|scan|test|tuning|result)s?\b.*", re.I)
_COLUMNS = {"score": ("Run", "val_bpb"), "change": ("Change", "Δ bpb")}


@dataclass(frozen=True)
class _Item:
    kind: str
    row: Row
    section: tuple[str, ...]
    heading: str


def listed_tables(document: Document) -> list[Table]:
    """Return one table of two columns for each list whose items are runs with their scores.

    A score that stands alone under "Baseline:" becomes the first row of the lists that follow it
    below the same heading and name no control of their own.
    """
    tables = []
    control: tuple[tuple[str, ...], Row] | None = None
    for items in _lists(document):
        first = items[0]
        rows = [item.row for item in items]
        if len(rows) == 1 and first.kind == "score":
            named = f"{first.section[-1] if first.section else ''} {rows[0].cells[0]}"
            if BASELINE.search(named):
                label = rows[0].cells[0]
                known = label if BASELINE.search(label) else f"{label} (baseline)"
                control = first.section[:2], replace(rows[0], cells=(known, rows[0].cells[1]))
            continue
        if len(rows) < 2 or len({row.cells[0] for row in rows}) < len(rows):
            continue
        own = any(BASELINE.search(row.cells[0]) or PLUS.match(row.cells[0]) for row in rows)
        if control and control[0] == first.section[:2] and not own and first.kind == "score":
            rows = [control[1], *rows]
        title, column = _COLUMNS[first.kind]
        if not any(re.search("[A-Za-z]", row.cells[0]) for row in rows) and first.heading:
            title = _ABOUT.sub("", first.heading)  # "Vocabulary experiments" of 1024, 1536, 2048
        tables.append(Table((title, column), tuple(rows), rows[0].line, first.section))
    return tables


def _lists(document: Document) -> Iterator[list[_Item]]:
    """Yield what neighbouring list items or lines say, scores and changes apart."""
    items: list[_Item] = []
    intro = ""
    for before, block in pairwise(
        (Block("heading", "", 0), *document.blocks, Block("row", "", 0))
    ):
        if block.kind != "item":
            yield from _kinds(items)
            items = []
        if block.kind not in _LISTING:
            continue
        if before.kind != "item" or block.kind != "item":
            intro = before.text if before.kind == "paragraph" else ""
            intro = intro.rsplit("\n", 1)[-1][-120:] if intro.endswith(":") else ""
        if block.kind == "item":
            items += _items(block, [block.text[:200].partition("\n")[0]], intro)
        elif "\n" in block.text:
            yield from _kinds(_lines(block, intro))


def _kinds(items: list[_Item]) -> Iterator[list[_Item]]:
    for kind in _COLUMNS if items else ():
        if same := [item for item in items if item.kind == kind]:
            yield same


def _lines(block: Block, intro: str) -> list[_Item]:
    """The runs that the lines of a log, or of a paragraph that is nothing else, tell."""
    lines = [" ".join(line.split()) for line in block.text.split("\n")]
    told = [line if _SAID.search(line) and not _SETTING.match(line) else "" for line in lines]
    items = _items(block, told, intro)
    least = len(lines) if block.kind == "paragraph" else 2
    return items if len(items) >= max(2, least * 2 / 3) else []


def _items(block: Block, lines: list[str], intro: str) -> list[_Item]:
    section = (*block.section, intro) if intro else block.section
    heading = block.section[-1] if block.section else ""
    if section and (_SEEDS.search(section[-1]) or NOT_RUN.search(" / ".join(section[1:]))):
        return []
    return [
        _Item(told.kind, Row((told.label, told.number), block.line + at), section, heading)
        for at, line in enumerate(lines)
        if len(line) <= 200 and _FRACTION.search(line) and (told := told_run(line)) is not None
    ]
