"""Arrays of whole numbers in one stream of `trainers.quantize.ans`: the half that reads.

Steps come first, since they tell how large the codes are that they belong to. An array of fewer
rows than a matrix is told row by row: as differences to a middle, as differences to the number
before, or as the same as a row before, since matrices that read one input have the same columns'
steps. Which, bytes before the coded numbers tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.quantize.ans import CodeError, Decoder
from trainers.quantize.header import Described
from trainers.quantize.int8 import MATRIX_MIN_SIDE, ArtifactError
from trainers.quantize.magnitudes import Integers
from trainers.quantize.numbers import exponents_to_steps

CODED_KINDS = ("i1", "e1")
# The first byte of a row that is told by no middle, which is from −126 on. Another follows: how
# many rows of this width before it the same one is, or the number that the first one differs from.
AGAIN, RISING, MIDDLE = 128, 129, 0
Passed = dict[int, list[NDArray[np.int8]]]  # rows by their width
Found = dict[tuple[str, str], NDArray[np.int8]]  # by name and role


def is_matrix(shape: tuple[int, ...]) -> bool:
    """Whether the numbers are told by what their columns have been; else around a middle."""
    return len(shape) == 2 and shape[0] >= MATRIX_MIN_SIDE


def as_rows(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of an array that is no matrix."""
    return (shape[0], shape[1]) if len(shape) == 2 else (1, int(np.prod(shape, dtype=np.int64)))


def exponents_for(name: str, shape: tuple[int, ...], found: Found) -> tuple[Integers, Integers]:
    """Of a matrix's steps by row and by column; 0 where it has none such."""
    told = (found.get((name, role), np.zeros(0, np.int8)) for role in ("step", "column"))
    rows, columns = (
        exponents.astype(np.int64) if exponents.shape == (side,) else np.zeros(side, np.int64)
        for exponents, side in zip(told, shape, strict=True)
    )
    return rows, columns


def read_coded(packed: bytes, arrays: Sequence[Described]) -> list[NDArray[Any]]:
    """The arrays of one stream.

    Raises:
        ArtifactError: not a stream of these arrays.
    """
    if any(array.kind not in CODED_KINDS or not array.count for array in arrays):
        raise ArtifactError("an array under ans holds no whole numbers")
    small = [array for array in arrays if not is_matrix(array.shape)]
    told = iter(packed)
    found: Found = {}
    try:
        heads = [_head(told) for array in small for _ in range(as_rows(array.shape)[0])]
        decoder, passed = Decoder(bytes(told)), Passed()
        for array in small:
            rows, columns = as_rows(array.shape)
            those = [_row(heads.pop(0), columns, decoder, passed) for _ in range(rows)]
            found[array.name, array.role] = np.stack(those).reshape(array.shape)
        for array in arrays:
            if is_matrix(array.shape):
                steps = exponents_for(array.name, array.shape, found)
                found[array.name, array.role] = decoder.matrix(*steps)
        decoder.finish()
    except CodeError as error:
        raise ArtifactError(str(error)) from error
    every = [(array, found[array.name, array.role]) for array in arrays]
    return [exponents_to_steps(v) if array.kind == "e1" else v for array, v in every]


def _head(told: Iterator[int]) -> tuple[int, int]:
    """How a row is told, and by what."""
    try:
        first = next(told)
        return (first, next(told)) if first in (AGAIN, RISING) else (MIDDLE, first)
    except StopIteration:
        raise CodeError("the coded numbers are cut off") from None


def _row(head: tuple[int, int], width: int, decoder: Decoder, passed: Passed) -> NDArray[np.int8]:
    before = passed.setdefault(width, [])
    way, told = head
    if way == AGAIN:
        if not 0 < told <= len(before):
            raise CodeError("the coded numbers repeat a row that was not there")
        before.append(before[-told])
    else:
        row = decoder.row(width).astype(np.int64)
        row = np.cumsum(row) if way == RISING else row
        before.append((row + told).astype(np.int8))
    return before[-1]
