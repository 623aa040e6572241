"""An adaptive entropy coder for arrays of small whole numbers: the half that reads.

Interleaved range asymmetric numeral systems (Duda 2013; Giesen 2014): many lanes, each a state of
40 bits, take one symbol each per step, so that NumPy does the work and nothing need be installed.
What a symbol costs follows from how large it is expected to be (`trainers.quantize.magnitudes`).
All arithmetic is on whole numbers, so every machine reads the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trainers.quantize.magnitudes import FINE, Integers, Level, Magnitudes

PRECISION = 16  # bits of a probability
LOW, WORD = 1 << 24, 16  # a state below LOW takes in a word
STATE_BYTES, HEAD_BYTES = 5, 3
REFRESH = 32  # steps between two looks at the counts, or a 16th of the steps so far
FORGET = 1 << 24  # counts are halved above it
INCREMENT = 64
PRIOR = 16384  # counts of a class at the start, of which each symbol has its share
# Standard deviations of the classes, in 1/2^FINE: 1/8 to 64, an eighth of an octave apart.
DEVIATIONS = np.rint(2.0 ** (FINE + np.arange(-24, 49) / 8)).astype(np.int64)
# (1 + x² / 16σ²)⁻⁸, taken at 8 places of a symbol's width.
BELL, SQUARINGS, PLACES = 4.0, 3, 8


class CodeError(ValueError):
    """The words are not those of so many symbols."""


@dataclass
class Frequencies:
    """How often each symbol has come, by class of the magnitude that was expected.

    Args:
        largest: symbols are −largest to largest.
    """

    largest: int
    counts: Integers = field(init=False)
    frequency: Integers = field(init=False)
    _bounds: Integers = field(init=False)
    start: Integers = field(init=False)
    _seen: list[Integers] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        # Before anything is seen: a bell, all but a normal one, over the width of each symbol.
        # Each operation is one that every machine rounds alike.
        symbols = np.arange(-self.largest, self.largest + 1)
        places = symbols[:, None] + (np.arange(PLACES) + 0.5) / PLACES - 0.5
        spread = BELL / 2.0**FINE * DEVIATIONS[:, None, None]
        bell = spread * spread / (spread * spread + places * places)
        for _ in range(SQUARINGS):
            bell = bell * bell
        share = (2.0**32 * bell).astype(np.int64).sum(axis=2)
        total = share.sum(axis=1)
        self.counts = PRIOR * share // total[:, None]
        means = (share @ np.abs(symbols) << FINE) // total
        self._bounds = (means[1:] + means[:-1]) // 2
        self.refresh()

    def classes(self, expected: Integers) -> Integers:
        """Of symbols whose mean magnitude is expected to be this, in 1/2^FINE."""
        found: Integers = np.searchsorted(self._bounds, expected).astype(np.int64)
        return found

    def refresh(self) -> None:
        """Take the probabilities, whole numbers that sum to 2^PRECISION, from the counts."""
        if self._seen:
            seen = np.bincount(np.concatenate(self._seen), minlength=self.counts.size)
            self.counts += INCREMENT * seen.reshape(self.counts.shape)
            self._seen.clear()
        self.counts[self.counts.sum(axis=1) > FORGET] >>= 1
        blended = 2 * self.counts
        blended[1:] += self.counts[:-1]
        blended[:-1] += self.counts[1:]
        size, total = blended.shape[1], blended.sum(axis=1, keepdims=True)
        self.frequency = blended * ((1 << PRECISION) - size) // total + 1
        rest = (1 << PRECISION) - self.frequency.sum(axis=1)
        likeliest = self.frequency.argmax(axis=1)
        self.frequency[np.arange(len(rest)), likeliest] += rest
        self.start = np.cumsum(self.frequency, axis=1) - self.frequency

    def take(self, classes: Integers, symbols: Integers) -> tuple[Integers, Integers]:
        """Probability of symbols, counted from 0, and that of smaller ones; they are counted."""
        at = classes * self.counts.shape[1] + symbols
        self._seen.append(at)
        return self.frequency.reshape(-1)[at], self.start.reshape(-1)[at]


def next_refresh(step: int) -> int:
    """The step before which the counts are looked at again."""
    return step + max(REFRESH, step // 16)


def wrapped(codes: Integers, largest: int) -> Integers:
    """Codes that run over at the largest one come in again at the other end."""
    found: Integers = (codes + largest) % (2 * largest + 1) - largest
    return found


def spans(width: int, lanes: int) -> Iterator[slice]:
    """The steps of a row: as many of its columns as there are lanes."""
    for first in range(0, width, lanes):
        yield slice(first, min(first + lanes, width))


class Decoder:
    """Reads arrays in the order in which they were written.

    Raises:
        CodeError: from all methods: the words end early, are left over, or end in another state
            than they should.
    """

    def __init__(self, packed: bytes):
        self._lanes, largest = int.from_bytes(packed[:2], "little"), packed[2:3]
        words = HEAD_BYTES + STATE_BYTES * self._lanes
        if not self._lanes or len(packed) < words or len(packed) - words & 1 or largest > b"\x7f":
            raise CodeError("the coded numbers are cut off")
        states = np.frombuffer(packed[HEAD_BYTES:words], dtype=np.uint8).reshape(-1, STATE_BYTES)
        self._states = states.astype(np.int64) @ (1 << 8 * np.arange(STATE_BYTES))
        self._words = np.frombuffer(packed, dtype="<u2", offset=words).astype(np.int64)
        self._table, self._step, self._refresh, self._at = Frequencies(largest[0]), 0, 0, 0
        self._level, self._small = Level(), Level()

    def row(self, width: int) -> NDArray[np.int8]:
        """Numbers of one row that is no matrix's, (width,)."""
        flat = np.zeros(width, dtype=np.int64)
        row: NDArray[np.int8] = self._matrix(flat[:1], flat, self._small)[0]
        return row

    def matrix(self, rows: Integers, columns: Integers) -> NDArray[np.int8]:
        """Numbers (rows, columns) whose steps have these exponents."""
        return self._matrix(rows, columns, self._level)

    def _matrix(self, rows: Integers, columns: Integers, level: Level) -> NDArray[np.int8]:
        matrix = np.empty((len(rows), len(columns)), dtype=np.int8)
        magnitudes = Magnitudes(rows, columns, level)
        for row in range(len(rows)):
            magnitudes.begin(row)
            for here in spans(len(columns), self._lanes):
                apart = self._symbols(magnitudes.expected(here)) - self._table.largest
                codes = wrapped(apart + magnitudes.middle[here], self._table.largest)
                magnitudes.add(here, codes, apart)
                matrix[row, here] = codes
            magnitudes.end()
        return matrix

    def _symbols(self, expected: Integers) -> Integers:
        table = self._table
        if self._step == self._refresh:
            table.refresh()
            self._symbol_at = _symbol_table(table)
            self._refresh = next_refresh(self._step)
        self._step += 1
        classes, state = table.classes(expected), self._states[: len(expected)]
        slot = state & (1 << PRECISION) - 1
        symbols: Integers = self._symbol_at[classes << PRECISION | slot].astype(np.int64)
        frequency, start = table.take(classes, symbols)
        state = frequency * (state >> PRECISION) + slot - start
        empty = np.flatnonzero(state < LOW)
        if self._at + len(empty) > len(self._words):
            raise CodeError("the coded numbers are cut off")
        state[empty] = state[empty] << WORD | self._words[self._at : self._at + len(empty)]
        self._at += len(empty)
        self._states[: len(expected)] = state
        return symbols

    def finish(self) -> None:
        """Nothing is left."""
        if self._at != len(self._words) or (self._states != LOW).any():
            raise CodeError("the coded numbers do not end where they should")


def _symbol_table(table: Frequencies) -> NDArray[np.uint8]:
    """The symbol of every slot of every class, (classes · 2^PRECISION,)."""
    classes, symbols = table.counts.shape
    every = np.tile(np.arange(symbols, dtype=np.uint8), classes)
    return np.repeat(every, table.frequency.reshape(-1))
