"""Where a text or a table names techniques, and with which values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import islice

from interventions.aliases import SWITCH, Alias, aliases_in, load_aliases, words_of
from interventions.keywords import Text
from interventions.vocabulary import Value, load_variables
from scripts.causal.leaderboard.document import Table
from scripts.causal.leaderboard.numbers import parse_number, tidy
from scripts.causal.leaderboard.tables import columns_of

MAX_MATCHES = 200  # of one pattern in one text: what is said more often is said

_THEIRS = re.compile(
    r"baseline|previous|prior|before|default|\bold\b|parent|#\d|\bfrom\b|\bbase\b|sota|control",
    re.I,
)
_MINE = re.compile(r"\bthis|\bours?\b|\bnew\b|\bafter\b|\bnow\b|#\d|\bto\b|tuned", re.IGNORECASE)
_SETTING = re.compile(
    r"(?<![\w.$-])([A-Za-z][A-Za-z0-9_]{2,48}+)\s?[=:]\s?[\"']?([\w.,+-]{1,40})(?![\w.,+-]|\s?=)"
)
_ROW_SETTING = re.compile(r"^([A-Za-z][A-Za-z0-9_]{2,48}) \| ([\w.,+-]{1,40})(?: \||$)")
_ROW_PAIR = re.compile(r"^(\w{3,48}) ?/ ?(\w{3,48}) \| ([\d.,]{1,12}) ?/ ?([\d.,]{1,12})")
_OFF = ("0", "false", "no", "off", "none", "0.0", "not", "removed", "disabled")
_ON = ("true", "yes", "on", "enabled", "used", "all", "full", "default")
_TARGET = re.compile(r"\s?(?:->|→)\s?(\d[\d.,]*[kKM]?)")


def variables_in(text: str) -> list[tuple[str, Value | None, int]]:
    """Return (id, value or None, offset) of the techniques a short text names, in text order.

    Of overlapping mentions the longest counts.
    """
    return list(_variables_in(text))


def besides(text: str, variable: str) -> str:
    """Return a short text without its mentions of a technique."""
    for start, end, name, _ in _hits(text):
        if name == variable:
            text = text[:start] + " " * (end - start) + text[end:]
    return text


def _hits(text: str) -> list[tuple[int, int, str, Value | None]]:
    """Return (start, end, id, value) of all mentions: the first before, of these the longest."""
    words = words_of(text)
    hits = [
        (start, end, alias.variable, value)
        for alias in aliases_in(words)
        for start, end, value, _ in mentions(alias, words)
    ]
    for name, value, start, end in settings(text) if words.names else ():
        hits.append((start, end, name, None if value is True else value))
    return sorted(hits, key=lambda hit: (hit[0], -hit[1], hit[3] is None))


@lru_cache(maxsize=4096)  # the same few labels and stage names come again and again
def _variables_in(text: str) -> tuple[tuple[str, Value | None, int], ...]:
    chosen: list[tuple[str, Value | None, int]] = []
    seen: dict[str, int] = {}
    reached = -1
    for start, end, name, value in _hits(text):
        if name in seen:
            at = seen[name]
            if chosen[at][1] is None and value is not None:
                chosen[at] = (name, value, chosen[at][2])
            continue
        if start < reached and end <= reached:
            continue
        reached = max(reached, end)
        seen[name] = len(chosen)
        chosen.append((name, value, start))
    return tuple(chosen)


def own_column(table: Table) -> int | None:
    """Index of the submission's column beside a baseline's; None in tables of contrasts."""
    if len(table.header) < 3 or not _THEIRS.search(table.header[1]):
        return None
    if columns_of(table).kind is not None:
        return None
    return 2 if _MINE.search(table.header[2]) else None


def mentions(alias: Alias, text: Text) -> Iterator[tuple[int, int, Value | None, bool]]:
    """Yield (start, end, value or None, generic) of every place the alias matches."""
    taken: list[tuple[int, int]] = []
    able = text.able  # five of seven wordings are not: they are not even asked
    for wording in alias.numbers:
        for match in wording.find_all(text, MAX_MATCHES) if wording in able else ():
            number = parse_number(match.group(1))
            if (target := _TARGET.match(text.text, match.end())) is not None:
                number = parse_number(target.group(1))  # "3 -> 4": the value it ends at
            if number is None or not alias.holds(number):
                continue
            taken.append(match.span())
            yield match.start(), match.end(), tidy(number), False
    for generic, levels in ((False, alias.levels), (True, alias.generic)):
        for level, wording in levels:
            for match in wording.find_all(text, MAX_MATCHES) if wording in able else ():
                start, end = match.span()
                if not _overlaps(start, end, taken):
                    taken.append((start, end))
                    yield start, end, level, generic
    for wording in alias.mentions:
        for match in wording.find_all(text, MAX_MATCHES) if wording in able else ():
            start, end = match.span()
            if not _overlaps(start, end, taken):
                yield start, end, None, False


def _overlaps(start: int, end: int, taken: list[tuple[int, int]]) -> bool:
    for a, b in taken:  # noqa: SIM110 - any() over a generator takes twice as long
        if a < end and start < b:
            return True
    return False


@cache
def _names() -> dict[str, Alias]:
    return {name: alias for alias in load_aliases().values() for name in alias.env}


@cache
def _switches() -> dict[str, Alias]:
    return {name: alias for alias in load_aliases().values() for name in alias.switches}


def settings(text: str) -> Iterator[tuple[str, Value, int, int]]:
    """Yield (id, value, start, end) of every NAME=value, and of a table row's | NAME | value |."""
    if not ("=" in text or ":" in text or "|" in text):
        return
    pair = _ROW_PAIR.match(text)
    if pair:
        for key, value in ((1, 3), (2, 4)):
            found = setting(pair.group(key).lower(), pair.group(value))
            if found is not None:
                yield (*found, pair.start(key), pair.end(key))
    row = _ROW_SETTING.match(text)
    for match in [*([row] if row else ()), *islice(_SETTING.finditer(text), MAX_MATCHES)]:
        found = setting(match.group(1).lower(), match.group(2))
        if found is not None:
            yield (*found, match.start(), match.end())


def setting(key: str, text: str) -> tuple[str, Value] | None:
    """Return (id, value) of NAME=value; True for switched on, False for switched off."""
    alias = _names().get(key)
    switch = _switches().get(key)
    if alias is None and switch is None and not key.startswith(SWITCH):
        return None
    word = text.lower().rstrip(".,")
    if alias is not None and word in load_variables()[alias.variable].levels and word != "none":
        return alias.variable, word
    if switch is not None:
        known = word in _OFF or word in _ON or parse_number(word) is not None
        return (switch.variable, word not in _OFF) if known else None
    if alias is None:
        if word not in ("0", "1", "true", "false"):
            return None
        named = variables_in(key[4:].replace("_", " ")) or variables_in(key[4:])
        if not named:
            return None
        name, level, _ = named[0]
        return name, False if word in _OFF else True if level is None else level
    variable = load_variables()[alias.variable]
    number = parse_number(word)
    if word in _OFF:
        return alias.variable, False
    if word == "true":
        return alias.variable, True
    if variable.kind == "numeric":
        plausible = number is not None and alias.holds(number)
        return (alias.variable, tidy(number)) if plausible and number is not None else None
    if variable.kind == "binary":
        return (alias.variable, True) if word in ("1", "yes", "on", "1.0", "enabled") else None
    if alias.variable == "quant_bits" and number in (4, 5, 6, 7, 8):
        return alias.variable, f"int{number:.0f}"
    if alias.variable == "rope_dims":
        return (alias.variable, "partial") if number and number < 64 else None
    for level, wording in (*alias.levels, *alias.generic):
        if wording.pattern.search(text):
            return alias.variable, level
    return None
