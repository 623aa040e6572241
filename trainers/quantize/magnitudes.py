"""What the next numbers of a matrix should be, from what the reader knows already.

A weight's code is the weight over the steps of its row and its column. Weights of a matrix are of
about one size, so the steps alone tell most of how large its codes are; the rest is learnt on
the way: of every column from the rows that have passed, of a row from its first columns. Nor are
they all around 0: rows of an embedding have a vector in common, which is taken from the rows
that have just passed. All arithmetic is on whole numbers, so every machine expects the same.
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
RECENT = 7  # a row's share in its columns' middles halves every 2^RECENT · ln 2 rows after it
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

    Attributes:
        middle: what the codes of this row should be, (columns,); magnitudes are of what they are
            apart from it.
    """

    middle: Integers

    def __init__(self, rows: Integers, columns: Integers, level: Level):
        self._rows, self._columns = _sizes(rows), _sizes(columns)
        self._level, self._before = level, level.mean
        self._sums, self._passed = np.zeros(len(columns), dtype=np.int64), 0
        # Of recent rows: the codes and their squares, over the rows' sizes, all times 2^UNIT.
        self._codes, self._squares, self._recent = np.zeros_like(self._sums), 0, 0

    def begin(self, row: int) -> None:
        """A row comes next."""
        self._size = int(self._rows[row])
        usual = self._level.mean * self._columns >> UNIT
        sums = (self._sums << UNIT + FINE) + (COLUMN_PRIOR * usual << UNIT)
        self._expected = sums // (self._passed + (COLUMN_PRIOR << UNIT)) * self._size >> UNIT
        self._foreseen = np.cumsum(self._expected)
        self._prior = ROW_PRIOR * int(self._foreseen[-1]) // len(self._foreseen) + 1
        self._found = 0
        self.middle = self._middle()

    def _middle(self) -> Integers:
        """The columns' means at this row's step, as far as they are more than chance.

        By James & Stein (1961): all are drawn to 0 by the share of their squares that would be
        there were every column's mean 0.
        """
        if not self._recent:
            return np.zeros_like(self._codes)
        means = (self._codes << FINE) // self._recent
        squares = int(means @ means)
        chance = (self._squares << UNIT + 2 * FINE) // self._recent**2
        share = (max(0, squares - chance) << UNIT) // max(1, squares)
        found: Integers = (means * self._size >> UNIT) * share + (1 << UNIT + FINE - 1)
        return found >> UNIT + FINE

    def expected(self, here: slice) -> Integers:
        """Mean magnitude of the codes of these columns, in 1/2^FINE."""
        foreseen = int(self._foreseen[here.start - 1]) if here.start else 0
        times = ((self._found + self._prior) << FINE) // (foreseen + self._prior)
        found: Integers = self._expected[here] * min(MOST, max(FEWEST, times)) >> FINE
        return found

    def add(self, here: slice, codes: Integers, apart: Integers) -> None:
        """These columns of the row have passed, so far apart from their middles."""
        magnitudes = np.abs(apart)
        self._sums[here] += magnitudes
        self._found += int(magnitudes.sum()) << FINE
        self._codes[here] += codes << UNIT
        self._squares += int(codes @ codes) << UNIT

    def end(self) -> None:
        """The whole row has passed."""
        self._passed += self._size
        self._recent += self._size
        self._codes -= self._codes >> RECENT
        self._squares -= self._squares >> RECENT
        self._recent -= self._recent >> RECENT
        sums = int(self._sums.sum()) << FINE + 2 * UNIT
        prior, sizes = MATRIX_PRIOR << 2 * UNIT, self._passed * int(self._columns.sum())
        self._level.mean = (sums + self._before * prior) // (sizes + prior) + 1


def _sizes(exponents: Integers) -> Integers:
    """How large codes are under these steps, where they are 2^UNIT under the mean one."""
    mean = int(exponents.sum()) // max(1, len(exponents))
    sizes: Integers = SIZES[np.clip(mean - exponents, -FARTHEST, FARTHEST) + FARTHEST]
    return sizes
