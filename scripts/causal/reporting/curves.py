"""What the curves of several seeds say together: a band per arm, and the paired difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scripts.causal.campaign.schema import ArmRun, ContrastRuns

Array = NDArray[np.float64]
MOST_POINTS = 150


@dataclass(frozen=True)
class Band:
    """One line per seed on a common axis.

    Attributes:
        x: float64[points], increasing.
        lines: float64[seeds, points].
    """

    x: Array
    lines: Array

    @property
    def mean(self) -> Array:
        """float64[points]: mean over seeds."""
        return np.asarray(self.lines.mean(axis=0), dtype=np.float64)

    @property
    def low(self) -> Array:
        """float64[points]: smallest over seeds."""
        return np.asarray(self.lines.min(axis=0), dtype=np.float64)

    @property
    def high(self) -> Array:
        """float64[points]: largest over seeds."""
        return np.asarray(self.lines.max(axis=0), dtype=np.float64)


def arm_band(
    runs: ContrastRuns, arm: Literal["control", "treatment"], x: str, y: str
) -> Band | None:
    """The curves of one arm over its seeds; None when no run recorded them."""
    arms = (pair.control if arm == "control" else pair.treatment for pair in runs.pairs)
    return _common([line for run in arms if (line := _curve(run, x, y)) is not None])


def paired_difference(runs: ContrastRuns) -> Band | None:
    """Validation bpb, treatment minus control of the same seed, at equal training tokens.

    Only the range of tokens that both arms reached is compared, by linear interpolation
    between the points at which they were evaluated.
    """
    lines = []
    for pair in runs.pairs:
        control = _curve(pair.control, "val_tokens", "val_bpb")
        treatment = _curve(pair.treatment, "val_tokens", "val_bpb")
        if control is None or treatment is None:
            continue
        both = _common([control, treatment])
        if both is not None:
            lines.append((both.x, np.asarray(both.lines[1] - both.lines[0])))
    return _common(lines)


def _curve(run: ArmRun, x: str, y: str) -> tuple[Array, Array] | None:
    """A recorded curve; None where it is absent, ragged, or its axis does not increase."""
    xs = np.asarray(run.curves.get(x, ()), dtype=np.float64)
    ys = np.asarray(run.curves.get(y, ()), dtype=np.float64)
    if xs.size == 0 or xs.shape != ys.shape or not np.all(np.diff(xs) > 0):
        return None
    if xs.size > MOST_POINTS:
        edges = np.linspace(0, xs.size, MOST_POINTS + 1).astype(int)
        pieces = [slice(low, high) for low, high in pairwise(edges)]
        xs = np.array([xs[piece].mean() for piece in pieces])
        ys = np.array([ys[piece].mean() for piece in pieces])
    return xs, ys


def _common(lines: Sequence[tuple[Array, Array]]) -> Band | None:
    """Bring lines onto the points of all of them, over the range they share."""
    if not lines:
        return None
    start = max(xs[0] for xs, _ in lines)
    end = min(xs[-1] for xs, _ in lines)
    points = np.unique(np.concatenate([xs for xs, _ in lines]))
    points = points[(points >= start) & (points <= end)]
    if points.size == 0:
        return None
    return Band(points, np.stack([np.interp(points, xs, ys) for xs, ys in lines]))
