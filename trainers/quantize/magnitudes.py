"""How large the next numbers of a matrix should be, from what the reader knows already.

A weight's code is the weight over the steps of its row and its column. Weights of a matrix are of
about one size, so the steps alone tell most of how large its codes are; the rest is learnt on
the way: of every column from the rows that have passed, of a row from its first columns. All
arithmetic is on whole numbers, so every machine expects the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
EXPONENT_STEPS = 4  # to an octave: a step is within 9 % of the one asked for
UNIT = 12  # bits after the point of a relative size
FARTHEST = 8 * EXPONENT_STEPS  # from the mean step, in exponents, that is told apart
SIZES = np.rint(2.0 ** (UNIT + np.arange(-FARTHEST, FARTHEST + 1) / EXPONENT_STEPS)).astype(
    np.int64
)
FINE = 8  # bits after the point of an expected magnitude
# What was expected is worth so many rows of a column, columns of a row, rows of a matrix.
COLUMN_PRIOR, ROW_PRIOR, MATRIX_PRIOR = 16, 32, 16
FEWEST, MOST = 1 << (FINE - 4), 1 << (FINE + 4)  # times what was expected, a row may be


@dataclass
class Level:
    """How large codes are where both steps are the mean ones, in the arrays that have passed."""

    mean: int = 2 << FINE


class Magnitudes:
    """Of one matrix (rows, columns), whose rows pass one after another.

    Args:
        rows, columns: exponents of the steps.
        level: is moved to that of this matrix.
    """

    def __init__(self, rows: Integers, columns: Integers, level: Level):
        self._rows, self._columns = _sizes(rows), _sizes(columns)
        self._level, self._before = level, level.mean
        self._sums, self._passed = np.zeros(len(columns), dtype=np.int64), 0

    def begin(self, row: int) -> None:
        """A row comes next."""
        self._size = int(self._rows[row])
        usual = self._level.mean * self._columns >> UNIT
        sums = (self._sums << UNIT + FINE) + (COLUMN_PRIOR * usual << UNIT)
        self._expected = sums // (self._passed + (COLUMN_PRIOR << UNIT)) * self._size >> UNIT
        self._foreseen = np.cumsum(self._expected)
        self._prior = ROW_PRIOR * int(self._foreseen[-1]) // len(self._foreseen) + 1
        self._found = 0

    def expected(self, here: slice) -> Integers:
        """Mean magnitude of the codes of these columns, in 1/2^FINE."""
        foreseen = int(self._foreseen[here.start - 1]) if here.start else 0
        times = ((self._found + self._prior) << FINE) // (foreseen + self._prior)
        found: Integers = self._expected[here] * min(MOST, max(FEWEST, times)) >> FINE
        return found

    def add(self, here: slice, codes: Integers) -> None:
        """These columns of the row have passed."""
        magnitudes = np.abs(codes)
        self._sums[here] += magnitudes
        self._found += int(magnitudes.sum()) << FINE

    def end(self) -> None:
        """The whole row has passed."""
        self._passed += self._size
        sums = int(self._sums.sum()) << FINE + 2 * UNIT
        prior, sizes = MATRIX_PRIOR << 2 * UNIT, self._passed * int(self._columns.sum())
        self._level.mean = (sums + self._before * prior) // (sizes + prior) + 1


def _sizes(exponents: Integers) -> Integers:
    """How large codes are under these steps, where they are 2^UNIT under the mean one."""
    mean = int(exponents.sum()) // max(1, len(exponents))
    sizes: Integers = SIZES[np.clip(mean - exponents, -FARTHEST, FARTHEST) + FARTHEST]
    return sizes
