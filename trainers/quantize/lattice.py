"""Where the weights of a matrix may lie when each is rounded as finely as the loss asks.

A weight is code · row's step · column's step. A few channels, such as the one a final norm keeps
near a constant, ask for steps so fine that a byte does not reach their largest weights: at the
steps that a byte allows, one such column of an embedding cost more loss than all its other
columns together. So these columns are split in two: a coarse code, stored as a correction of the
matrix (`trainers.quantize.artifact`), and a fine one for what is left, as for any other column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.quantize.gptq import compensated_codes, inverse_factor, rounded
from trainers.quantize.grids import TOPS
from trainers.quantize.numbers import exponents_to_steps
from trainers.quantize.pack import Stored, steps_to_exponents
from trainers.quantize.statistics import Inputs

Grid = tuple[NDArray[np.float32], NDArray[np.float32]]  # steps of rows, of columns
# A row's share of the loss is known to within noise: of its weight only the square root counts.
ROW_POWER, ROW_FLOOR = 0.5, 1e-6
LARGEST_CODE = 110  # of 127: exponents are rounded, and GPTQ moves weights outwards
TOO_FINE = 2.0  # times coarser than asked for, a column is not merely widened but split
COARSE = 16.0  # fine steps to a coarse one


@dataclass(frozen=True)
class Lattice:
    """Steps of a matrix (rows, columns), and the coarse part of its split columns.

    Attributes:
        rows, columns: the steps, as the artifact can hold them; an entry's is their product.
        split: which columns have a coarse code besides.
        coarse: these codes, (rows, split columns), in COARSE times the entry's step.
    """

    rows: NDArray[np.float32]
    columns: NDArray[np.float32]
    split: NDArray[np.int64]
    coarse: NDArray[np.int8]

    @classmethod
    def whole(cls, rows: NDArray[np.float32], columns: NDArray[np.float32]) -> Lattice:
        """Of these steps, with no column split."""
        return cls(rows, columns, np.zeros(0, np.int64), np.zeros((len(rows), 0), np.int8))

    @property
    def grid(self) -> NDArray[np.float32]:
        """Step of every entry."""
        return self.rows[:, None] * self.columns

    def offset(self) -> NDArray[np.float32]:
        """What the coarse codes stand for, 0 in all other columns: (rows, columns)."""
        found = np.zeros((len(self.rows), len(self.columns)), dtype=np.float32)
        steps = COARSE * self.columns[self.split]
        found[:, self.split] = self.coarse * self.rows[:, None] * steps
        return found

    def nearest(self, weight: NDArray[np.float32]) -> NDArray[np.int8]:
        """Codes of the points nearest to the weights."""
        codes = rounded((weight - self.offset()) / self.grid, TOPS["int8"])
        return codes.astype(np.int8)

    def compensated(
        self, weight: NDArray[np.float32], hessian: NDArray[np.float64]
    ) -> NDArray[np.int8]:
        """GPTQ's codes."""
        return compensated_codes(weight - self.offset(), self.grid, hessian, TOPS["int8"])

    def stored(self, name: str, codes: NDArray[np.int8], stream: str) -> list[Stored]:
        """A matrix of these codes, in streams of its own and of all steps."""
        found = [
            Stored(name, "code", "i1", codes, stream),
            Stored(name, "step", "e1", self.rows, "step e1"),
            Stored(name, "column", "e1", self.columns, "step e1"),
        ]
        if len(self.split):
            place = np.zeros((len(self.split), len(self.columns)), dtype=np.float32)
            place[np.arange(len(self.split)), self.split] = COARSE * self.columns[self.split]
            found += [
                Stored(f"{name}/b", "code", "i1", self.coarse, f"{stream}/b"),
                Stored(f"{name}/b", "step", "e1", self.rows, "step e1"),
                Stored(f"{name}/a", "whole", "f4", place, f"{stream}/a"),
            ]
        return found


def lattice(
    weight: NDArray[np.float32], known: Inputs, k: float, *, split: bool = True
) -> Lattice:
    """Steps such that the rounding of each entry costs the loss the same.

    For a quadratic loss and codes under an entropy coder that is the best sharing of bits at high
    rate (reverse water-filling), and it needs no more than one knob for the whole model. A
    column's steps go with its conditional deviation given the columns that GPTQ rounds later,
    which is what its rounding error still costs once they have made up for it.

    Args:
        split: columns may be split; else those that a byte does not reach get wider steps.
    """
    curvature, shares = known.curvature(), known.row_weights()
    scale = float(np.diag(curvature).mean()) or 1.0
    order = np.argsort(-np.diag(curvature), kind="stable")
    remaining = np.empty(len(order))
    remaining[order] = 1 / np.diag(inverse_factor(curvature[np.ix_(order, order)] / scale))
    share = (shares / (shares.mean() or 1.0) + ROW_FLOOR) ** (-ROW_POWER / 2)
    rows = _as_stored(k * scale**-0.5 * share)
    # A column finer than its largest weight allows would end at the largest code.
    finest = (np.abs(weight) / rows[:, None]).max(axis=0) / LARGEST_CODE
    far = np.flatnonzero(finest * remaining > TOO_FINE) if split else np.zeros(0, np.int64)
    asked = np.maximum(1 / remaining, finest)
    asked[far] = np.maximum(1 / remaining, finest / COARSE)[far]
    columns = _as_stored(asked)
    coarse = rounded(
        weight[:, far] / (COARSE * rows[:, None] * columns[far]), TOPS["int8"]
    ).astype(np.int8)
    return Lattice(rows, columns, far, coarse)


def _as_stored(steps: NDArray[Any]) -> NDArray[np.float32]:
    return exponents_to_steps(steps_to_exponents(steps))
