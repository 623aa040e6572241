"""Writes the artifact that `trainers.quantize.artifact` reads."""

from __future__ import annotations

import importlib
import json
import lzma
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.quantize.ans_encode import ans_encode
from trainers.quantize.artifact import (
    EXPONENT_STEPS,
    LZMA_FILTERS,
    PACKED_BITS,
    PACKED_MAGIC,
    PLAIN_KINDS,
    TERNARY,
    checksum,
)
from trainers.quantize.int8 import ArtifactError

BEST = "best"  # of SHIPPED, by measured bytes, for every stream
# What a plain Python has, the competition's brotli, and our own, which is NumPy.
SHIPPED = ("raw", "zlib", "lzma", "brotli", "ans")
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
        coder: one of `artifact.CODERS`, or BEST. Under "ans" what is no matrix of whole numbers
            is left to the best of the others.

    Raises:
        ArtifactError: a number that its kind cannot hold, or a coder that is not installed.
    """
    if coder == "ans":  # lanes cost bytes, so all codes share them
        arrays = [replace(a, stream="code") if _is_coded(a) else a for a in arrays]
    names = list(dict.fromkeys(array.stream for array in arrays))
    ordered = sorted(arrays, key=lambda array: names.index(array.stream))
    described = [
        [a.name, a.role, a.kind, list(a.values.shape), names.index(a.stream)] for a in ordered
    ]
    streams, bodies = [], []
    for name in names:
        used, body = _smallest([a for a in ordered if a.stream == name], coder)
        streams.append([used, len(body)])
        bodies.append(body)
    header = zlib.compress(_compact([described, streams]), level=9)
    rest = b"".join([len(header).to_bytes(4, "little"), header, *bodies])
    return PACKED_MAGIC + checksum(rest) + rest


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("utf-8")


def _smallest(arrays: Sequence[Stored], coder: str) -> tuple[str, bytes]:
    raw = b"".join(_shuffled(encoded_numbers(a.values, a.kind), a.kind) for a in arrays)
    coded = all(_is_coded(a) for a in arrays)
    wanted = SHIPPED if coder == BEST or (coder == "ans" and not coded) else (coder,)
    tried = []
    for name in wanted:
        if name != "ans":
            tried.append((name, _compressed(name, raw)))
        elif coded:
            tried.append((name, ans_encode([a.values for a in arrays])))
    return min(tried, key=lambda entry: len(entry[1]))


def _is_coded(array: Stored) -> bool:
    return array.kind == "i1" and array.values.ndim == 2


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
    """The bytes of numbers; of the kind "e1", of steps that are whole eighths of an octave.

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
    """The nearest exponents, −128 to 127: steps from 1.5e-5 to 6e4."""
    exact = EXPONENT_STEPS * np.log2(np.maximum(steps.astype(np.float64), 2.0**-16))
    exponents: NDArray[np.int8] = np.rint(np.clip(exact, -128, 127)).astype(np.int8)
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
