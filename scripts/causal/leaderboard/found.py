"""A number found in a submission, and the scalars of submission.json read as numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from scripts.causal.leaderboard.schema import Source
from scripts.causal.leaderboard.submission_json import Fact

_ELSEWHERE = re.compile(r"baseline|compar|previous|prior|ablation|base_|history|negative|control")
_QUOTED = re.compile(r"\d{1,9}(?:,\d{3}){0,3}(?:\.\d{1,12})?")


@lru_cache(maxsize=4096)  # submissions have the same few hundred paths, and four readers ask
def is_elsewhere(path: tuple[str, ...]) -> bool:
    """Whether a path in submission.json speaks of another run than the submission's."""
    return _ELSEWHERE.search("/".join(path).lower()) is not None


@dataclass(frozen=True)
class Found:
    """A number and where it stands."""

    value: float
    source: Source


def json_source(fact: Fact) -> Source:
    """Return where a scalar of submission.json stands."""
    return Source(file="submission.json", line=fact.line)


def json_number(fact: Fact) -> float | None:
    """Return a scalar as a number, also where it stands in quotes; None for all else."""
    if isinstance(fact.value, str) and _QUOTED.fullmatch(fact.value):
        return float(fact.value.replace(",", ""))
    if isinstance(fact.value, bool) or not isinstance(fact.value, int | float):
        return None
    return float(fact.value)


def json_score(fact: Fact) -> float | None:
    """Return a scalar that can be a score in bits per byte; a placeholder 0.0 is none.

    A model that has the text in its n-gram tables scores as little as 3.5e-7.
    """
    value = json_number(fact)
    return value if value is not None and 0 < value < 15 else None
