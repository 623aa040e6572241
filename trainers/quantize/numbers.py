"""How numbers are written before a coder: the half that reads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.quantize.int8 import ArtifactError
from trainers.quantize.magnitudes import EXPONENT_STEPS

PLAIN_KINDS: dict[str, np.dtype[Any]] = {
    "f4": np.dtype("<f4"),
    "f2": np.dtype("<f2"),
    "i1": np.dtype("<i1"),
    "e1": np.dtype("<i1"),  # exponents: 2^(e / EXPONENT_STEPS)
}
PACKED_BITS = {"p6": 6, "p5": 5, "p4": 4}  # 4 values in 3 bytes, 8 in 5, 2 in 1
TERNARY = "t1"  # 5 values in a byte, as digits to base 3
KINDS = (*PLAIN_KINDS, *PACKED_BITS, TERNARY)


def stored_size(kind: str, count: int) -> int:
    """Bytes of so many numbers."""
    if kind in PLAIN_KINDS:
        return count * PLAIN_KINDS[kind].itemsize
    return -(-count // 5) if kind == TERNARY else -(-count * PACKED_BITS[kind] // 8)


def exponents_to_steps(exponents: NDArray[np.int8]) -> NDArray[np.float32]:
    """2^(e / EXPONENT_STEPS), the same on every machine: few constants and a power of two."""
    octaves, parts = np.divmod(exponents.astype(np.int64), EXPONENT_STEPS)
    roots = np.array([2.0 ** (k / EXPONENT_STEPS) for k in range(EXPONENT_STEPS)], np.float32)
    steps: NDArray[np.float32] = np.ldexp(roots[parts], octaves).astype(np.float32)
    return steps


def decoded_numbers(raw: bytes, kind: str, count: int) -> NDArray[Any]:
    """Numbers of a kind from their bytes.

    Raises:
        ArtifactError: a byte that no number is written as.
    """
    data = np.frombuffer(raw, dtype=np.uint8)
    if kind in PLAIN_KINDS:
        values: NDArray[Any] = np.frombuffer(raw, dtype=PLAIN_KINDS[kind], count=count)
        return exponents_to_steps(values) if kind == "e1" else values
    if kind == TERNARY:
        if data.size and int(data.max()) >= 3**5:
            raise ArtifactError("a byte holds no five ternary digits")
        digits = data[:, None].astype(np.int16) // np.array([1, 3, 9, 27, 81]) % 3
        codes: NDArray[Any] = digits.reshape(-1)[:count] - 1
    else:
        bits = PACKED_BITS[kind]
        table = np.unpackbits(data, bitorder="little")[: count * bits].reshape(count, bits)
        codes = table.astype(np.int16) @ (1 << np.arange(bits, dtype=np.int16)) - (1 << bits - 1)
    return codes.astype(np.int8)


def unshuffled(raw: bytes, size: int) -> bytes:
    """Bytes of numbers of `size` bytes, which lay sorted by their place in the number."""
    whole = len(raw) // size * size
    table = np.frombuffer(raw[:whole], dtype=np.uint8).reshape(size, -1)
    return table.T.tobytes() + raw[whole:]
