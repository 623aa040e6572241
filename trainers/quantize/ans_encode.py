"""The other half of `trainers.quantize.ans`: what writes."""

from __future__ import annotations

import numpy as np

from trainers.quantize.ans import (
    LOW,
    PRECISION,
    STATE_BYTES,
    WORD,
    Frequencies,
    next_refresh,
    spans,
    wrapped,
)
from trainers.quantize.magnitudes import Integers, Level, Magnitudes

SYMBOLS_A_LANE = 8192  # a lane costs 3 bytes, a step some 100 µs, whatever it holds
MAX_LANES = 1024


class Encoder:
    """Codes arrays one after another.

    `Decoder` reads what is forgotten last first, so the probabilities are found going forward
    and the words written going backward.

    Args:
        count: of numbers, in all.
        largest: of their magnitudes, at most 127.
    """

    def __init__(self, count: int, largest: int):
        self._lanes = min(MAX_LANES, 1 << max(0, (count // SYMBOLS_A_LANE).bit_length() - 1))
        self._table, self._refresh = Frequencies(largest), 0
        self._steps = list[tuple[Integers, Integers]]()
        self._level, self._small = Level(), Level()

    def row(self, values: Integers) -> None:
        """One row that is no matrix's, (width,)."""
        flat = np.zeros_like(values)
        self._matrix(values[None], flat[:1], flat, self._small)

    def matrix(self, codes: Integers, rows: Integers, columns: Integers) -> None:
        """A matrix (rows, columns) whose steps have these exponents."""
        self._matrix(codes, rows, columns, self._level)

    def _matrix(self, codes: Integers, rows: Integers, columns: Integers, level: Level) -> None:
        magnitudes = Magnitudes(rows, columns, level)
        for row in range(len(rows)):
            magnitudes.begin(row)
            for here in spans(len(columns), self._lanes):
                apart = wrapped(codes[row, here] - magnitudes.middle[here], self._table.largest)
                self._take(apart + self._table.largest, magnitudes.expected(here))
                magnitudes.add(here, codes[row, here], apart)
            magnitudes.end()

    def _take(self, symbols: Integers, expected: Integers) -> None:
        table = self._table
        if len(self._steps) == self._refresh:
            table.refresh()
            self._refresh = next_refresh(self._refresh)
        self._steps.append(table.take(table.classes(expected), symbols))

    def packed(self) -> bytes:
        """All that was coded."""
        states, written = np.full(self._lanes, LOW, dtype=np.int64), [np.zeros(0, np.int64)]
        for frequency, start in reversed(self._steps):
            state = states[: len(frequency)]
            full = state >= frequency * (LOW >> PRECISION << WORD)
            written.append(state[full] & (1 << WORD) - 1)
            state = np.where(full, state >> WORD, state)
            whole, part = np.divmod(state, frequency)
            states[: len(frequency)] = (whole << PRECISION) + part + start
        head = self._lanes.to_bytes(2, "little") + self._table.largest.to_bytes(1, "little")
        first = (states[:, None] >> 8 * np.arange(STATE_BYTES) & 255).astype(np.uint8)
        words = np.concatenate(written[::-1]).astype("<u2")
        return head + first.tobytes() + words.tobytes()
