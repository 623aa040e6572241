"""The other half of `trainers.quantize.ans`: what writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.quantize.ans import (
    LOW,
    PRECISION,
    WORD,
    Columns,
    Frequencies,
    Integers,
    next_refresh,
    spans,
)

SYMBOLS_A_LANE = 4096  # a lane costs 4 bytes, a step some 60 µs, whatever it holds
MAX_LANES = 1024


def ans_encode(matrices: Sequence[NDArray[Any]]) -> bytes:
    """Code matrices (rows, columns) of whole numbers from −127 to 127, one after another.

    `ans_decode` reads what is forgotten last first, so the probabilities are found going forward
    and the words written going backward.
    """
    count = sum(matrix.size for matrix in matrices)
    lanes = int(min(MAX_LANES, max(1, count // SYMBOLS_A_LANE)))
    largest = max((int(np.abs(matrix.astype(np.int64)).max()) for matrix in matrices), default=0)
    table, steps, refresh = Frequencies(largest), list[tuple[Integers, Integers]](), 0
    for matrix in matrices:
        whole, columns = matrix.astype(np.int64), Columns(matrix.shape[1])
        for row, here in spans((matrix.shape[0], matrix.shape[1]), lanes):
            if len(steps) == refresh:
                table.refresh()
                refresh = next_refresh(refresh)
            classes, symbols = columns.classes(here), whole[row, here] + largest
            steps.append((table.frequency[classes, symbols], table.start[classes, symbols]))
            table.count(classes, symbols)
            if here.stop == matrix.shape[1]:
                columns.add(whole[row])
    states, written = np.full(lanes, LOW, dtype=np.int64), list[Integers]()
    for frequency, start in reversed(steps):
        state = states[: len(frequency)]
        full = state >= frequency << (WORD + WORD - PRECISION)
        written.append(state[full] & (LOW - 1))
        state = np.where(full, state >> WORD, state)
        states[: len(frequency)] = (state // frequency << PRECISION) + state % frequency + start
    words = np.concatenate([states >> WORD, states & (LOW - 1), *reversed(written)])
    head = lanes.to_bytes(2, "little") + largest.to_bytes(1, "little")
    return head + words.astype("<u2").tobytes()
