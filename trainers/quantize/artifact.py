"""The packed artifact: any quantizer's codes under any coder. This is the half that reads.

A file is a magic, a checksum of what follows, the size of the header, the header (zlib over JSON:
the arrays, then the streams) and the streams, each under its own coder. Arrays of a stream lie
one after another, in the order of the header. Nothing is trusted before it is checked, and no
byte is left unread. What `trainers.quantize.int8` wrote is read too.

A matrix is code · step · column + b · a. `step` is one number for all, for each row, or for each
row and group of GROUP columns; `column` and the low-rank correction need not be there. Of the
correction's factors "name/b" and "name/a" each is a matrix by itself.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import lzma
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.quantize.ans import CodeError, ans_decode
from trainers.quantize.int8 import (
    ARTIFACT_MAGIC,
    MAX_HEADER_BYTES,
    MAX_UNPACKED_BYTES,
    ArtifactError,
    dequantize,
)
from trainers.quantize.trellis import CHECKS, halves, row_order

PACKED_MAGIC = b"CGPACK\x00\x01"
CHECKSUM_BYTES = 8
GROUP = 64
EXPONENT_STEPS = 8  # to an octave: a step is within 4.5 % of the one asked for
CODERS = ("raw", "zlib", "lzma", "zstd", "brotli", "ans")
# A dictionary of 16 MiB: as large as any artifact, and a tenth of the memory of preset 9.
LZMA_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 24}]

# What an array is to its weight, and how its numbers are written.
ROLES = ("whole", "code", "step", "column", *(f"code of {states}" for states in CHECKS))
PLAIN_KINDS: dict[str, np.dtype[Any]] = {
    "f4": np.dtype("<f4"),
    "f2": np.dtype("<f2"),
    "i1": np.dtype("<i1"),
    "e1": np.dtype("<i1"),  # exponents: 2^(e / EXPONENT_STEPS)
}
PACKED_BITS = {"p6": 6, "p5": 5, "p4": 4}  # 4 values in 3 bytes, 8 in 5, 2 in 1
TERNARY = "t1"  # 5 values in a byte, as digits to base 3


@dataclass(frozen=True)
class Described:
    """One array of the header: whose it is, what it is, and in which stream."""

    name: str
    role: str
    kind: str
    shape: tuple[int, ...]
    stream: int

    @property
    def count(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)

    @property
    def stored_bytes(self) -> int:
        """Bytes before a coder."""
        if self.kind in PLAIN_KINDS:
            return self.count * PLAIN_KINDS[self.kind].itemsize
        if self.kind == TERNARY:
            return -(-self.count // 5)
        return -(-self.count * PACKED_BITS[self.kind] // 8)


def read_artifact(
    artifact: bytes, *, max_unpacked_bytes: int = MAX_UNPACKED_BYTES
) -> dict[str, NDArray[np.float32]]:
    """Return the weights of an artifact of either format, float32, by name.

    Raises:
        ArtifactError: truncated, damaged, with bytes left over, larger than the limit, or under
            a coder that is not installed.
    """
    if artifact.startswith(ARTIFACT_MAGIC):
        return dequantize(artifact, max_unpacked_bytes=max_unpacked_bytes)
    arrays, streams, body = _opened(artifact)
    if sum(array.stored_bytes for array in arrays) > max_unpacked_bytes:
        raise ArtifactError(f"unpacks to more than {max_unpacked_bytes:,} bytes")
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    at = 0
    for index, (coder, size) in enumerate(streams):
        mine = [array for array in arrays if array.stream == index]
        if size > len(body) - at:
            raise ArtifactError("truncated")
        for array, values in zip(
            mine, _read_stream(coder, body[at : at + size], mine), strict=True
        ):
            if parts.setdefault(array.name, {}).setdefault(array.role, values) is not values:
                raise ArtifactError(f"{array.role} of {array.name!r} occurs twice")
        at += size
    if at != len(body):
        raise ArtifactError(f"{len(body) - at:,} bytes left over after the artifact")
    return restored(parts)


def restored(
    parts: Mapping[str, Mapping[str, NDArray[Any]]],
) -> dict[str, NDArray[np.float32]]:
    """The weights that parts by role stand for, sorted by name. The quantizers call this too.

    Raises:
        ArtifactError: parts that do not fit each other, or a weight that is not finite.
    """
    weights: dict[str, NDArray[np.float32]] = {}
    for name in sorted(parts):
        values = weights[name] = _weight(name, parts[name])
        if not np.isfinite(values).all():
            raise ArtifactError(f"weight {name!r} holds a value that is not finite")
    for name in [name for name in weights if name.endswith("/b")]:
        whole, other = name[:-2], name[:-1] + "a"
        left, right = weights.pop(name), weights.pop(other, np.zeros(0, np.float32))
        if (
            whole not in weights
            or left.ndim != 2
            or right.ndim != 2
            or (
                (*left.shape[:1], *right.shape[1:]) != weights[whole].shape
                or left.shape[1] != right.shape[0]
            )
        ):
            raise ArtifactError(f"the correction of {whole!r} does not fit")
        for rank in range(left.shape[1]):  # one after another: every machine adds alike
            weights[whole] = weights[whole] + left[:, rank, None] * right[rank]
    if extra := [name for name in weights if "/" in name]:
        raise ArtifactError(f"the correction {extra[0]!r} has no other half")
    return weights


def _weight(name: str, parts: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    if set(parts) == {"whole"}:
        return parts["whole"].astype(np.float32)
    coded = [role for role in parts if role.startswith("code")]
    if len(coded) != 1 or not {"step"} <= set(parts) - {*coded} <= {"step", "column"}:
        raise ArtifactError(f"weight {name!r} is made of {', '.join(sorted(parts))}")
    code, step = parts[coded[0]], parts["step"].astype(np.float32)
    if coded[0] != "code":
        code = _off_trellis(name, code, step, states=int(coded[0].removeprefix("code of ")))
    rows, wide = code.shape[0] if code.ndim else 1, code.ndim == 2
    if wide and step.shape == (rows, -(-code.shape[1] // GROUP)):
        step = np.repeat(step, GROUP, axis=1)[:, : code.shape[1]]
    elif wide and step.shape == (rows,):
        step = step[:, None]
    elif step.shape != ():
        raise ArtifactError(f"the steps of {name!r} do not fit it")
    weight: NDArray[np.float32] = code.astype(np.float32) * step
    if "column" in parts:
        column = parts["column"].astype(np.float32)
        if not wide or column.shape != code.shape[1:]:
            raise ArtifactError(f"the columns of {name!r} do not fit it")
        weight = weight * column
    return weight


def code_role(states: int) -> str:
    """The role of codes under a trellis of so many states, 0 for none."""
    return f"code of {states}" if states else "code"


def _off_trellis(
    name: str, code: NDArray[Any], step: NDArray[np.float32], states: int
) -> NDArray[np.float32]:
    """What codes stand for, in steps."""
    if code.ndim != 2 or step.shape != code.shape[:1] or code.dtype != np.int8:
        raise ArtifactError(f"the trellis of {name!r} does not fit it")
    return halves(code, row_order(step), states).astype(np.float32) * np.float32(0.5)


# --------------------------------------------------------------------------------------------
# How numbers are written


def exponents_to_steps(exponents: NDArray[np.int8]) -> NDArray[np.float32]:
    """2^(e / 8), the same on every machine: eight constants and a power of two."""
    octaves, eighths = np.divmod(exponents.astype(np.int64), EXPONENT_STEPS)
    roots = np.array([2.0 ** (k / EXPONENT_STEPS) for k in range(EXPONENT_STEPS)], np.float32)
    steps: NDArray[np.float32] = np.ldexp(roots[eighths], octaves).astype(np.float32)
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


# --------------------------------------------------------------------------------------------
# The container


def _opened(artifact: bytes) -> tuple[list[Described], list[tuple[str, int]], bytes]:
    start = len(PACKED_MAGIC) + CHECKSUM_BYTES
    if not artifact.startswith(PACKED_MAGIC):
        raise ArtifactError("not an artifact of this version")
    if len(artifact) < start + 4:
        raise ArtifactError("truncated")
    rest = artifact[start:]
    if checksum(rest) != artifact[len(PACKED_MAGIC) : start]:
        raise ArtifactError("damaged or truncated: the checksum does not match")
    size = int.from_bytes(rest[:4], "little")
    header = _inflated(rest[4 : 4 + size], MAX_HEADER_BYTES)
    try:
        arrays, streams = json.loads(header.decode("utf-8"))
        described = [_described(entry) for entry in arrays]
        coders = [(str(coder), int(length)) for coder, length in streams]
    except (TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"the header cannot be read: {error}"[:200]) from error
    if any(coder not in CODERS or length < 0 for coder, length in coders):
        raise ArtifactError("the header names a coder that does not exist")
    if any(array.stream >= len(coders) for array in described):
        raise ArtifactError("the header names a stream that does not exist")
    return described, coders, rest[4 + size :]


def checksum(rest: bytes) -> bytes:
    """Of everything after it."""
    return hashlib.blake2b(rest, digest_size=CHECKSUM_BYTES).digest()


def _described(entry: Any) -> Described:
    match entry:
        case [str(name), str(role), str(kind), list(shape), int(stream)] if role in ROLES and (
            kind in PLAIN_KINDS or kind in PACKED_BITS or kind == TERNARY
        ):
            sides = all(type(side) is int and 0 <= side < 2**32 for side in shape)
            if sides and len(shape) <= 8 and stream >= 0 and math.prod(shape) < 2**40:
                return Described(name, role, kind, tuple(shape), stream)
    raise ArtifactError(f"the header describes no array: {str(entry)[:80]}")


def _read_stream(coder: str, packed: bytes, arrays: Sequence[Described]) -> list[NDArray[Any]]:
    if coder == "ans":
        return _read_coded(packed, arrays)
    raw = _decompressed(coder, packed, sum(array.stored_bytes for array in arrays))
    values, at = [], 0
    for array in arrays:
        part = raw[at : at + array.stored_bytes]
        at += array.stored_bytes
        width = PLAIN_KINDS[array.kind].itemsize if array.kind in PLAIN_KINDS else 1
        numbers = decoded_numbers(unshuffled(part, width), array.kind, array.count)
        values.append(numbers.reshape(array.shape))
    return values


def _read_coded(packed: bytes, arrays: Sequence[Described]) -> list[NDArray[Any]]:
    if any(array.kind != "i1" or len(array.shape) != 2 for array in arrays):
        raise ArtifactError("an array under ans is no matrix of codes")
    try:
        return list(ans_decode(packed, [(a.shape[0], a.shape[1]) for a in arrays]))
    except CodeError as error:
        raise ArtifactError(str(error)) from error


def _decompressed(coder: str, packed: bytes, size: int) -> bytes:
    """Exactly `size` bytes, or an error; never many more in memory."""
    try:
        if coder == "zlib":
            raw = _inflated(packed, size)
        elif coder == "lzma":
            stream = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=LZMA_FILTERS)
            raw = stream.decompress(packed, size + 1)
            if stream.unused_data or not (stream.eof or len(raw) > size):
                raise ArtifactError("truncated, or bytes left over")
        elif coder == "zstd":
            module = importlib.import_module("zstandard")
            raw = module.ZstdDecompressor().stream_reader(io.BytesIO(packed)).read(size + 1)
        elif coder == "brotli":
            module = importlib.import_module("brotli")
            raw = module.Decompressor().process(packed, output_buffer_limit=size + 1)
        else:
            raw = packed
    except ImportError as error:
        raise ArtifactError(f"this artifact needs the package {error.name}") from error
    except ArtifactError:
        raise
    except Exception as error:  # each library has an error of its own
        raise ArtifactError(f"damaged: {error}"[:200]) from error
    if len(raw) != size:
        raise ArtifactError(f"a stream unpacks to other than the {size:,} bytes it should")
    return raw


def _inflated(packed: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(packed, limit + 1)
    except zlib.error as error:
        raise ArtifactError(f"damaged: {error}") from error
    if len(raw) > limit or not stream.eof or stream.unused_data:
        raise ArtifactError("truncated, or of another size than it should be")
    return raw
