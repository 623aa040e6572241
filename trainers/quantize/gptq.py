"""GPTQ: what rounding one column spoils, the columns after it make good (Frantar et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 128
DAMPING = 0.01  # of the mean of the Hessian's diagonal
ROW_DAMPING = 0.1  # likewise of the rows' curvature, which is known less well


def compensated_codes(
    weight: NDArray[np.float32],
    steps: NDArray[Any],
    hessian: NDArray[np.float64],
    top: int,
) -> NDArray[np.int8]:
    """Grid points for weight (rows, columns), least in E[‖(W − Q) x‖²] column by column.

    Columns go from the largest input to the smallest, so that what cannot be made good any more
    is small; the update of far columns waits until a block of BLOCK is done.

    Args:
        steps: the grid's steps, broadcastable to weight.
        hessian: mean of x xᵀ, (columns, columns).
        top: codes are −top to top.
    """
    order = np.argsort(-np.diag(hessian), kind="stable")
    factor = inverse_factor(hessian[np.ix_(order, order)])
    rest = weight[:, order].astype(np.float64)
    grid = np.broadcast_to(steps, weight.shape)[:, order].astype(np.float64)
    codes = compensated(rest, grid, factor, top, weight.shape[1])
    found = np.empty_like(codes)
    found[:, order] = codes
    return found


@dataclass(frozen=True)
class JoinedRows:
    """How the rows of a matrix share the loss's curvature, to round those of a column together.

    With rows' curvature G and columns' H the loss of an error E is tr(G E H Eᵀ), and what
    rounding a row of a column spoils, the rows after it make good, as columns do (Tseng et al.
    2025).

    Attributes:
        order: the rows as they are taken, those of large curvature first.
        shares: how much of a row's error is taken from each row after it, in that order.
    """

    order: NDArray[np.int64]
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, curvature: NDArray[np.float64]) -> JoinedRows:
        """From the mean of g gᵀ over the gradients g at the outputs, (rows, rows)."""
        order = np.argsort(-np.diag(curvature), kind="stable")
        factor = inverse_factor(curvature[np.ix_(order, order)], ROW_DAMPING)
        return cls(order, factor / np.diag(factor)[:, None])

    def rounded(
        self, column: NDArray[np.float64], steps: NDArray[np.float64], top: int
    ) -> NDArray[np.float64]:
        """Whole numbers of a column (rows,) of these steps."""
        rest, sizes = column[self.order], steps[self.order]
        codes = np.empty(len(rest))
        for row, size in enumerate(sizes.tolist()):
            code = max(-top, min(top, round(float(rest[row]) / size)))
            codes[self.order[row]] = code
            rest[row + 1 :] -= (rest[row] - code * size) * self.shares[row, row + 1 :]
        return codes


def compensated(
    rest: NDArray[np.float64],
    grid: NDArray[np.float64],
    factor: NDArray[np.float64],
    top: int,
    count: int,
    rows: JoinedRows | None = None,
) -> NDArray[np.int8]:
    """Grid points of the first `count` columns; what they spoil is put on `rest`, in place.

    Args:
        rest: weights (rows, columns) in the order they are taken.
        grid: each weight's step.
        factor: `inverse_factor` of the columns' Hessian.
        rows: round the rows of a column together; None for each by itself.
    """
    codes = np.empty((len(rest), count), dtype=np.int8)
    for first in range(0, count, BLOCK):
        last = min(first + BLOCK, count)
        errors = np.empty((len(rest), last - first))
        for column in range(first, last):
            if rows is None:
                code = rounded(rest[:, column] / grid[:, column], top)
            else:
                code = rows.rounded(rest[:, column], grid[:, column], top)
            codes[:, column] = code
            error = (rest[:, column] - code * grid[:, column]) / factor[column, column]
            rest[:, column + 1 : last] -= np.outer(error, factor[column, column + 1 : last])
            errors[:, column - first] = error
        rest[:, last:] -= errors @ factor[first:last, last:]
    return codes


def rounded(values: NDArray[Any], top: int) -> NDArray[Any]:
    """Nearest whole numbers within ±top."""
    whole: NDArray[Any] = np.rint(np.clip(values, -top, top))
    return whole


def inverse_factor(hessian: NDArray[np.float64], damping: float = DAMPING) -> NDArray[np.float64]:
    """Upper triangular U with Uᵀ U = (H + damping)⁻¹."""
    size = len(hessian)
    mean = float(np.diag(hessian).mean()) or 1.0
    damped = hessian + damping * mean * np.eye(size)
    # With J H J = L Lᵀ, where J reverses, H⁻¹ is (J L⁻¹ J)ᵀ (J L⁻¹ J), and J L⁻¹ J is upper.
    inverse = np.linalg.inv(np.linalg.cholesky(damped[::-1, ::-1]))
    return np.triu(inverse[::-1, ::-1])
