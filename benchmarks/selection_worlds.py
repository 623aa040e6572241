"""Worlds of known truth for the race of selection rules (selection.py).

World classes: what the leaderboard says (of `carry` times the true effect, plus its errors)
informative  carry 0.9: most of it holds at the campaign's scale
wrong-sign   carry -0.6: what helps there harms here
biased       carry 0.5, and half of the variables are made out to be better than they are
none         nothing is said
sparse       as informative, one variable in eight matters
interacting  as informative, five pairs are worth more than the sum, of which four are reported,
             beside five bundles that are only reported to be
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

CLASSES = ("informative", "wrong-sign", "biased", "none", "sparse", "interacting")
VARIABLES = 24
TYPICAL = 0.003  # bpb: scale of the true effects (Student's t with 4 degrees of freedom)
CARRY = {"wrong-sign": -0.6, "biased": 0.5}


@dataclass(frozen=True)
class Change:
    """One single contrast: what is true of it, and what is said.

    Attributes:
        naive: difference of means over the submissions; None where none have it.
        said: (effect, standard error + spread between sources) of reports and adjusted estimates.
    """

    id: str
    variable: str
    step: float
    effect: float
    naive: float | None
    said: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Bundle:
    """Two changes together: the interaction that is true, and the one that is reported."""

    id: str
    parts: tuple[str, str]
    naive: float | None
    said: tuple[float, float] | None


@dataclass(frozen=True)
class Truth:
    """A world: changes, reported bundles, and the true interactions of pairs (else 0)."""

    changes: Mapping[str, Change]
    bundles: Mapping[str, Bundle]
    interactions: Mapping[frozenset[str], float]
    seed: int

    def effect(self, parts: Sequence[str]) -> float:
        """True effect of changes made together."""
        total = sum(self.changes[name].effect for name in parts)
        made = set(parts)
        return total + sum(value for pair, value in self.interactions.items() if pair <= made)

    def variables(self, parts: Sequence[str]) -> tuple[str, ...]:
        """What each part varies."""
        return tuple(self.changes[name].variable for name in parts)


def draw_world(name: str, seed: int) -> Truth:
    """Return the world of this class and seed.

    Raises:
        ValueError: a class that does not exist.
    """
    if name not in CLASSES:
        raise ValueError(f"no world class {name!r}; there are {', '.join(CLASSES)}")
    rng = np.random.default_rng([CLASSES.index(name), seed])
    changes: dict[str, Change] = {}
    for number in range(VARIABLES):
        matters = rng.random() < (0.125 if name == "sparse" else 0.6)
        size = TYPICAL * np.sqrt(4 / rng.chisquare(4)) if matters else 0.1 * TYPICAL
        count = int(rng.choice((1, 2, 3), p=(0.5, 0.3, 0.2)))
        ordered = count > 1 and rng.random() < 0.5
        steps = [(-1.0, 1.0, 2.0)[k] if ordered else 0.0 for k in range(count)]
        common = rng.standard_normal()
        deceives = name == "biased" and rng.random() < 0.5
        for step in steps:
            towards = -common if step < 0 else common
            effect = float(size * (np.sqrt(0.5) * towards + np.sqrt(0.5) * rng.standard_normal()))
            told = CARRY.get(name, 0.9) * effect - 0.004 * deceives
            change = f"c{rng.integers(10**9):09d}"  # ids in no order that means anything
            naive, said = (None, ()) if name == "none" else _said(told, rng)
            changes[change] = Change(change, f"v{number}", step, effect, naive, said)
    bundles, interactions = _bundles(changes, rng) if name == "interacting" else ({}, {})
    return Truth(changes, bundles, interactions, int(rng.integers(2**31)))


def _said(
    told: float, rng: np.random.Generator
) -> tuple[float | None, tuple[tuple[float, float], ...]]:
    """Return the naive difference, and the estimates: a report, an adjusted difference."""
    confounding = rng.normal(0, 0.004)
    naive = float(told + confounding + rng.normal(0, 0.0015)) if rng.random() < 0.8 else None
    said = []
    if naive is not None and rng.random() < 0.6:
        said.append((float(told + 0.5 * confounding + rng.normal(0, 0.0015)), 0.0025))
    report = float(told + rng.normal(0, 0.0015))
    if rng.random() < (0.7 if report < -0.0005 else 0.3):
        said.append((report, 0.0015))
    return naive, tuple(said)


def _bundles(
    changes: Mapping[str, Change], rng: np.random.Generator
) -> tuple[dict[str, Bundle], dict[frozenset[str], float]]:
    """Return ten pairs over distinct variables, five of which interact."""
    by_variable = {change.variable: change for change in changes.values()}
    order = [by_variable[name] for name in rng.permutation(sorted(by_variable))]
    bundles, interactions = {}, {}
    for number in range(10):
        one, other = order[2 * number], order[2 * number + 1]
        true = float(-rng.uniform(0.004, 0.01)) if number < 5 else 0.0
        said = float((true or rng.normal(0, 0.003)) + rng.normal(0, 0.002))
        if true:
            interactions[frozenset((one.id, other.id))] = true
        together = one.effect + other.effect + true
        name = "+".join(sorted((one.id, other.id)))
        naive = float(together + rng.normal(0, 0.0045))
        if number > 0:
            first, second = sorted((one.id, other.id))
            bundles[name] = Bundle(name, (first, second), naive, (said, 0.003))
    return bundles, interactions
