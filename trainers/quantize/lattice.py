"""Where the weights of a matrix may lie when each is rounded as finely as the loss asks.

A weight is code · row's step · column's step. A few channels, such as the one a final norm keeps
near a constant, ask for steps so fine that a byte does not reach their largest weights: at the
steps that a byte allows, one such column of an embedding cost more loss than all its other
columns together. So these columns are split in two: a coarse code, stored as a correction of the
matrix (`trainers.quantize.artifact`), and a fine one for what is left, as for any other column.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.quantize.gptq import (
    DAMPING,
    Rounding,
    column_rounded,
    compensated_points,
    inverse_factor,
    order_taken,
    rounded,
)
from trainers.quantize.grids import TOPS
from trainers.quantize.header import code_role
from trainers.quantize.joined_rows import ROW_DAMPING, JoinedRows
from trainers.quantize.numbers import exponents_to_steps
from trainers.quantize.pack import Stored, steps_to_exponents
from trainers.quantize.statistics import Inputs
from trainers.quantize.trellis import row_order
from trainers.quantize.trellis_search import column_points, nearest_points

Grid = tuple[NDArray[np.float32], NDArray[np.float32]]  # steps of rows, of columns
# How often a row is looked up is known to within noise, of some rows not at all: a power of it.
ROW_POWER, ROW_FLOOR = 0.6, 1e-5
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
        states: of the trellis that shares out the points between the codes; 0 for none.
    """

    rows: NDArray[np.float32]
    columns: NDArray[np.float32]
    split: NDArray[np.int64]
    coarse: NDArray[np.int8]
    states: int = 0

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
        """Codes of the points nearest to the weights; of points of the lattice, their own."""
        values = ((weight - self.offset()) / self.grid).astype(np.float64)
        if not self.states:
            return codes_of(rounded(values, TOPS["int8"]))
        return codes_of(nearest_points(values, row_order(self.rows), self.states, TOPS["int8"]))

    def compensated(self, weight: NDArray[np.float32], known: Inputs) -> NDArray[np.int8]:
        """GPTQ's codes; under a trellis the rows of a column are rounded together."""
        # Row after row takes minutes where millions are: without a trellis each is by itself.
        rounding = self.rounding(known.outputs if self.states else np.zeros((0, 0)))
        left = weight - self.offset()
        return codes_of(compensated_points(left, self.grid, known.curvature(), rounding))

    def rounding(self, curvature: NDArray[np.float64]) -> Rounding:
        """How GPTQ is to round a column.

        Args:
            curvature: by the outputs, (rows, rows); empty where it is not known.
        """
        top, order = TOPS["int8"], row_order(self.rows)
        if curvature.size:
            joined = JoinedRows.of(curvature, order)
            if self.states:
                return partial(joined.trellis_points, states=self.states, top=top)
            return partial(joined.rounded, top=top)
        if self.states:
            return partial(column_points, order=order, states=self.states, top=top)
        return partial(column_rounded, top=top)

    def stored(self, name: str, codes: NDArray[np.int8], stream: str) -> list[Stored]:
        """A matrix of these codes, in streams of its own and of all steps."""
        found = [
            Stored(name, code_role(self.states), "i1", codes, stream),
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
    weight: NDArray[np.float32],
    known: Inputs,
    k: float,
    *,
    split: bool = True,
    states: int = 0,
    lean: float = 0.0,
) -> Lattice:
    """Steps such that the rounding of each entry costs the loss the same.

    For a quadratic loss and codes under an entropy coder that is the best sharing of bits at high
    rate (reverse water-filling), and it needs no more than one knob for the whole model. A
    column's steps go with its conditional deviation given the columns that GPTQ rounds later,
    which is what its rounding error still costs once they have made up for it; a row's likewise,
    where the curvature by the rows is known.

    Args:
        split: columns may be split; else those that a byte does not reach get wider steps.
        states: of the trellis, 0 for none.
        lean: logarithm of how much coarser the column that is rounded first is than the last, for
            training that makes good what early columns spoil.
    """
    curvature = known.curvature()
    scale = float(np.diag(curvature).mean()) or 1.0
    remaining = 1 / _sizes_left(curvature / scale, DAMPING)
    exact = k * scale**-0.5 * _row_sizes(known)
    rows = _as_stored(exact)
    far = np.zeros(0, np.int64)
    if split:  # by exact steps: stored ones rise for many rows at one k, where many would split
        far = np.flatnonzero(_finest(weight, exact) * remaining > TOO_FINE)
    finest = _finest(weight, rows)
    asked = np.maximum(1 / remaining, finest)
    asked[far] = np.maximum(1 / remaining, finest / COARSE)[far]
    places = (np.argsort(order_taken(curvature)) + 0.5) / len(curvature)
    columns = _as_stored(asked * np.exp(lean * (0.5 - places)))
    spacing = COARSE * rows[:, None] * columns[far]
    coarse = rounded(weight[:, far] / spacing, TOPS["int8"]).astype(np.int8)
    return Lattice(rows, columns, far, coarse, states)


def _finest(weight: NDArray[np.float32], rows: NDArray[Any]) -> NDArray[Any]:
    """Steps of columns below which the largest weight there would end at the largest code."""
    reach: NDArray[Any] = (np.abs(weight) / rows[:, None]).max(axis=0)
    return reach / LARGEST_CODE


def _row_sizes(known: Inputs) -> NDArray[np.float64]:
    """How much coarser than the matrix's step each row's is, (rows,)."""
    if not known.outputs.size:
        weights = known.row_weights()
        return np.asarray((weights / (weights.mean() or 1.0) + ROW_FLOOR) ** (-ROW_POWER / 2))
    sizes = _sizes_left(known.outputs, ROW_DAMPING)
    return np.asarray(sizes / np.exp(np.log(sizes).mean()))


def _sizes_left(curvature: NDArray[np.float64], damping: float) -> NDArray[np.float64]:
    """Steps of equal cost once later columns, or rows, have made up for what each one spoils."""
    order, sizes = order_taken(curvature), np.empty(len(curvature))
    sizes[order] = np.diag(inverse_factor(curvature[np.ix_(order, order)], damping))
    return sizes


def codes_of(points: NDArray[np.float64]) -> NDArray[np.int8]:
    """The whole numbers that points, in steps, are stored as."""
    return np.floor(points).astype(np.int8)


def _as_stored(steps: NDArray[Any]) -> NDArray[np.float32]:
    return exponents_to_steps(steps_to_exponents(steps))
