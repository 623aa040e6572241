"""How near an estimated graph is to the true one, and whether stated chances come true."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from scripts.causal.graph.pag import Pag

Pair = tuple[str, str]


def pairs(pag: Pag) -> set[frozenset[str]]:
    """Return the adjacent pairs."""
    return {frozenset((edge.a, edge.b)) for edge in pag.edges}


def adjacency(found: Pag, truth: Pag, at: str | None = None) -> dict[str, float]:
    """Return precision, recall and F1 of the adjacent pairs; with `at`, of its own pairs only.

    A share of nothing is 1: who claims nothing claims nothing false.
    """
    ours, true = pairs(found), pairs(truth)
    if at is not None:
        ours, true = ({pair for pair in one if at in pair} for one in (ours, true))
    both = len(ours & true)
    return {
        "precision": both / len(ours) if ours else 1.0,
        "recall": both / len(true) if true else 1.0,
        "f1": 2 * both / (len(ours) + len(true)) if ours or true else 1.0,
    }


def orientation(found: Pag, truth: Pag, causes: Collection[Pair]) -> dict[str, float]:
    """Return how right the marks are.

    Returns:
        accuracy: of the marks on true adjacencies that were found, the share equal to the truth's.
        recall: of all marks of the truth, the share found as they are.
        definite: of all arrowheads and tails claimed, wherever, the share that the model bears
            out: an arrowhead where the node does not cause the other, a tail where it does.
        claims: how many arrowheads and tails are claimed per true adjacency.
    """
    shared = pairs(found) & pairs(truth)
    ends = [(a, b) for pair in shared for a, b in (sorted(pair), sorted(pair, reverse=True))]
    equal = sum(found.mark(*end) == truth.mark(*end) for end in ends)
    marks = [(e.a, e.b, e.mark_a) for e in found.edges] + [
        (e.b, e.a, e.mark_b) for e in found.edges
    ]
    claims = [((a, b) in causes) == (mark == "tail") for a, b, mark in marks if mark != "circle"]
    return {
        "accuracy": equal / len(ends) if ends else 1.0,
        "recall": equal / (2 * len(truth.edges)) if truth.edges else 1.0,
        "definite": sum(claims) / len(claims) if claims else 1.0,
        "claims": len(claims) / len(truth.edges) if truth.edges else 0.0,
    }


@dataclass(frozen=True)
class Bin:
    """Pairs whose frequency fell between two bounds: mean frequency and share truly adjacent."""

    low: float
    high: float
    count: int
    frequency: float
    true_share: float


def outcomes(
    names: Sequence[str], frequency: Mapping[frozenset[str], float], truth: Pag
) -> list[tuple[float, bool]]:
    """Return (frequency, truly adjacent) per pair of columns; a pair not named has frequency 0."""
    true = pairs(truth)
    every = (frozenset(pair) for pair in combinations(names, 2))
    return [(frequency.get(pair, 0.0), pair in true) for pair in every]


def reliability(told: Sequence[tuple[float, bool]], bins: int = 10) -> list[Bin]:
    """Return the table of a reliability plot, empty bins left out."""
    chances = np.array([chance for chance, _ in told])
    came = np.array([came for _, came in told], dtype=float)
    place = np.minimum((chances * bins).astype(int), bins - 1)
    table = []
    for one in range(bins):
        inside = place == one
        if inside.any():
            mean, share = float(chances[inside].mean()), float(came[inside].mean())
            table.append(Bin(one / bins, (one + 1) / bins, int(inside.sum()), mean, share))
    return table


def calibration_error(table: Sequence[Bin]) -> float:
    """Return the expected calibration error: |share − frequency| averaged over the pairs."""
    total = sum(one.count for one in table)
    return sum(one.count * abs(one.true_share - one.frequency) for one in table) / total


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error, NaN for a single value's error."""
    numbers = np.asarray(values, dtype=float)
    if len(numbers) < 2:
        return float(numbers.mean()), float("nan")
    return float(numbers.mean()), float(numbers.std(ddof=1) / np.sqrt(len(numbers)))
