"""GPTQ: what rounding one column spoils, the columns after it make good (Frantar et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 128
# A column (rows,) and its steps → where on the grid it is put, in steps.
Rounding = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
DAMPING = 0.01  # of the mean of the Hessian's diagonal


def compensated_points(
    weight: NDArray[np.float32],
    steps: NDArray[Any],
    hessian: NDArray[np.float64],
    rounding: Rounding,
) -> NDArray[np.float64]:
    """Grid points for weight (rows, columns), least in E[‖(W − Q) x‖²] column by column.

    Columns go as `order_taken` has them; the update of far columns waits until a block of BLOCK is
    done.

    Args:
        steps: the grid's steps, broadcastable to weight.
        hessian: mean of x xᵀ, (columns, columns).
        rounding: what a column is rounded by.
    """
    order = order_taken(hessian)
    factor = inverse_factor(hessian[np.ix_(order, order)])
    rest = weight[:, order].astype(np.float64)
    grid = np.broadcast_to(steps, weight.shape)[:, order].astype(np.float64)
    points = compensated(rest, grid, factor, weight.shape[1], rounding)
    found = np.empty_like(points)
    found[:, order] = points
    return found


def compensated(
    rest: NDArray[np.float64],
    grid: NDArray[np.float64],
    factor: NDArray[np.float64],
    count: int,
    rounding: Rounding,
) -> NDArray[np.float64]:
    """Grid points of the first `count` columns; what they spoil is put on `rest`, in place.

    Args:
        rest: weights (rows, columns) in the order they are taken.
        grid: each weight's step.
        factor: `inverse_factor` of the columns' Hessian.
        rounding: what a column is rounded by.
    """
    points = np.empty((len(rest), count))
    for first in range(0, count, BLOCK):
        last = min(first + BLOCK, count)
        errors = np.empty((len(rest), last - first))
        for column in range(first, last):
            point = rounding(rest[:, column], grid[:, column])
            points[:, column] = point
            error = (rest[:, column] - point * grid[:, column]) / factor[column, column]
            rest[:, column + 1 : last] -= np.outer(error, factor[column, column + 1 : last])
            errors[:, column - first] = error
        rest[:, last:] -= errors @ factor[first:last, last:]
    return points


def column_rounded(
    column: NDArray[np.float64], steps: NDArray[np.float64], top: int
) -> NDArray[np.float64]:
    """Each entry of a column by itself, to the nearest whole number of its steps."""
    return rounded(column / steps, top)


def rounded(values: NDArray[Any], top: int) -> NDArray[Any]:
    """Nearest whole numbers within ±top."""
    whole: NDArray[Any] = np.rint(np.clip(values, -top, top))
    return whole


def order_taken(hessian: NDArray[np.float64]) -> NDArray[np.int64]:
    """Columns from the largest input to the smallest: what is not made good any more is small."""
    return np.argsort(-np.diag(hessian), kind="stable")


def inverse_factor(hessian: NDArray[np.float64], damping: float = DAMPING) -> NDArray[np.float64]:
    """Upper triangular U with Uᵀ U = (H + damping)⁻¹."""
    size = len(hessian)
    mean = float(np.diag(hessian).mean()) or 1.0
    damped = hessian + damping * mean * np.eye(size)
    # With J H J = L Lᵀ, where J reverses, H⁻¹ is (J L⁻¹ J)ᵀ (J L⁻¹ J), and J L⁻¹ J is upper.
    inverse = np.linalg.inv(np.linalg.cholesky(damped[::-1, ::-1]))
    return np.triu(inverse[::-1, ::-1])
