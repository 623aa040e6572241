"""How submissions write the vocabulary's variables, read from ``aliases.toml``."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from interventions.keywords import Index, Text, Wording, compile_wording
from interventions.vocabulary import load_variables
from scripts.causal.files import InputError, read_text

ALIASES_FILE = Path(__file__).with_name("aliases.toml")
SWITCH = "use_"  # with what a setting's name starts that turns on what the rest names
_BOUNDS = {
    r"\s*": r"\s{0,4}", r"\d+": r"\d{1,12}", r"\d*": r"\d{0,12}", r"\S*": r"\S{0,40}",
    r"\w*": r"\w{0,40}", ")*": "){0,3}", "]*": "]{0,4}", "]+": "]{1,4}",
}  # fmt: skip
_KEYS = {"mentions", "numbers", "levels", "generic", "hints", "env", "switches", "low", "high"}


@dataclass(frozen=True)
class Alias:
    """The words of one variable.

    Attributes:
        variable: its id in variables.toml.
        mentions: patterns that speak of it without a value.
        numbers: patterns whose group 1 is its value.
        levels: (level, pattern) in the order of preference; more exact wordings come first.
        generic: (level, pattern) that only name the family, for when no level's own words appear.
        hints: lower-case matches that tell a level but, alone, do not claim the technique.
        env: lower-case names under which commands and JSON give the value.
        switches: lower-case names that turn it on or off.
        low, high: bounds of a number that can be this variable's.
    """

    variable: str
    mentions: tuple[Wording, ...]
    numbers: tuple[Wording, ...]
    levels: tuple[tuple[str, Wording], ...]
    generic: tuple[tuple[str, Wording], ...]
    hints: frozenset[str]
    env: tuple[str, ...]
    switches: tuple[str, ...]
    low: float
    high: float

    @property
    def wordings(self) -> tuple[Wording, ...]:
        """All patterns."""
        named = (wording for _, wording in (*self.levels, *self.generic))
        return (*self.numbers, *named, *self.mentions)

    def holds(self, number: float) -> bool:
        """Whether a number can be this variable's value."""
        return self.low <= number <= self.high


@cache
def load_aliases(path: Path = ALIASES_FILE) -> dict[str, Alias]:
    """Return the aliases, variable id → alias, in file order.

    Raises:
        InputError: missing or malformed file, an unknown variable or key, a broken pattern.
    """
    try:
        table = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"is not valid TOML: {error}", where=path) from error
    aliases = {}
    for name, entry in table.items():
        try:
            aliases[name] = _alias(name, entry)
        except (AttributeError, TypeError, ValueError, re.error) as error:
            raise InputError(f"aliases of {name!r}: {error}", where=path) from error
    return aliases


def words_of(text: str) -> Text:
    """Return a text in which the aliases' wordings can be looked for."""
    return Text(text, _index())


def aliases_in(text: Text) -> list[Alias]:
    """Return the aliases that can match somewhere in a text, in file order."""
    owners, aliases = _owners(), _in_order()
    return [aliases[at] for at in sorted({owners[wording] for wording in text.able})]


@cache
def _index() -> Index:
    names = {name for alias in load_aliases().values() for name in (*alias.env, *alias.switches)}
    return Index(_owners(), names, SWITCH)


@cache
def _in_order() -> tuple[Alias, ...]:
    return tuple(load_aliases().values())


@cache
def _owners() -> dict[Wording, int]:
    """Return whose each wording is: wording → place of its alias in the file."""
    return {wording: at for at, alias in enumerate(_in_order()) for wording in alias.wordings}


def _alias(name: str, entry: dict[str, Any]) -> Alias:
    variables = load_variables()
    if name not in variables:
        raise ValueError("unknown variable (see variables.toml)")
    if unknown := set(entry) - _KEYS:
        raise ValueError(f"unknown keys {sorted(unknown)}; allowed: {sorted(_KEYS)}")
    own = variables[name].env
    names = [name, *([own] if own else []), *entry.get("env", ())]
    return Alias(
        variable=name,
        mentions=_patterns(entry.get("mentions", ())),
        numbers=_patterns(entry.get("numbers", ())),
        levels=_levels(entry.get("levels", {})),
        generic=_levels(entry.get("generic", {})),
        hints=frozenset(text.lower() for text in entry.get("hints", ())),
        env=tuple(dict.fromkeys(text.lower() for text in names)),
        switches=tuple(text.lower() for text in entry.get("switches", ())),
        low=float(entry.get("low", "-inf")),
        high=float(entry.get("high", "inf")),
    )


def _patterns(texts: list[str] | tuple[str, ...]) -> tuple[Wording, ...]:
    # Gaps and runs are bounded here, once for all patterns: on a megabyte of spaces or digits an
    # open-ended one between two optional parts would take quadratic time.
    wordings = []
    for text in texts:
        for endless, bounded in _BOUNDS.items():
            text = text.replace(endless, bounded)
        wordings.append(compile_wording(text))
    return tuple(wordings)


def _levels(table: dict[str, list[str]]) -> tuple[tuple[str, Wording], ...]:
    return tuple(
        (level, pattern) for level, texts in table.items() for pattern in _patterns(texts)
    )
