"""A README as Markdown blocks, each with its source line and the headings above it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal
from unicodedata import category

from markdown_it import MarkdownIt, rules_block
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token

MAX_LINE = 8_000  # characters of one line that are read: longer lines are data, not prose
MAX_LINES = 20_000
MAX_CELLS = 20_000  # of all tables; the widest reports have two thousand

Kind = Literal["heading", "paragraph", "item", "code", "row"]

# With what a line begins that a block rule can be of; other rules have to look at the whole line.
_BEGIN_WITH = {
    rules_block.fence: "`~", rules_block.blockquote: ">", rules_block.hr: "*-_",
    rules_block.list_block: "*+-0123456789", rules_block.reference: "[",
    rules_block.html_block: "<", rules_block.heading: "#",
}  # fmt: skip
BlockRule = Callable[[StateBlock, int, int, bool], bool]


def _by_mark(rules: Sequence[BlockRule]) -> BlockRule:
    """Return one rule that tries of these, in their order, what the line's first mark allows."""
    able = {
        mark: [rule for rule in rules if mark in _BEGIN_WITH.get(rule, mark)]
        for mark in "".join(_BEGIN_WITH.values())
    }
    other = [rule for rule in rules if rule not in _BEGIN_WITH]

    def first(state: StateBlock, line: int, end: int, silent: bool) -> bool:
        at = state.bMarks[line] + state.tShift[line]
        for rule in able.get(state.src[at : at + 1], other):
            if rule(state, line, end, silent):
                return True
        return False

    return first


def _parser() -> MarkdownIt:
    """Return a parser of blocks: CommonMark and tables.

    Only the block rules run: inline markup is taken off by `plain`, so every block keeps one text
    line per source line, and a hostile inline sequence costs nothing. Seven of eleven rules cannot
    be of a line that begins with a letter: they are not asked, which saves a fifth of the time.
    """
    parser = MarkdownIt("commonmark", {"maxNesting": 30}).enable("table")
    parser.core.ruler.enableOnly(["block"])  # `_bounded` already made every line break "\n"
    ruler = parser.block.ruler
    enders = ("paragraph", "reference", "blockquote", "list")
    found = {name: _by_mark(ruler.getRules(name)) for name in ("", *enders)}
    ruler.at("code", found[""], {"alt": []})  # by this name the parser knows indented code
    for name in enders:
        ruler.push(f"ends {name}", found[name], {"alt": [name]})
    ruler.enableOnly(["code", *(f"ends {name}" for name in enders)])
    return parser


_PARSER = _parser()
# Two thirds of all tokens; their text comes in an "inline" token.
_PASSED_OVER = {
    "td_open", "td_close", "th_open", "th_close", "paragraph_open", "paragraph_close",
    "tbody_open", "tbody_close", "heading_close",
}  # fmt: skip

_LINK = re.compile(
    r"!?\[([^\[\]\n]{0,300})\]\([^()\s]{0,500}(?:\([^()\s]{0,100}\))?[^()\n]{0,200}\)"
)
_TAG = re.compile(r"</?[a-zA-Z][^<>\n]{0,300}>")
_UNSEEN = re.compile(r"<!--[^\n]{0,300}?-->")  # a page does not show it: neither do we read it
_UNSEEN_BLOCK = re.compile(r"\s{0,3}<(?:!--|script\b|style\b|[?!])", re.IGNORECASE)
_MARKS = re.compile(r"\*\*|__|`|(?<![\w*])\*(?=\S)|(?<=\S)\*(?![\w*])|~~")
_SPACES = re.compile(r"[ \t\u00a0\u2000-\u200a\u202f]+")
_INVISIBLE = {"\x00": " ", **dict.fromkeys("\u200b\u200e\u200f\u2060\ufeff", "")} | dict.fromkeys(
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    "",  # these turn the text's direction
)
_HIDDEN = {"Cc", "Cf", "Cs", "Co"}  # controls, invisible formatting, lone surrogates
_SHOWN = str.maketrans(_INVISIBLE)
_SAME = str.maketrans(
    {
        "−": "-", "–": "-", "‑": "-", "‐": "-", "×": "x", "✕": "x", "²": "^2", "≈": "~",
        "’": "'", "“": '"', "”": '"', **_INVISIBLE,
    }
)  # fmt: skip


def plain(text: str) -> str:
    """Take inline markup off one line and write look-alike characters one way."""
    # Most lines have no link and no tag, and their characters are ASCII: to ask costs a fiftieth.
    if not text.isascii() or "\x00" in text:
        text = text.translate(_SAME)
    if "<" in text:
        text = _UNSEEN.sub(" ", text)
    if "](" in text:
        text = _LINK.sub(r"\1", text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "*" in text or "`" in text or "__" in text or "~~" in text:
        text = _MARKS.sub("", text)
    text = text.replace("\\_", "_").replace("\\|", "|")
    if not text.isascii() or "  " in text or "\t" in text:
        text = _SPACES.sub(" ", text)
    return text.strip()


@dataclass(frozen=True)
class Block:
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


@dataclass(frozen=True)
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
    header: tuple[str, ...] = ()
    rows: list[Row] = []
    cells: list[str] = []
    items = 0

    def section() -> tuple[str, ...]:
        return tuple(title for _, title in headings)

    tokens = _PARSER.parse("\n".join(lines).replace("\x00", "\ufffd"))
    for index, token in enumerate(tokens):
        if token.type in _PASSED_OVER:
            continue
        line = token.map[0] + 1 if token.map else 0
        if token.type in ("list_item_open", "list_item_close"):
            items += token.nesting
        elif token.type == "heading_open":
            level = int(token.tag[1])
            while headings and headings[-1][0] >= level:
                headings.pop()
            title = plain(_first_line(tokens[index + 1]))
            blocks.append(Block("heading", title, line, section()))
            headings.append((level, title))
        elif token.type == "inline" and tokens[index - 1].type == "paragraph_open":
            content = "\n".join(plain(part) for part in token.content.split("\n"))
            blocks.append(Block("item" if items else "paragraph", content, line, section()))
        elif token.type in ("fence", "code_block"):
            first = line + (token.type == "fence")
            content = token.content.rstrip("\n").translate(_SAME)
            blocks.append(Block("code", content, first, section()))
        elif token.type == "html_block" and not _UNSEEN_BLOCK.match(token.content):
            content = "\n".join(plain(part) for part in token.content.rstrip("\n").split("\n"))
            blocks.append(Block("paragraph", content, line, section()))
        elif token.type == "table_open":
            header, rows = (), []
        elif token.type == "tr_open":
            cells = []
        elif token.type == "inline" and tokens[index - 1].type in ("th_open", "td_open"):
            cells.append(plain(token.content))
        elif token.type == "tr_close":
            row_line = _row_line(tokens, index)
            blocks.append(Block("row", " | ".join(cells), row_line, section()))
            if header:
                rows.append(Row(tuple(cells), row_line))
            else:
                header = tuple(cells)
        elif token.type == "table_close" and header:
            first = rows[0].line - 2 if rows else 0
            tables.append(Table(header, tuple(rows), max(first, 1), section()))
    return Document(name, lines, tuple(blocks), tuple(tables), cut)


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
        long += len(line) > MAX_LINE
        line = line[:MAX_LINE]
        columns = max(columns, line.count("|")) if line and not line.isspace() else 0
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


def _first_line(token: Token) -> str:
    return token.content.split("\n", 1)[0]


def _row_line(tokens: list[Token], close: int) -> int:
    """Return the 1-based line of the row that `tokens[close]` ends."""
    for index in range(close - 1, -1, -1):
        token = tokens[index]
        if token.map and token.type in ("tr_open", "inline"):
            return token.map[0] + 1
        if token.type == "tr_open":
            break
    return 1
