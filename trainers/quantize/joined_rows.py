"""How a column is rounded, the curvature by its rows known: those of a matrix share it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainers.quantize.gptq import inverse_factor
from trainers.quantize.trellis_search import points_with_feedback

ROW_DAMPING = 0.1  # of the mean of the rows' curvature, which is known less well than columns'


@dataclass(frozen=True)
class JoinedRows:
    """How the rows of a matrix share the loss's curvature, to round those of a column together.

    With rows' curvature G and columns' H the loss of an error E is tr(G E H Eᵀ), and what
    rounding a row of a column spoils, the rows after it make good, as columns do (Tseng et al.
    2025).

    Attributes:
        order: the rows as they are taken, those of large curvature first.
        shares: how much of a row's error is taken from each row after it, in that order.
        weights: what a row's squared error costs once the rows after it have made up for it.
    """

    order: NDArray[np.int64]
    shares: NDArray[np.float64]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, curvature: NDArray[np.float64], order: NDArray[np.int64]) -> JoinedRows:
        """From the mean of g gᵀ over the gradients g at the outputs, (rows, rows)."""
        factor = inverse_factor(curvature[np.ix_(order, order)], ROW_DAMPING)
        diagonal = np.diag(factor)
        return cls(order, factor / diagonal[:, None], diagonal**-2)

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

    def trellis_points(
        self, column: NDArray[np.float64], steps: NDArray[np.float64], states: int, top: int
    ) -> NDArray[np.float64]:
        """Points of the path that costs least; every path there makes good what it spoils."""
        points = np.empty(len(column))
        points[self.order] = points_with_feedback(
            column[self.order], steps[self.order], self.shares, self.weights, states, top
        )
        return points
