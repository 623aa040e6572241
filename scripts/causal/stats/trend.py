"""Where an effect is heading: the paired difference against training tokens.

Effects change sign along a run, and seeds agree while they are wrong together, so a verdict at
the end of a short run needs the direction of travel beside it. The rule, on the second half of
the run (by tokens), after pairing the arms at equal fractions of their runs:

| answer   | rule                                                                              |
|----------|-----------------------------------------------------------------------------------|
| may_flip | the weighted line of effect on log tokens, drawn to `HORIZON` × the tokens of the |
|          | run, has crossed zero; or the effect had the other sign at some point of the half |
|          | by more than its standard error over seeds                                        |
| steady   | neither, and the line's `CONFIDENCE` band over seeds at the horizon excludes zero |
| unknown  | neither, but the band includes zero; or fewer than 2 seeds with `MIN_POINTS`      |
|          | points in the half                                                                |

One line is fitted per seed, since the points of one run are not independent of each other: the
band is the t interval of the seeds' extrapolations. Bit-identical arms are steady at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

HORIZON = 4.0
CONFIDENCE = 0.8
MIN_POINTS = 3

Answer = Literal["steady", "may_flip", "unknown"]


@dataclass(frozen=True)
class Trajectory:
    """Paired effects along a run: `tokens` (points,), `effects` (seeds, points) in bpb."""

    tokens: NDArray[np.float64]
    effects: NDArray[np.float64]


@dataclass(frozen=True)
class Trend:
    """The answer, and the effect extrapolated to `HORIZON` × the run's tokens with its band."""

    answer: Answer
    horizon_effect: float | None = None
    horizon_band: tuple[float, float] | None = None


Curve = tuple[Sequence[float], Sequence[float]]
"""Training tokens (increasing) and validation bpb at each."""


def trajectory(pairs: Sequence[tuple[Curve, Curve]]) -> Trajectory | None:
    """Pair (control, treatment) curves at equal fractions of their runs.

    Arms matched by FLOPs see different numbers of tokens; the fraction of the run is what they
    share, and with it the position in the learning-rate schedule. Evaluated at the first
    control's points, which every curve must cover; tokens are that control's.

    Returns:
        The trajectory, or None where no point is covered by all curves.

    Raises:
        ValueError: a curve is empty, uneven, not finite, or its tokens do not increase from
            zero or more to more than zero.
    """
    if not pairs:
        return None
    checked = [tuple(_checked(curve) for curve in pair) for pair in pairs]
    tokens = checked[0][0][0]
    fractions = tokens / tokens[-1]
    start = max(t[0] / t[-1] for pair in checked for t, _ in pair)
    inside = fractions >= start - 1e-12
    if not inside.any():
        return None

    def at(curve: tuple[NDArray[np.float64], NDArray[np.float64]]) -> NDArray[np.float64]:
        t, bpb = curve
        return np.asarray(np.interp(fractions[inside], t / t[-1], bpb), dtype=np.float64)

    effects = np.stack([at(treatment) - at(control) for control, treatment in checked])
    return Trajectory(tokens[inside], effects)


def _checked(curve: Curve) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    tokens, bpb = (np.asarray(values, dtype=np.float64) for values in curve)
    if tokens.shape != bpb.shape or tokens.size == 0:
        raise ValueError("a curve needs as many tokens as values, and at least one")
    if not (np.isfinite(tokens).all() and np.isfinite(bpb).all()):
        raise ValueError("a curve must be finite")
    if tokens[0] < 0 or (np.diff(tokens) <= 0).any() or tokens[-1] == 0:
        raise ValueError("tokens of a curve must increase from zero or more")
    # A measurement before the first step says nothing about training and has no logarithm.
    trained = tokens > 0
    return tokens[trained], bpb[trained]


def trend(path: Trajectory | None) -> Trend:
    """Answer whether the effect may change sign with longer training (rule in the module text)."""
    if path is None or path.effects.shape[0] < 2:
        return Trend("unknown")
    late = path.tokens >= path.tokens[-1] / 2
    if late.sum() < MIN_POINTS:
        return Trend("unknown")
    effects = path.effects[:, late]
    if not effects.any():
        return Trend("steady", 0.0, (0.0, 0.0))

    seeds = len(effects)
    mean = effects.mean(axis=0)
    error = effects.std(axis=0, ddof=1) / np.sqrt(seeds)
    x = np.log(path.tokens[late])
    x = x - x[-1]
    beyond = _line_at(np.log(HORIZON), x, effects, _weights(error**2))
    centre = float(beyond.mean())
    half = float(
        stats.t.isf((1 - CONFIDENCE) / 2, seeds - 1) * beyond.std(ddof=1) / np.sqrt(seeds)
    )
    band = (centre - half, centre + half)

    sign = np.sign(mean[-1])
    changed = bool((mean * sign < -error).any())
    if changed or sign * centre <= 0:
        return Trend("may_flip", centre, band)
    return Trend("steady" if band[0] * band[1] > 0 else "unknown", centre, band)


def band(path: Trajectory) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The t interval of the mean effect at each point, `CONFIDENCE` each; None below 2 seeds.

    A point's variance is smoothed with the common one, as for the line.
    """
    seeds = len(path.effects)
    if seeds < 2:
        return None
    smooth = _smoothed(path.effects.var(axis=0, ddof=1))
    half = stats.t.isf((1 - CONFIDENCE) / 2, seeds - 1) * np.sqrt(smooth / seeds)
    mean = path.effects.mean(axis=0)
    return mean - half, mean + half


def difference(outcome: Trajectory, part: Trajectory) -> Trajectory:
    """What the outcome adds to a part of it, along the same run: the course of a later stage.

    Raises:
        ValueError: they are not of the same points and seeds.
    """
    if outcome.effects.shape != part.effects.shape or (outcome.tokens != part.tokens).any():
        raise ValueError("stages of one run need the same points and seeds")
    return Trajectory(outcome.tokens, outcome.effects - part.effects)


def _smoothed(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    # A point's variance from two or three seeds is itself noise: half of it is the common one.
    return np.asarray((variance + variance.mean()) / 2)


def _weights(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    smooth = _smoothed(variance)
    return np.ones_like(smooth) if not smooth.any() else 1 / smooth


def _line_at(
    target: float,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Each row's weighted least-squares line at `target`; y (seeds, points) → (seeds,)."""
    total = weights.sum()
    centre_x = (weights * x).sum() / total
    centre_y = (y * weights).sum(axis=1) / total
    slope = (y * weights * (x - centre_x)).sum(axis=1) / (weights * (x - centre_x) ** 2).sum()
    value: NDArray[np.float64] = centre_y + slope * (target - centre_x)
    return value
