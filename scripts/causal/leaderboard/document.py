"""A README as Markdown blocks, each with its source line and the headings above it."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple
from unicodedata import category

from scripts.causal.leaderboard.markdown_blocks import TABLE, block_tokens

MAX_LINE = 8_000  # characters of one line that are read: longer lines are data, not prose
MAX_LINES = 20_000
MAX_CELLS = 20_000  # of all tables; the widest reports have two thousand

Kind = Literal["heading", "paragraph", "item", "code", "row"]

_LINK = re.compile(
    r"!?\[([^\[\]\n]{0,300})\]\([^()\s]{0,500}(?:\([^()\s]{0,100}\))?[^()\n]{0,200}\)"
)
_TAG = re.compile(r"</?[a-zA-Z][^<>\n]{0,300}>")
_UNSEEN = re.compile(r"<!--[^\n]{0,300}?-->")  # a page does not show it: neither do we read it
_UNSEEN_BLOCK = re.compile(r"\s{0,3}<(?:!--|script\b|style\b|[?!])", re.IGNORECASE)
_MARKS = re.compile(r"\*\*|__|`|(?<![\w*])\*(?=\S)|(?<=\S)\*(?![\w*])|~~")
# Spaces that are not one plain space: a match for every gap between words would cost more.
_SPACES = re.compile(r"[ \t\u00a0\u2000-\u200a\u202f]{2,}|[\t\u00a0\u2000-\u200a\u202f]")
_INVISIBLE = {"\x00": " ", **dict.fromkeys("\u200b\u200e\u200f\u2060\ufeff", "")} | dict.fromkeys(
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    "",  # these turn the text's direction
)
_HIDDEN = {"Cc", "Cf", "Cs", "Co"}  # controls, invisible formatting, lone surrogates
_SHOWN = str.maketrans(_INVISIBLE)
_SAME = {
    "−": "-", "–": "-", "‑": "-", "‐": "-", "×": "x", "✕": "x", "²": "^2", "≈": "~",
    "’": "'", "“": '"', "”": '"', **_INVISIBLE,
}  # fmt: skip
_ALIKE = re.compile(f"[{''.join(_SAME)}]")


def plain(text: str) -> str:
    """Take inline markup off one line and write look-alike characters one way."""
    # Most lines have no link and no tag, and their characters are ASCII: to ask costs a fiftieth.
    text = _alike(text)
    if "<" in text:
        text = _UNSEEN.sub(" ", text)
    if "](" in text:
        text = _LINK.sub(r"\1", text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "*" in text or "`" in text or "__" in text or "~~" in text:
        text = _unmarked(text)
    if "\\" in text:
        text = text.replace("\\_", "_").replace("\\|", "|")
    if not text.isascii() or "  " in text or "\t" in text:
        text = _SPACES.sub(" ", text)
    return text.strip()


def _alike(text: str) -> str:
    """Write look-alike characters one way, and invisible ones not at all."""
    if text.isascii() and "\x00" not in text:
        return text
    return _ALIKE.sub(lambda found: _SAME[found.group()], text)


def _unmarked(text: str) -> str:
    """Take off the marks of emphasis and code."""
    if "__" not in text and "~~" not in text:
        unpaired = text.replace("**", "")
        if "*" not in unpaired:  # as nearly always
            return unpaired.replace("`", "")
    return _MARKS.sub("", text)


class Block(NamedTuple):  # a README has a hundred, and a tuple is made four times as fast
    """One piece of text.

    Attributes:
        kind: heading, paragraph, list item, fenced or indented code, or one table row.
        text: markup removed, one line per source line.
        line: 1-based source line of the first line.
        section: headings above, outermost first.
    """

    kind: Kind
    text: str
    line: int
    section: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One table row: cells without markup, and its 1-based source line."""

    cells: tuple[str, ...]
    line: int


@dataclass(frozen=True, eq=False)  # hashed by every question that is asked once of a table
class Table:
    """A table with its header cells, body rows and the headings above it."""

    header: tuple[str, ...]
    rows: tuple[Row, ...]
    line: int
    section: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """A parsed README; `name` is the file name that sources cite."""

    name: str
    lines: tuple[str, ...]
    blocks: tuple[Block, ...] = field(default=())
    tables: tuple[Table, ...] = field(default=())
    cut: str = ""  # what was left unread because it is too long, in words

    def quote(self, line: int) -> str:
        """Return the source line as it shows, stripped and at most 300 characters long."""
        if not 0 < line <= len(self.lines):
            return ""
        return self.lines[line - 1].translate(_SHOWN).strip()[:300]

    @cached_property
    def text(self) -> str:
        """All blocks' texts, one after another with a line break between."""
        return "\n".join(block.text for block in self.blocks)

    @cached_property
    def _starts(self) -> list[int]:
        starts, at = [], 0
        for block in self.blocks:
            starts.append(at)
            at += len(block.text) + 1
        return starts

    def place_of(self, offset: int) -> tuple[int, int]:
        """Return which block holds `offset` of `text`, by index, and in which of its lines."""
        index = bisect_right(self._starts, offset) - 1
        return index, self.text.count("\n", self._starts[index], offset)


def parse_document(text: str, name: str = "README.md") -> Document:
    """Parse Markdown text; overlong lines, files and tables are cut, never refused."""
    lines, cut = _bounded(text)
    blocks: list[Block] = []
    tables: list[Table] = []
    headings: list[tuple[int, str]] = []
    section: tuple[str, ...] = ()
    level = items = 0
    before = ""
    for token in block_tokens("\n".join(lines).replace("\x00", "\ufffd")):
        kind, before_it, before = token.type, before, token.type
        line = token.map[0] + 1 if token.map else 0
        if kind == "inline" and before_it == "paragraph_open":
            content = _plain_lines(token.content)
            blocks.append(Block("item" if items else "paragraph", content, line, section))
        elif kind == "inline" and before_it == "heading_open":
            title = plain(token.content.split("\n", 1)[0])
            blocks.append(Block("heading", title, line, section))
            headings.append((level, title))
            section = tuple(title for _, title in headings)
        elif kind == "heading_open":
            level = int(token.tag[1])
            while headings and headings[-1][0] >= level:
                headings.pop()
            section = tuple(title for _, title in headings)
        elif kind in ("list_item_open", "list_item_close"):
            items += token.nesting
        elif kind in ("fence", "code_block"):
            content = _alike(token.content.rstrip("\n"))
            inside = line + (kind == "fence" and content != "")
            blocks.append(Block("code", content, inside, section))
        elif kind == "html_block" and not _UNSEEN_BLOCK.match(token.content):
            content = _plain_lines(token.content.rstrip("\n"))
            blocks.append(Block("paragraph", content, line, section))
        elif kind == TABLE:
            header, *rows = (
                Row(tuple(map(plain, cells)), at + 1) for at, cells in token.meta["rows"]
            )
            blocks += [
                Block("row", " | ".join(row.cells), row.line, section) for row in (header, *rows)
            ]
            tables.append(Table(header.cells, tuple(rows), line, section))
    return Document(name, lines, tuple(blocks), tuple(tables), cut)


def _plain_lines(text: str) -> str:
    return "\n".join(map(plain, text.split("\n")))


def visible(text: str) -> str:
    """Take off the marks that do not show or that turn the text's direction, and controls."""
    shown = text.translate(_SHOWN)
    return "".join(mark for mark in shown if mark.isspace() or category(mark) not in _HIDDEN)


def _bounded(text: str) -> tuple[tuple[str, ...], str]:
    """Cut long lines, many lines, and lines from where tables would hold too many cells.

    Returns:
        The lines that are read, and in words what is not ("" for nothing).

    A table's row of two characters becomes as many cells as its header has: what a few
    kilobytes can ask for is counted before the parser meets it.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # as the parser counts lines
    lines: list[str] = []
    columns = cells = long = 0
    given = text.split("\n", MAX_LINES)
    for line in given[:MAX_LINES]:
        if len(line) > MAX_LINE:
            long, line = long + 1, line[:MAX_LINE]
        if not line or line.isspace():
            columns = 0
        elif "|" in line:
            columns = max(columns, line.count("|"))
        cells += columns
        if cells > MAX_CELLS:
            break
        lines.append(line)
    cut = []
    if any(given[len(lines) :]):
        why = "lines" if len(lines) == MAX_LINES else "table cells"
        bound = MAX_LINES if len(lines) == MAX_LINES else MAX_CELLS
        cut.append(f"not read beyond line {len(lines):,} (more than {bound:,} {why})")
    if long:
        cut.append(f"{long:,} lines read only to their first {MAX_LINE:,} characters")
    return tuple(lines), "; ".join(cut)
