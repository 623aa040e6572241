"""Many changes in few runs: two-level screening designs, their effects and their precision.

Every run makes about half of the changes at once, so that every run tells of every change. The
designs are folded Hadamard designs (Plackett & Burman 1946; Box & Wilson 1951; Wu & Hamada 2009,
Experiments, chapters 5 and 8): for up to n changes, n a power of two, n rows of a Hadamard matrix
and their mirror images, 2n runs. They are of resolution IV: a main effect is clear of every
interaction of two changes and aliased with those of three; interactions of two are aliased with
one another, so which of them there are is not told. Both runs of a mirrored pair have one seed,
the block: in every seed each change is made in half of the runs, and the seed cancels out of
every effect.

With σ² the variance of a paired difference, a main effect has variance σ²/n per replicate; one at
a time, r seeds give σ²/r from r runs for every change and r controls.

The matrices are `scipy.linalg.hadamard`'s: they are all that orders of a power of two need, and
SciPy is installed anyway, where pyDOE would be one dependency more for orders of 12 and 20.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard

from scripts.causal.stats.paired import Estimate

RESOLUTION = "IV"
MIN_FACTORS = 3
"""Two changes have their own design: both alone and both together."""
MAX_FACTORS = 64

Numbers = NDArray[np.float64]


def folded_design(factors: int) -> NDArray[np.int64]:
    """Levels of one run of each mirrored pair, +1 made and −1 not, shape (pairs, factors).

    The other run of a pair has the opposite levels.

    Raises:
        ValueError: fewer than `MIN_FACTORS` or more than `MAX_FACTORS`.
    """
    if not MIN_FACTORS <= factors <= MAX_FACTORS:
        raise ValueError(f"{MIN_FACTORS} <= factors <= {MAX_FACTORS} must hold, got {factors}")
    # The first column is constant: it is a factor's only where every column is needed.
    matrix: NDArray[np.int64] = hadamard(_order(factors))[:, ::-1][:, :factors].astype(np.int64)
    return matrix


def _order(factors: int) -> int:
    return int(max(4, 2 ** math.ceil(math.log2(factors))))


def aliased_interactions(design: NDArray[np.int64]) -> list[list[tuple[int, int]]]:
    """Interactions of two factors that no run of the design can tell apart, group by group."""
    groups: dict[bytes, list[tuple[int, int]]] = {}
    for one, other in combinations(range(design.shape[1]), 2):
        product = design[:, one] * design[:, other]
        groups.setdefault((product * product[0]).tobytes(), []).append((one, other))
    return [group for group in groups.values() if len(group) > 1]


def main_effects(
    levels: NDArray[np.int64], outcomes: Numbers, blocks: Sequence[int]
) -> list[Estimate]:
    """Effects of making each change, averaged over the others, by least squares.

    Args:
        levels: ±1, shape (runs, factors); runs without a result are left out.
        outcomes: bpb of each run, shape (runs,).
        blocks: the seed of each run.

    Returns:
        One per factor: its `standard_error` is that of the effect, its `df` what the runs leave
        for the error, in which interactions are as well: it errs to the wide side.

    Raises:
        ValueError: shapes differ, or the runs left do not tell every factor from the others.
    """
    runs, factors = levels.shape
    if len(outcomes) != runs or len(blocks) != runs:
        raise ValueError("one outcome and one block per run are needed")
    seeds = sorted(set(blocks))
    indicator = np.array([[float(block == seed) for seed in seeds] for block in blocks])
    # Half the level: the coefficient is then the step from −1 to +1.
    matrix = np.hstack([indicator, levels / 2])
    if runs == 0 or np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        raise ValueError("the runs do not tell every factor from the others and from the seeds")
    coefficients = np.linalg.lstsq(matrix, outcomes, rcond=None)[0]
    df = runs - matrix.shape[1]
    residual = outcomes - matrix @ coefficients
    variance = float(residual @ residual) / df if df else 0.0
    errors = np.sqrt(variance * np.diag(np.linalg.inv(matrix.T @ matrix)))
    pairs = runs // 2
    return [
        Estimate(float(effect), float(error) * math.sqrt(pairs), df, pairs)
        for effect, error in zip(coefficients[-factors:], errors[-factors:], strict=True)
    ]


@dataclass(frozen=True)
class Cost:
    """What a screen takes and gives: distinct runs, and the standard error of an effect, bpb."""

    runs: int
    standard_error: float


def one_at_a_time(factors: int, seeds: int, sd: float) -> Cost:
    """The screen that makes one change at a time; `sd` is of a paired difference, bpb."""
    return Cost((factors + 1) * seeds, sd / math.sqrt(seeds))


def folded(factors: int, replicates: int, sd: float) -> Cost:
    """The screen by `replicates` of the folded design."""
    pairs = _order(factors) * replicates
    return Cost(2 * pairs, sd / math.sqrt(pairs))


def replicates(seeds: int) -> int:
    """How often the design is run on so many seeds: each replicate takes two, or the only one."""
    return max(1, seeds // 2)


def seeds_of_pairs(pairs: int, seeds: Sequence[int]) -> list[tuple[int, ...]]:
    """For each mirrored pair the seeds it is run on, one per replicate, each seed in turn."""
    times = replicates(len(seeds))
    shares = [seeds[len(seeds) * n // times : len(seeds) * (n + 1) // times] for n in range(times)]
    return [tuple(share[pair % len(share)] for share in shares) for pair in range(pairs)]


def runs_to_reach(standard_error: float, factors: int, sd: float) -> tuple[Cost, Cost]:
    """The cheapest one-at-a-time and folded screens with effects known this well.

    Raises:
        ValueError: `standard_error` or `sd` is not positive.
    """
    if not (standard_error > 0 and sd > 0):
        raise ValueError(f"standard error and sd must be positive, got {standard_error}, {sd}")
    differences = (sd / standard_error) ** 2
    seeds = max(2, math.ceil(differences - 1e-9))
    times = max(1, math.ceil(differences / _order(factors) - 1e-9))
    return one_at_a_time(factors, seeds, sd), folded(factors, times, sd)
