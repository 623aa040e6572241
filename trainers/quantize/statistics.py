"""What calibration hands to the quantizers, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Inputs:
    """What a matrix (rows, columns) met in calibration, per token.

    Numbers that are no matrix, (count,) once flattened, are rows of one column, whose input is 1.

    Attributes:
        hessian: mean of x xᵀ over its inputs, (columns, columns); 0 where rows are looked up.
        slope: mean square of the loss's gradient at each output, (rows,).
        lookup: the same at each channel of a looked-up row, 0 for tokens that look up another,
            (rows,); 0 where nothing is looked up.
        outputs: mean of g gᵀ over the gradients g at its outputs, (rows, rows); empty where rows
            are looked up or too many.
    """

    hessian: NDArray[np.float64]
    slope: NDArray[np.float64]
    lookup: NDArray[np.float64]
    outputs: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))

    def curvature(self) -> NDArray[np.float64]:
        """The loss's curvature by a row of the matrix, of the rows' common shape."""
        mean = self.slope.mean() * self.hessian
        own: NDArray[np.float64] = mean + self.lookup.mean() * np.eye(len(self.hessian))
        return own

    def row_weights(self) -> NDArray[np.float64]:
        """How much more than the others each row's curvature is, its mean over channels."""
        per_row: NDArray[np.float64] = self.slope * np.diag(self.hessian).mean() + self.lookup
        return per_row
