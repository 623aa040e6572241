"""Numbers for the tests: normal scores for numeric columns, drop-one dummies for levels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

Matrix = NDArray[np.float64]


def normal_scores(values: Sequence[float] | Matrix) -> Matrix:
    """Return the normal quantiles of the mid-ranks, (n,) → (n,).

    Keeps the order and forgets the scale, so one wild score or a learning rate in units of its
    own moves nothing (the nonparanormal of Liu, Lafferty & Wasserman 2009, JMLR 10).
    """
    ranks = rankdata(np.asarray(values, dtype=float), method="average")
    scores: Matrix = ndtri((ranks - 0.5) / len(ranks))
    return scores


def encode_column(cells: Sequence[float] | Sequence[str]) -> Matrix:
    """Return the centred block (n, p) of one column, each of its columns of unit variance.

    Numbers become one column of normal scores. Text becomes one indicator per level but the
    first: a full set of indicators would sum to one, and each would be a function of the others.
    A constant column gives a block of width zero.
    """
    if len(cells) and isinstance(cells[0], str):
        levels, codes = np.unique(np.asarray(cells, dtype=str), return_inverse=True)
        block = np.eye(len(levels))[codes][:, 1:]
    else:
        numbers = np.asarray(cells, dtype=float)
        block = (
            normal_scores(numbers)[:, None] if np.ptp(numbers) > 0 else np.zeros((len(cells), 0))
        )
    block = block - block.mean(axis=0)
    scale = block.std(axis=0)
    result: Matrix = block[:, scale > 0] / scale[scale > 0]
    return result
