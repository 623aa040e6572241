"""Markdown as tokens of blocks, with their source lines: CommonMark and tables, nothing inline."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from markdown_it import MarkdownIt, rules_block
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token

# With what a line begins that a block rule can be of; other rules have to look at the whole line.
_BEGIN_WITH = {
    rules_block.fence: "`~", rules_block.blockquote: ">", rules_block.hr: "*-_",
    rules_block.list_block: "*+-0123456789", rules_block.reference: "[",
    rules_block.html_block: "<", rules_block.heading: "#",
}  # fmt: skip
TABLE = "table"  # the one token of a table; its meta: rows, of (0-based line, cells), header first
_PIPE = re.compile(r"(?<!\\)\|")
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


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Match what the library's rule for tables matches, and make one token of it.

    The library makes three tokens of every cell, which are most of a README's.
    """
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
    return _PARSER.parse(text)
