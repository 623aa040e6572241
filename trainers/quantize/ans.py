"""An adaptive entropy coder for matrices of small whole numbers: the half that reads.

Interleaved range asymmetric numeral systems (Duda 2013; Giesen 2014): many lanes, each a state of
32 bits, take one symbol each per step, so that NumPy does the work and nothing need be installed.
What a symbol costs follows from how large the numbers of its column have been so far: columns
belong to input channels, whose sizes differ, while rows are scaled alike. All arithmetic is on
whole numbers, so every machine reads the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
PRECISION = 14  # bits of a probability
LOW, WORD = 1 << 16, 16  # a state below LOW takes in a word
REFRESH = 32  # steps between two looks at the counts, or a 16th of the steps so far
FORGET = 1 << 22  # counts are halved above it
INCREMENT = 24
PRIOR = 96  # counts of the likeliest symbol at the start
# Upper bounds of a column's mean magnitude, in 1/256, half an octave apart: 1/16 to 32.
CLASSES = np.array(
    [
        16,
        23,
        32,
        45,
        64,
        91,
        128,
        181,
        256,
        362,
        512,
        724,
        1024,
        1448,
        2048,
        2896,
        4096,
        5793,
        8192,
    ]
)


class CodeError(ValueError):
    """The words are not those of so many symbols."""


@dataclass
class Frequencies:
    """How often each symbol has come, by class of column.

    Args:
        largest: symbols are −largest to largest.
    """

    largest: int
    counts: Integers = field(init=False)
    frequency: Integers = field(init=False)
    start: Integers = field(init=False)

    def __post_init__(self) -> None:
        # Before anything is seen: a bell with the class's mean magnitude. Each operation is one
        # that every machine rounds alike.
        mean = np.append(CLASSES, CLASSES[-1])[:, None].astype(np.float64) * 0.84
        symbols = 256.0 * np.arange(-self.largest, self.largest + 1)
        bell = 8 * mean * mean / (8 * mean * mean + symbols * symbols)
        self.counts = 1 + (PRIOR * bell * bell * bell).astype(np.int64)
        self.refresh()

    def refresh(self) -> None:
        """Take the probabilities, whole numbers that sum to 2^PRECISION, from the counts."""
        size = self.counts.shape[1]
        self.counts[self.counts.sum(axis=1) > FORGET] += 1
        self.counts[self.counts.sum(axis=1) > FORGET] >>= 1
        total = self.counts.sum(axis=1, keepdims=True)
        self.frequency = self.counts * ((1 << PRECISION) - size) // total + 1
        rest = (1 << PRECISION) - self.frequency.sum(axis=1)
        likeliest = self.frequency.argmax(axis=1)
        self.frequency[np.arange(len(rest)), likeliest] += rest
        self.start = np.cumsum(self.frequency, axis=1) - self.frequency

    def count(self, classes: Integers, symbols: Integers) -> None:
        """Remember symbols, counted from 0."""
        size = self.counts.shape[1]
        seen = np.bincount(classes * size + symbols, minlength=self.counts.size)
        self.counts += INCREMENT * seen.reshape(self.counts.shape)


class Columns:
    """Mean magnitude of each column of one matrix, of the rows that have passed."""

    def __init__(self, width: int):
        self._sums = np.zeros(width, dtype=np.int64)
        self._rows = 0

    def classes(self, here: slice) -> Integers:
        """The class of these columns."""
        everywhere = 512
        if self._rows:
            everywhere = int(self._sums.sum() << 8) // (self._rows * len(self._sums))
        mean = ((self._sums[here] << 8) + 4 * everywhere) // (self._rows + 4)
        found: Integers = np.searchsorted(CLASSES, mean).astype(np.int64)
        return found

    def add(self, row: Integers) -> None:
        """A whole row has passed."""
        self._sums += np.abs(row)
        self._rows += 1


def next_refresh(step: int) -> int:
    """The step before which the counts are looked at again."""
    return step + max(REFRESH, step // 16)


def spans(shape: tuple[int, int], lanes: int) -> Iterator[tuple[int, slice]]:
    """The steps of a matrix: a row, and as many of its columns as there are lanes."""
    for row in range(shape[0]):
        for first in range(0, shape[1], lanes):
            yield row, slice(first, min(first + lanes, shape[1]))


def ans_decode(packed: bytes, shapes: Sequence[tuple[int, int]]) -> list[NDArray[np.int8]]:
    """Read matrices of these shapes, (rows, columns).

    Raises:
        CodeError: the words end early, are left over, or end in another state than they should.
    """
    lanes, largest = int.from_bytes(packed[:2], "little"), int.from_bytes(packed[2:3], "little")
    if len(packed) % 2 == 0 or not 0 < 4 * lanes <= len(packed) - 3 or largest > 127:
        raise CodeError("the coded numbers are cut off")
    words = np.frombuffer(packed, dtype="<u2", offset=3).astype(np.int64)
    states, at = words[:lanes] << WORD | words[lanes : 2 * lanes], 2 * lanes
    table, mask, step, refresh = Frequencies(largest), (1 << PRECISION) - 1, 0, 0
    symbol_at = _symbol_table(table)
    matrices = []
    for shape in shapes:
        columns, matrix = Columns(shape[1]), np.empty(shape, dtype=np.int8)
        for row, here in spans(shape, lanes):
            if step == refresh:
                table.refresh()
                symbol_at, refresh = _symbol_table(table), next_refresh(step)
            step += 1
            classes = columns.classes(here)
            state = states[: len(classes)]
            slot = state & mask
            symbols = symbol_at[classes, slot]
            state = table.frequency[classes, symbols] * (state >> PRECISION)
            state += slot - table.start[classes, symbols]
            empty = np.flatnonzero(state < LOW)
            if at + len(empty) > len(words):
                raise CodeError("the coded numbers are cut off")
            state[empty] = state[empty] << WORD | words[at : at + len(empty)]
            at += len(empty)
            states[: len(classes)] = state
            table.count(classes, symbols)
            matrix[row, here] = symbols - largest
            if here.stop == shape[1]:
                columns.add(matrix[row].astype(np.int64))
        matrices.append(matrix)
    if at != len(words) or (states != LOW).any():
        raise CodeError("the coded numbers do not end where they should")
    return matrices


def _symbol_table(table: Frequencies) -> NDArray[Any]:
    """The symbol of every slot, (classes, 2^PRECISION)."""
    symbols = np.tile(np.arange(table.counts.shape[1]), len(table.counts))
    return np.repeat(symbols, table.frequency.reshape(-1)).reshape(len(table.counts), -1)
