"""Runs called by the list of what they have: which of them differ in one thing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

_ASIDE = re.compile(r"\([^()]*\)")
_BETWEEN = re.compile(r",\s|;\s|\s[+&/]\s")
_SUCH = re.compile(r"\s(?:baseline|control|run|model|carrier|variant|config)$")
_FAR = 30  # rows: each is set beside so many before it at most
_WORD = re.compile(r"[a-z0-9.]+")


@lru_cache(maxsize=256)  # each row after it asks
def parts_of(label: str) -> frozenset[str]:
    """What a run's name lists: "sp4096, 10L tied" is sp4096 and 10L tied."""
    found = (
        " ".join(_WORD.findall(part)) for part in _BETWEEN.split(_ASIDE.sub(" ", label.lower()))
    )
    return frozenset(_SUCH.sub("", part) for part in found if part)


def varies_one_run(labels: Sequence[str], base: int) -> bool:
    """Whether every run's name lists something that the control's lists too."""
    control = parts_of(labels[base])
    others = [parts_of(label) for at, label in enumerate(labels) if at != base]
    return len(control) > 1 and bool(others) and all(control & parts for parts in others)


def nearest_before(labels: Sequence[str], at: int, base: int) -> int:
    """The run before that differs in one thing, where the control differs in more; else it.

    Of a sweep, "lr=1e-4, rank=8", each row counts from the control.
    """
    mine = parts_of(labels[at])
    if len(mine) < 2 or "=" in labels[at] or _apart(mine, parts_of(labels[base])) < 2:
        return base
    near = [
        i
        for i in range(max(0, at - _FAR), at)
        if i != base and _apart(mine, parts_of(labels[i])) == 1
    ]
    return min(near, key=lambda i: _words_apart(labels[at], labels[i]), default=base)


def _apart(one: frozenset[str], other: frozenset[str]) -> int:
    """In how many things two runs differ: what one has instead of another is one."""
    return max(len(one - other), len(other - one))


def _words_apart(one: str, other: str) -> int:
    return len(set(_WORD.findall(one.lower())) ^ set(_WORD.findall(other.lower())))
