"""The methods behind the numbers: read from ``methods.toml``, named by the results they give."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from scripts.causal.campaign.schema import ContrastResult
from scripts.causal.forms import Record

PAGE = "methods.html"


class Method(Record):
    """A method in plain words; attributes as in the file's head."""

    id: str
    name: str
    asks: str
    how: str
    assumes: tuple[str, ...]
    wrong: tuple[str, ...]
    source: str
    fields: tuple[str, ...]


@cache
def load_methods() -> tuple[Method, ...]:
    """Return every method, in the order of the page."""
    table = tomllib.loads(Path(__file__).with_name("methods.toml").read_text(encoding="utf-8"))
    return tuple(Method.model_validate({"id": name, **entry}) for name, entry in table.items())


def methods_of(result: ContrastResult) -> tuple[Method, ...]:
    """The methods that gave a number of this result."""
    return tuple(
        method
        for method in load_methods()
        if any(getattr(result, name, None) not in (None, (), {}) for name in method.fields)
    )
