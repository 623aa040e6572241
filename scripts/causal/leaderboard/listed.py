"""Results given as a list of items, one run or change each, read as the tables they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from scripts.causal.leaderboard.document import Block, Document, Row, Table
from scripts.causal.leaderboard.table_roles import BASELINE, PLUS

_SCORE = re.compile(
    r"[^\w+]{0,3}(\+?[^\n|]{1,70}?)\s?(?::|->|→| - |—|=)\s?"
    r"(?:(?:val_)?bpb[ =:]{1,2})?~?(\d\.\d{3,10})(?![\d%]|\.\d)(?!\s?(?:->|→|s\b|ms\b|MB|nats))",
    re.IGNORECASE,
)
_FRACTION = re.compile(r"\.\d\d")  # in every score and every change
_CHANGE = re.compile(
    r"\W{0,3}([^\n:|()]{3,70}?)\s?(?:\(([+-]\d?\.\d{2,8})\)|: ?([+-]\d?\.\d{2,8})(?:$|[,;.]\s))"
)
_NO_RUN = re.compile(
    r"(?<![a-z])(?:bpb|loss|seeds?|mean|std|time|size|delta|gain|gap|p-?value|improvement|"
    r"submission|leaderboard|record)(?![a-z])|"
    r"Δ|^\W*(?:final|steps?|lr|best|score|ours|result)\W*$|\bstep[ :]?\d|\bchunk|"
    r"\bepoch \d|\d\.\d{3}|"
    r"\b(?:decay|momentum|beta|threshold|alpha|weight)\W*$",
    re.IGNORECASE,
)
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
    """Yield what neighbouring list items say, scores and changes apart."""
    items: list[_Item] = []
    intro = ""
    for before, block in pairwise(
        (Block("heading", "", 0), *document.blocks, Block("row", "", 0))
    ):
        if block.kind != "item":
            for kind in _COLUMNS if items else ():
                if same := [item for item in items if item.kind == kind]:
                    yield same
            items = []
            continue
        if before.kind != "item":
            intro = before.text if before.kind == "paragraph" else ""
            intro = intro.rsplit("\n", 1)[-1][-120:] if intro.endswith(":") else ""
        if (item := _item(block, intro)) is not None:
            items.append(item)


def _item(block: Block, intro: str) -> _Item | None:
    text = block.text[:200].partition("\n")[0]
    if not _FRACTION.search(text):
        return None
    section = (*block.section, intro) if intro else block.section
    heading = block.section[-1] if block.section else ""
    if section and _SEEDS.search(section[-1]):
        return None
    if match := _SCORE.match(text):
        label = match.group(1).strip()
        if 0.3 < float(match.group(2)) < 5 and not _NO_RUN.search(label):
            return _Item("score", Row((label, match.group(2)), block.line), section, heading)
    elif match := _CHANGE.match(text):
        label = match.group(1).strip()
        if re.search("[A-Za-z]{3}", label) and not _NO_RUN.search(label):
            change = match.group(2) or match.group(3)
            return _Item("change", Row((label, change), block.line), section, heading)
    return None
