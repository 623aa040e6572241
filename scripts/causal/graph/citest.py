"""A conditional-independence test for mixed data with one node per factor.

X ⟂ Y | S is tested by multivariate regression: the columns of X and of Y (one for a number,
levels minus one for a factor) are freed of S, and Wilks' lambda of what is left is referred to
chi-squared with Bartlett's correction, which holds its size down to a few dozen rows
(Tsagris et al. 2018, Int. J. Data Sci. Anal. 6; Bartlett 1938). One-hot nodes are not an
alternative: with a full set, every level is a function of the others and each edge to the
outcome is explained away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtrc

from scripts.causal.graph.determinants import Determinants, Places
from scripts.causal.graph.encode import Matrix, encode_column

TEST_WORDS = (
    "Bartlett-corrected Wilks lambda of multivariate regression, normal scores and dummies"
)
RANK_TOLERANCE = 1e-8
LEAST_SHARE_OF_ITS_OWN = 1e-6


@dataclass(frozen=True)
class Encoded:
    """A table ready for testing.

    Attributes:
        blocks: all encoded columns side by side, (n, width).
        places: for each variable the positions of its columns in `blocks`.
    """

    names: tuple[str, ...]
    blocks: Matrix
    places: tuple[tuple[int, ...], ...]

    def subset(self, kept: Sequence[int]) -> Encoded:
        """Return the table of some of the variables, by position."""
        columns = [place for one in kept for place in self.places[one]]
        widths = [len(self.places[one]) for one in kept]
        ends = np.cumsum(widths)
        places = tuple(
            tuple(range(int(end) - width, int(end)))
            for end, width in zip(ends, widths, strict=True)
        )
        names = tuple(self.names[one] for one in kept)
        return Encoded(names, self.blocks[:, columns], places)


def encode_table(table: pd.DataFrame) -> Encoded:
    """Encode every column of the table.

    Raises:
        ValueError: a column is constant; it has to be set aside before.
    """
    parts, places, start = [], [], 0
    for name in table.columns:
        block = encode_column(table[name].tolist())
        if block.shape[1] == 0:
            raise ValueError(f"column {name!r} is constant and cannot be tested")
        parts.append(block)
        places.append(tuple(range(start, start + block.shape[1])))
        start += block.shape[1]
    return Encoded(tuple(map(str, table.columns)), np.hstack(parts), tuple(places))


def _whiten(cross: Matrix, original: NDArray[np.float64]) -> Matrix:
    """Return W with WᵀCW = I on the directions of C that hold variance; (p, rank).

    Directions with less than RANK_TOLERANCE of their original variance are rounding noise.
    """
    values, vectors = np.linalg.eigh(cross)
    keep = values > RANK_TOLERANCE * original.max()
    result: Matrix = vectors[:, keep] / np.sqrt(values[keep])
    return result


def kish(weights: NDArray[np.float64]) -> float:
    """Return the number of rows of equal weight that tell as much: (Σw)² / Σw²."""
    return float(weights.sum() ** 2 / (weights**2).sum())


class WilksTest:
    """P-values of X ⟂ Y | S over an encoded table, cached.

    Args:
        encoded: the table.
        weights: one non-negative weight per row (a bootstrap's multiplicities); None for one
            each. The effective number of rows is (Σw)² / Σw² (Kish): copies of a row are no new
            evidence, and counting them as such doubles the rate of false edges.
        rows: effective number of rows, where the caller knows better.
    """

    def __init__(
        self,
        encoded: Encoded,
        weights: NDArray[np.float64] | None = None,
        rows: float | None = None,
    ):
        self.encoded = encoded
        count = encoded.blocks.shape[0]
        weights = np.ones(count) if weights is None else weights
        self.rows = kish(weights) if rows is None else rows
        share = weights / weights.sum()
        centred = encoded.blocks - share @ encoded.blocks
        cross: Matrix = (centred * share[:, None]).T @ centred
        self.cross = cross
        self.cache: dict[tuple[int, int, tuple[int, ...]], float] = {}

    def varies(self, variable: int) -> bool:
        """Say whether the variable still takes two values under the weights."""
        places = list(self.encoded.places[variable])
        return bool(self.cross[places, places].max() > RANK_TOLERANCE)

    def separable(self) -> list[int]:
        """Return the variables that vary and that those before them do not determine."""
        kept: list[int] = []
        columns: list[int] = []
        for variable, places in enumerate(self.encoded.places):
            cross = self.cross[np.ix_(places, places)]
            if columns:
                basis = _whiten(self.cross[np.ix_(columns, columns)], self.cross[columns, columns])
                projected = self.cross[np.ix_(places, columns)] @ basis
                cross = cross - projected @ projected.T
            if self.varies(variable) and np.diag(cross).max() > LEAST_SHARE_OF_ITS_OWN:
                kept.append(variable)
                columns.extend(places)
        return kept

    def canonical(self, x: int, y: int) -> Matrix:
        """Return the canonical correlations of two variables, (smaller rank,), largest first."""
        px, py = self.encoded.places[x], self.encoded.places[y]
        white_x = _whiten(self.cross[np.ix_(px, px)], self.cross[px, px])
        white_y = _whiten(self.cross[np.ix_(py, py)], self.cross[py, py])
        between = white_x.T @ self.cross[np.ix_(px, py)] @ white_y
        result: Matrix = np.asarray(np.linalg.svd(between, compute_uv=False), dtype=np.float64)
        return result

    def association(self, x: int, y: int) -> float:
        """Return the largest canonical correlation, 0 to 1."""
        return min(float(self.canonical(x, y).max(initial=0.0)), 1.0)

    def p_value(self, x: int, y: int, given: Sequence[int] = ()) -> float:
        """Return the p-value of x ⟂ y | given.

        0.0 when the test cannot be computed, because `given` determines x or y or leaves too few
        degrees of freedom: what cannot be tested removes no edge.
        """
        key = (min(x, y), max(x, y), tuple(sorted(given)))
        if key not in self.cache:
            self.cache[key] = self._compute(*key)
        return self.cache[key]

    @cached_property
    def _determinants(self) -> Determinants:
        """Of the covariance in which each variable's own columns are uncorrelated, variance one.

        The test does not change under such a change of basis, and determinants are at their best.
        """
        bases = [
            _whiten(self.cross[np.ix_(own, own)], self.cross[own, own])
            for own in self.encoded.places
        ]
        basis = np.zeros((len(self.cross), sum(one.shape[1] for one in bases)))
        places, start = [], 0
        for own, white in zip(self.encoded.places, bases, strict=True):
            places.append(range(start, start + white.shape[1]))
            basis[np.ix_(own, places[-1])] = white
            start += white.shape[1]
        return Determinants(basis.T @ self.cross @ basis, places)

    def p_values(self, x: Places, y: Places, given: Places) -> NDArray[np.float64]:
        """Return the p-values of many tests x ⟂ y | given at once.

        The same numbers as `p_value` up to rounding, by Wilks' lambda as a ratio of determinants
        (of xyS times S, to those of xS times yS); where columns are linearly dependent, which
        determinants cannot judge, by `p_value` itself.

        Args:
            x: positions, (k,).
            y: positions, (k,), each different from its x.
            given: conditioning sets of one size, (k, size), without x and y.
        """
        blocks = self._determinants

        def log_determinant(*more: Places) -> NDArray[np.float64]:
            return blocks.of(np.sort(np.column_stack([given, *more]), axis=1))

        every = log_determinant(x, y)
        regular = np.isfinite(every)
        used = blocks.widths[given].sum(axis=1)
        p, q = blocks.widths[x], blocks.widths[y]
        factor = self.rows - 1 - used - (p + q + 1) / 2
        testable = (p > 0) & (q > 0) & (factor > np.maximum(p, q))
        with np.errstate(invalid="ignore"):  # inf - inf, where not regular
            log_lambda = every + log_determinant() - (log_determinant(x) + log_determinant(y))
        statistic = np.where(regular & testable, -factor * log_lambda, 0.0)
        result: NDArray[np.float64] = np.zeros(len(x))
        result[testable] = chdtrc((p * q)[testable], np.maximum(statistic[testable], 0.0))
        for one in np.flatnonzero(~regular):
            result[one] = self.p_value(int(x[one]), int(y[one]), given[one].tolist())
        return result

    def _compute(self, x: int, y: int, given: tuple[int, ...]) -> float:
        places = self.encoded.places
        px, py = places[x], places[y]
        pair = [*px, *py]
        cross = self.cross[np.ix_(pair, pair)]
        used = 0
        if given:
            fixed = [column for variable in given for column in places[variable]]
            basis = _whiten(self.cross[np.ix_(fixed, fixed)], self.cross[fixed, fixed])
            used = basis.shape[1]
            projected = self.cross[np.ix_(pair, fixed)] @ basis
            cross = cross - projected @ projected.T
        split = len(px)
        white_x = _whiten(cross[:split, :split], self.cross[px, px])
        white_y = _whiten(cross[split:, split:], self.cross[py, py])
        p, q = white_x.shape[1], white_y.shape[1]
        factor = self.rows - 1 - used - (p + q + 1) / 2
        if p == 0 or q == 0 or factor <= max(p, q):
            return 0.0
        canonical = white_x.T @ cross[:split, split:] @ white_y
        squares = np.linalg.svd(canonical, compute_uv=False) ** 2
        statistic = -factor * np.log1p(-np.minimum(squares, 1 - 1e-12)).sum()
        return float(chdtrc(p * q, statistic))
