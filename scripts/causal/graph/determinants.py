"""Log-determinants of the blocks of one covariance matrix, each computed once.

A test of x ⟂ y | S needs those of S, S+x, S+y and S+x+y, and a set of four variables serves six
tests. So the work of a whole search is bounded by the number of sets, not of tests, and it is
done in stacks of equal width, without ever going back to the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Places = NDArray[np.intp]

LARGEST_TABLE = 2_000_000  # sets of one size kept; 16 MB
LARGEST_NUMBER = 1 << 62  # that a set may have
LARGEST_STACK = 2_000_000  # numbers in one stack of matrices
LEAST_EIGENVALUE = 1e-8


class Determinants:
    """Log-determinants over sets of variables.

    Args:
        covariance: (width, width), each variable's own block the identity.
        places: for each variable its columns in `covariance`; none for a constant one.
    """

    def __init__(self, covariance: Matrix, places: Sequence[Sequence[int]]):
        self.covariance = covariance
        count, widest = len(places), max((len(one) for one in places), default=0)
        self.widths = np.array([len(one) for one in places], dtype=np.intp)
        self._padded = np.full((count, widest), -1, dtype=np.intp)
        for variable, columns in enumerate(places):
            self._padded[variable, : len(columns)] = columns
        choose = [[comb(n, k) for k in range(count + 2)] for n in range(count + 1)]
        self._choose = np.minimum(np.array(choose, dtype=object), LARGEST_NUMBER).astype(np.int64)
        self._tables: dict[int, Matrix] = {}

    def of(self, sets: Places) -> Matrix:
        """Return the log-determinant of each set, (k, size) → (k,).

        -inf where the columns are linearly dependent up to rounding.

        Args:
            sets: positions, ascending in each row.
        """
        size = sets.shape[1]
        if size == 0 or not len(sets):
            return np.zeros(len(sets))
        total = comb(len(self.widths), size)
        if total > LARGEST_NUMBER:
            return self._compute(sets)
        # Every set of one size has its number: the combinatorial number system.
        numbers = self._choose[sets, np.arange(1, size + 1)].sum(axis=1)
        if total > LARGEST_TABLE:
            _, first, back = np.unique(numbers, return_index=True, return_inverse=True)
            computed: Matrix = self._compute(sets[first])[back]
            return computed
        if size not in self._tables:
            self._tables[size] = np.full(total, np.nan)
        table = self._tables[size]
        unknown = np.flatnonzero(np.isnan(table[numbers]))
        if unknown.size:
            fresh, first = np.unique(numbers[unknown], return_index=True)
            table[fresh] = self._compute(sets[unknown[first]])
        found: Matrix = table[numbers]
        return found

    def _compute(self, sets: Places) -> Matrix:
        result = np.zeros(len(sets))
        totals = self.widths[sets].sum(axis=1)
        for width in np.unique(totals):
            if width == 0:
                continue
            rows = np.flatnonzero(totals == width)
            step = max(1, LARGEST_STACK // int(width) ** 2)
            for start in range(0, len(rows), step):
                chunk = rows[start : start + step]
                columns = self._padded[sets[chunk]].reshape(len(chunk), -1)
                columns = columns[columns >= 0].reshape(len(chunk), width)
                result[chunk] = _log_determinants(
                    self.covariance[columns[:, :, None], columns[:, None, :]]
                )
        return result


def _log_determinants(stack: NDArray[np.float64]) -> Matrix:
    """Return log|A| of each matrix, (k, w, w) → (k,); -inf where A is singular up to rounding.

    The diagonal is all ones, so the other eigenvalues multiply to less than e, and a determinant
    above e times the least eigenvalue allowed needs no eigenvalues to be trusted.
    """
    signs, logs = np.linalg.slogdet(stack)
    result: Matrix = np.where(signs > 0, logs, -np.inf)
    doubtful = np.flatnonzero(result <= np.log(LEAST_EIGENVALUE) + 1)
    if doubtful.size:
        least = np.linalg.eigvalsh(stack[doubtful])[:, 0]
        result[doubtful[least <= LEAST_EIGENVALUE]] = -np.inf
    return result
