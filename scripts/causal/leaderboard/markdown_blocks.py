"""Markdown as tokens of blocks, with their source lines: CommonMark and tables, nothing inline."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from markdown_it import MarkdownIt, rules_block
from markdown_it.common.utils import mdTrim
from markdown_it.rules_block import StateBlock

# With what a line begins that a block rule can be of; other rules have to look at the whole line.
_BEGIN_WITH = {
    rules_block.fence: "`~", rules_block.blockquote: ">", rules_block.hr: "*-_",
    rules_block.list_block: "*+-0123456789", rules_block.reference: "[",
    rules_block.html_block: "<", rules_block.heading: "#",
}  # fmt: skip
TABLE = "table"  # the one token of a table; its meta: rows, of (0-based line, cells), header first
_PIPE = re.compile(r"(?<!\\)\|")
BlockRule = Callable[[StateBlock, int, int, bool], bool]


class Token:
    """What is read of the library's token, in a class that is made in a third of the time.

    Attributes:
        type, tag, nesting, level: as the library has them.
        map: 0-based line of the beginning and of the end.
        content: the text between the markup.
        meta: of a TABLE its rows.
    """

    map: list[int] | None = None
    content: str = ""
    meta: dict[str, Any]

    def __init__(self, type: str, tag: str, nesting: int, level: int) -> None:
        self.type, self.tag, self.nesting, self.level = type, tag, nesting, level


class _State(StateBlock):
    """The library's state of a parse, with our tokens."""

    def push(self, ttype: str, tag: str, nesting: int) -> Any:
        self.level -= nesting < 0
        token = Token(ttype, tag, nesting, self.level)
        self.level += nesting > 0
        self.tokens.append(token)  # type: ignore[arg-type]
        return token


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


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Match what the library's rule for tables matches, and make one token of it.

    The library makes three tokens of every cell, which are most of a README's.
    """
    below = state.bMarks[start + 1] + state.tShift[start + 1]
    if state.src[below : below + 1] not in ("|", "-", ":"):  # as nearly always
        return False
    if not rules_block.table(state, start, end, True):
        return False
    if silent:
        return True
    enders = state.md.block.ruler.getRules("blockquote")
    parent, state.parentType = state.parentType, "table"
    head = _cells(_line(state, start))
    rows = [(start, head)]
    line = start + 2
    while line < end and state.sCount[line] >= state.blkIndent:
        text = _line(state, line)
        if not text or state.is_code_block(line):
            break
        if any(ends(state, line, end, True) for ends in enders):
            break
        cells = _cells(text)[: len(head)]
        rows.append((line, cells + [""] * (len(head) - len(cells))))
        line += 1
    token = state.push(TABLE, "table", 0)
    token.map = [start, line]
    token.meta = {"rows": rows}
    state.parentType = parent
    state.line = line
    return True


def _text(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Match a paragraph, or a heading that is underlined, as the library's two rules do.

    These read the lines twice: for an underline, and where there is none for the end.
    """
    enders = state.md.block.ruler.getRules("paragraph")
    parent, state.parentType = state.parentType, "paragraph"
    line, underline = start + 1, ""
    while line < end and not state.isEmpty(line):
        indent = state.sCount[line]
        if indent - state.blkIndent <= 3:
            underline = _underline(state, line) if indent >= state.blkIndent else ""
            if underline or (indent >= 0 and any(ends(state, line, end, True) for ends in enders)):
                break
        line += 1
    kind, tag = ("heading", f"h{'=-'.index(underline) + 1}") if underline else ("paragraph", "p")
    content = mdTrim(state.getLines(start, line, state.blkIndent, False))
    state.line = line + bool(underline)
    state.push(f"{kind}_open", tag, 1).map = [start, state.line]
    token = state.push("inline", "", 0)
    token.content, token.map = content, [start, line]
    state.push(f"{kind}_close", tag, -1)
    state.parentType = parent
    return True


def _underline(state: StateBlock, line: int) -> str:
    """The mark that a line consists of, where that makes a heading of the lines above."""
    at = state.bMarks[line] + state.tShift[line]
    mark = state.src[at : at + 1]
    if mark not in ("-", "="):
        return ""
    return mark if state.skipSpaces(state.skipCharsStr(at, mark)) >= state.eMarks[line] else ""


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].strip()


def _cells(text: str) -> list[str]:
    """Split a table's line at every "|" that no backslash stands before."""
    cells = text.split("|")
    if "\\|" in text:
        cells = [cell.replace("\\|", "|") for cell in _PIPE.split(text)]
    if cells and not cells[0]:
        cells.pop(0)
    if cells and not cells[-1]:
        cells.pop()
    return cells


def _parser() -> MarkdownIt:
    """Return a parser of blocks: CommonMark and tables.

    Only the block rules run: inline markup is taken off by `plain`, so every block keeps one text
    line per source line, and a hostile inline sequence costs nothing. Seven of eleven rules cannot
    be of a line that begins with a letter: they are not asked, which saves a fifth of the time.
    """
    parser = MarkdownIt("commonmark", {"maxNesting": 30}).enable("table")
    parser.core.ruler.enableOnly(["block"])  # `_bounded` already made every line break "\n"
    ruler = parser.block.ruler
    ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    ruler.at("lheading", _text)  # and no line is left for the library's paragraph
    enders = ("paragraph", "reference", "blockquote", "list")
    found = {name: _by_mark(ruler.getRules(name)) for name in ("", *enders)}
    ruler.at("code", found[""], {"alt": []})  # by this name the parser knows indented code
    for name in enders:
        ruler.push(f"ends {name}", found[name], {"alt": [name]})
    ruler.enableOnly(["code", *(f"ends {name}" for name in enders)])
    return parser


_PARSER = _parser()


def block_tokens(text: str) -> list[Token]:
    """Return the tokens of a text's blocks in its order; those of a table are one, TABLE."""
    tokens: list[Any] = []
    state = _State(text, _PARSER, {}, tokens)
    _PARSER.block.tokenize(state, 0, state.lineMax)
    return tokens
