"""submission.json as a flat list of facts, each with its line; nothing in it is trusted."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from scripts.causal.files import InputError, read_text

MAX_BYTES = 2 * 1024 * 1024
MAX_FACTS = 20_000

# A string literal; when a colon follows it, it is an object's key, and a string can be nothing
# else there. Scanning from the start keeps quotes inside strings from being mistaken for ends.
_STRING = re.compile(r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"(\s*:)?')

# A Markdown fence that came along when the text was pasted.
_FENCE = re.compile(r"\A\s{0,99}```(?:json)?\s*?$|^```\s*\Z", re.MULTILINE)

Scalar = bool | int | float | str | None


@dataclass(frozen=True)
class Fact:
    """One scalar of the JSON tree.

    Attributes:
        path: keys from the top, list positions as decimal strings.
        value: the scalar; NaN, infinities and numbers too long to be real are None.
        line: 1-based line of the key (of the innermost key, for list elements).
    """

    path: tuple[str, ...]
    value: Scalar
    line: int

    @cached_property  # every reader asks every fact
    def key(self) -> str:
        """The innermost name in lower case; list positions are skipped."""
        return next((part for part in reversed(self.path) if not part.isdigit()), "").lower()


class _Pairs(list[tuple[str, Any]]):
    """An object's members in file order, duplicates kept."""


def parse_submission_json(text: str, where: Path | str) -> list[Fact]:
    """Return every scalar of the JSON object in file order; of a repeated key, each occurrence.

    Raises:
        InputError: the text is not JSON, or its top level is not an object.
    """
    try:
        tree = json.loads(
            _unfenced(text.removeprefix("\ufeff")),
            object_pairs_hook=_Pairs,
            parse_int=_integer,
            parse_float=_real,
            parse_constant=lambda name: None,
        )
        if not isinstance(tree, _Pairs):
            kind = "list" if isinstance(tree, list) else "single value"
            raise InputError(f"holds a JSON {kind}, not an object", where=where)
        return list(_limited(_walk(tree, (), iter(_key_lines(text)), 1)))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not valid JSON: {error}", where=where) from error


def read_submission_json(path: Path) -> list[Fact]:
    """Read and parse a file.

    Raises:
        InputError: unreadable, too large, not JSON or not an object.
    """
    return parse_submission_json(read_text(path, limit=MAX_BYTES), path)


def _unfenced(text: str) -> str:
    return _FENCE.sub("", text) if "```" in text else text


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= 18 else None


def _real(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _key_lines(text: str) -> Iterator[int]:
    """Yield the line of every object key, in file order: the order of a walk from the top."""
    line, at = 1, 0
    for match in _STRING.finditer(text):
        if match.group(1) is not None:
            line += text.count("\n", at, match.start())
            at = match.start()
            yield line


def _walk(node: Any, path: tuple[str, ...], lines: Iterator[int], line: int) -> Iterator[Fact]:
    if isinstance(node, _Pairs):
        for key, value in node:
            yield from _walk(value, (*path, key[:200]), lines, next(lines, line))
    elif isinstance(node, list):
        for position, value in enumerate(node):
            yield from _walk(value, (*path, str(position)), lines, line)
    else:
        yield Fact(path, node, line)


def _limited(facts: Iterator[Fact]) -> Iterator[Fact]:
    for count, fact in enumerate(facts):
        if count >= MAX_FACTS:
            return
        yield fact
