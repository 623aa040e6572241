"""Writes the artifact that `trainers.quantize.artifact` reads."""

from __future__ import annotations

import importlib
import lzma
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.quantize.ans_encode import Encoder
from trainers.quantize.artifact import (
    HEADER_SIZE_BYTES,
    LZMA_FILTERS,
    PACKED_MAGIC,
    checksum,
)
from trainers.quantize.coded import (
    AGAIN,
    CODED_KINDS,
    RISING,
    Found,
    as_rows,
    exponents_for,
    is_matrix,
)
from trainers.quantize.header import Described, grouped, header_bytes, ungrouped
from trainers.quantize.int8 import ArtifactError
from trainers.quantize.magnitudes import EXPONENT_STEPS, Integers
from trainers.quantize.numbers import PACKED_BITS, PLAIN_KINDS, TERNARY

BEST = "best"  # of SHIPPED, by measured bytes, for every stream
# What a plain Python has, and the competition's brotli; our own, which is NumPy, is there too.
SHIPPED = ("raw", "zlib", "lzma", "brotli")
CODED = "coded"  # the stream of all whole numbers under our coder
LEAST_STEP = 2.0**-32
TOP = {"i1": 127, "p6": 31, "p5": 15, "p4": 7, TERNARY: 1}


@dataclass(frozen=True)
class Stored:
    """One array to be written: numbers of a kind, for a role, in a stream of this name."""

    name: str
    role: str
    kind: str
    values: NDArray[Any]
    stream: str


def pack(arrays: Sequence[Stored], coder: str = BEST) -> bytes:
    """Write arrays; those of one stream are compressed together. The same arrays, the same bytes.

    Args:
        coder: one of `header.CODERS`, or BEST. Under "ans" all whole numbers of a byte are one
            stream, and what is left goes to the best of the others.

    Raises:
        ArtifactError: a number that its kind cannot hold, or a coder that is not installed.
    """
    if coder == "ans":
        return _packed(arrays, SHIPPED, together=True)
    if coder == BEST:
        ways = (_packed(arrays, SHIPPED, together=together) for together in (True, False))
        return min(ways, key=len)
    return _packed(arrays, (coder,), together=False)


def _packed(arrays: Sequence[Stored], coders: Sequence[str], *, together: bool) -> bytes:
    streams: dict[str, list[Stored]] = {}
    for array in arrays:
        stream = CODED if together and _is_coded(array) else array.stream
        streams.setdefault(stream, []).append(array)
    described = ungrouped(
        grouped(
            [
                Described(array.name, array.role, array.kind, array.values.shape, index)
                for index, those in enumerate(streams.values())
                for array in those
            ]
        )
    )
    known = {(array.name, array.role): array for array in arrays}
    told, bodies = [], []
    for index, name in enumerate(streams):
        mine = [known[one.name, one.role] for one in described if one.stream == index]
        used, body = ("ans", coded_bytes(mine)) if name == CODED else _smallest(mine, coders)
        told.append((used, len(body)))
        bodies.append(body)
    header = header_bytes(described, told)
    size = len(header).to_bytes(HEADER_SIZE_BYTES, "little")
    rest = b"".join([size, header, *bodies])
    return PACKED_MAGIC + checksum(rest) + rest


def _smallest(arrays: Sequence[Stored], coders: Sequence[str]) -> tuple[str, bytes]:
    raw = b"".join(_shuffled(encoded_numbers(a.values, a.kind), a.kind) for a in arrays)
    tried = [(name, _compressed(name, raw)) for name in coders]
    return min(tried, key=lambda entry: len(entry[1]))


def _is_coded(array: Stored) -> bool:
    return array.kind in CODED_KINDS and array.values.size > 0


def coded_bytes(arrays: Sequence[Stored]) -> bytes:
    """What `coded.read_coded` reads."""
    numbers: Found = {
        (array.name, array.role): np.frombuffer(
            encoded_numbers(array.values, array.kind), dtype=np.int8
        ).reshape(array.values.shape)
        for array in arrays
    }
    heads, rows, passed = bytearray(), list[Integers](), dict[int, list[Integers]]()
    for values in numbers.values():
        if not is_matrix(values.shape):
            for row in values.astype(np.int64).reshape(as_rows(values.shape)):
                before = passed.setdefault(len(row), [])
                head, told = _told(row, before)
                heads += head
                rows += told
                before.append(row)
    matrices = {key: v.astype(np.int64) for key, v in numbers.items() if is_matrix(v.shape)}
    every = [*rows, *matrices.values()]
    largest = max(int(np.abs(values).max()) for values in every)
    encoder = Encoder(sum(values.size for values in every), largest)
    for row in rows:
        encoder.row(row)
    for (name, _), codes in matrices.items():
        encoder.matrix(codes, *exponents_for(name, codes.shape, numbers))
    return bytes(heads) + encoder.packed()


def _told(row: Integers, before: Sequence[Integers]) -> tuple[bytes, list[Integers]]:
    """The bytes that say how a row is told, and what of it is coded."""
    for back, other in enumerate(before[:-256:-1], 1):
        if np.array_equal(row, other):
            return bytes([AGAIN, back]), []
    # The median, or what is nearest to it with no difference above 127.
    middle = int(np.clip(np.median(row), max(row.max() - 127, -126), row.min() + 127))
    apart, rising = row - middle, np.diff(row, prepend=row[0])
    if np.abs(rising).max() <= TOP["i1"] and _bits(rising) < _bits(apart):
        return bytes([RISING, row[0] & 255]), [rising]
    return bytes([middle & 255]), [apart]


def _bits(differences: Integers) -> float:
    return float(np.log2(1 + np.abs(differences)).sum())


def _compressed(coder: str, raw: bytes) -> bytes:
    if coder == "raw":
        return raw
    if coder == "zlib":
        return zlib.compress(raw, level=9)
    if coder == "lzma":
        return lzma.compress(raw, lzma.FORMAT_RAW, filters=LZMA_FILTERS)
    try:
        if coder == "zstd":
            packed = importlib.import_module("zstandard").ZstdCompressor(level=22).compress(raw)
        else:
            packed = importlib.import_module("brotli").compress(raw, quality=11, lgwin=24)
    except ImportError as error:
        raise ArtifactError(f"the coder {coder} needs the package {error.name}") from error
    return bytes(packed)


# --------------------------------------------------------------------------------------------
# How numbers are written


def encoded_numbers(values: NDArray[Any], kind: str) -> bytes:
    """The bytes of numbers; of the kind "e1", of steps that are whole quarters of an octave.

    Raises:
        ArtifactError: a number that the kind cannot hold.
    """
    if kind == "e1":
        return steps_to_exponents(values).tobytes()
    if kind in ("f4", "f2"):
        with np.errstate(over="ignore"):
            numbers = values.astype(PLAIN_KINDS[kind])
        if not np.isfinite(numbers).all():
            raise ArtifactError(f"a number is not finite as {kind}")
        return numbers.tobytes()
    flat = values.reshape(-1).astype(np.int64)
    if flat.size and not -TOP[kind] <= int(flat.min()) <= int(flat.max()) <= TOP[kind]:
        raise ArtifactError(f"a code lies outside ±{TOP[kind]}, which {kind} can hold")
    if kind == "i1":
        return flat.astype(np.int8).tobytes()
    if kind == TERNARY:
        digits = np.pad(flat + 1, (0, -flat.size % 5)).reshape(-1, 5)
        return bytes((digits @ np.array([1, 3, 9, 27, 81])).astype(np.uint8))
    bits = PACKED_BITS[kind]
    unsigned = (flat + (1 << (bits - 1)))[:, None] >> np.arange(bits) & 1
    return np.packbits(unsigned.astype(np.uint8), axis=None, bitorder="little").tobytes()


def steps_to_exponents(steps: NDArray[Any]) -> NDArray[np.int8]:
    """The nearest exponents, −127 to 127: steps from 2.8e-10 to 3.6e9."""
    exact = EXPONENT_STEPS * np.log2(np.maximum(steps.astype(np.float64), LEAST_STEP))
    exponents: NDArray[np.int8] = np.rint(np.clip(exact, -127, 127)).astype(np.int8)
    return exponents


def _shuffled(raw: bytes, kind: str) -> bytes:
    """First bytes of all numbers, then the second ones: the exponents of floats resemble."""
    size = PLAIN_KINDS[kind].itemsize if kind in PLAIN_KINDS else 1
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, size).T.tobytes()


def parts_of(arrays: Sequence[Stored]) -> dict[str, Mapping[str, NDArray[Any]]]:
    """The arrays by name and role, as `artifact.restored` takes them."""
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    for array in arrays:
        parts.setdefault(array.name, {})[array.role] = array.values
    return dict(parts)
