"""How an effect at one scale, or on one platform, carries over to another: a coefficient.

The effects of the same contrasts are measured at both, each with its error, and

    y_i = λ · x_i* + e_i,      x_i = x_i* + error,      e_i ~ N(0, τ²)

is fitted through the origin: a change that does nothing does nothing at any scale. λ is the
coefficient, τ how far single contrasts depart from it beyond their errors. With V(λ, τ) the
covariance of y − λx (both axes have errors; contrasts that share their control share its noise),

    Q(λ, τ) = (y − λx)ᵀ V⁻¹ (y − λx),      V = Σ_y + λ² Σ_x + τ² I

is smallest at the estimate (Deming 1943; York et al., Am. J. Phys. 72(3), 2004), τ² is what makes
it k − 1 (Paule & Mandel, J. Res. NBS 87(5), 1982), and λ's interval holds every λ with
Q(λ) − Q(λ̂) within the F quantile of 1 and k − 1 degrees of freedom, as Fieller's does: where the
effects here are not clearly different from 0 it is unbounded, and the answer is "cannot tell".

Assumes one coefficient for kinds of change that may well have several: a transfer measured on
activations says little about optimizers, and says it with an interval that does not know.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

MIN_CONTRASTS = 3
LEVEL = 0.8
_ANGLES = 181  # a coefficient is the tangent of an angle: its whole range, evenly
_TINY = 1e-18  # bpb²: bit-identical arms have no error, and a matrix of zeros no inverse


@dataclass(frozen=True)
class Effects:
    """Effects of k contrasts at one scale, bpb: `mean` (k,), `covariance` of the means (k, k)."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


@dataclass(frozen=True)
class Transfer:
    """A coefficient with its interval.

    Attributes:
        coefficient: effect there per unit of effect here.
        low, high: at `level`; infinite where the effects do not bound it.
        spread: sd of single contrasts about the line, in bpb of the other scale.
        contrasts: how many it rests on.
        same_sign: how many of them have the same sign at both.
    """

    coefficient: float
    low: float
    high: float
    spread: float
    contrasts: int
    same_sign: int
    level: float = LEVEL

    @property
    def bounded(self) -> bool:
        """Whether the effects say anything about the coefficient."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def effects(mean: ArrayLike, covariance: ArrayLike) -> Effects:
    """Checked effects.

    Raises:
        ValueError: shapes that do not fit, or a value that is not finite.
    """
    means, matrix = np.asarray(mean, dtype=np.float64), np.asarray(covariance, dtype=np.float64)
    if means.ndim != 1 or matrix.shape != (means.size, means.size):
        raise ValueError("k effects need a k × k covariance")
    if not (np.isfinite(means).all() and np.isfinite(matrix).all()):
        raise ValueError("effects and their covariance must be finite")
    return Effects(means, matrix)


def transfer(here: Effects, there: Effects, level: float = LEVEL) -> Transfer | None:
    """The coefficient from `here` to `there`; None below `MIN_CONTRASTS` contrasts.

    Raises:
        ValueError: other contrasts there than here.
    """
    if here.mean.shape != there.mean.shape:
        raise ValueError("both scales need the same contrasts")
    count = here.mean.size
    if count < MIN_CONTRASTS or not here.mean.any():
        return None
    angles = np.linspace(-np.pi / 2, np.pi / 2, _ANGLES)[1:-1]

    def misfit(slope: ArrayLike, extra: float) -> NDArray[np.float64]:
        lam = np.asarray(slope, dtype=np.float64)[..., None]
        residual = (there.mean - lam * here.mean)[..., None]
        own = there.covariance + (extra + _TINY) * np.eye(count)
        solved = np.linalg.solve(own + lam[..., None] ** 2 * here.covariance, residual)
        return np.asarray((residual * solved).sum(axis=(-2, -1)))

    def best(extra: float) -> tuple[float, float]:
        i = int(np.clip(misfit(np.tan(angles), extra).argmin(), 1, len(angles) - 2))
        found = optimize.minimize_scalar(
            lambda angle: float(misfit(math.tan(angle), extra)),
            bounds=(angles[i - 1], angles[i + 1]),
            method="bounded",
            options={"xatol": 1e-9},
        )
        return math.tan(found.x), float(found.fun)

    extra = _departure(lambda value: best(value)[1], count - 1, there.mean)
    slope, least = best(extra)
    limit = least + float(stats.f.isf(1 - level, 1, count - 1)) * max(1.0, least / (count - 1))

    def edge(side: int) -> float:
        """Where the misfit first passes the limit, going outwards; infinite if it never does."""
        near = 0.0
        for far in np.geomspace(1e-6, 1e6, 121):
            if float(misfit(slope + side * far, extra)) > limit:
                step = optimize.brentq(
                    lambda d: float(misfit(slope + side * d, extra)) - limit, near, far
                )
                return slope + side * float(step)
            near = far
        return side * math.inf

    low, high = edge(-1), edge(+1)
    agree = int((np.sign(here.mean) == np.sign(there.mean)).sum())
    return Transfer(slope, low, high, math.sqrt(extra), count, agree, level)


def predict(
    known: Transfer, effect: float, standard_error: float
) -> tuple[float, float, float] | None:
    """What an effect here lets expect there: centre and interval at the transfer's level.

    The coefficient's error, the effect's own and the spread about the line add up. None where
    the coefficient is unbounded.
    """
    if not known.bounded:
        return None
    centre = known.coefficient * effect
    t = float(stats.t.isf((1 - known.level) / 2, known.contrasts - 1))
    own = t * math.hypot(known.coefficient * standard_error, known.spread)
    down, up = sorted((bound - known.coefficient) * effect for bound in (known.low, known.high))
    return centre, centre - math.hypot(down, own), centre + math.hypot(up, own)


def _departure(misfit: Callable[[float], float], df: int, there: NDArray[np.float64]) -> float:
    """Variance that brings the misfit down to its degrees of freedom; 0 where it is below."""
    if misfit(0.0) <= df:
        return 0.0
    top = float((there**2).sum()) + 1e-12
    while misfit(top) > df:
        top *= 4
    return float(optimize.brentq(lambda value: misfit(value) - df, 0.0, top, xtol=1e-12))
