"""The packed artifact: any quantizer's codes under any coder. This is the half that reads.

A file is a magic, a checksum of what follows, the size of the header, the header
(`trainers.quantize.header`) and the streams, each under its own coder. Arrays of a stream lie one
after another, in the order of the header. Nothing is trusted before it is checked, and no byte is
left unread. What `trainers.quantize.int8` wrote is read too.

A matrix is code · step · column + b · a. `step` is one number for all, for each row, or for each
row and group of GROUP columns; `column` and the low-rank correction need not be there. What is no
matrix may have `fine` besides, which is added to its code in parts of FINER. Of the
correction's factors "name/b" and "name/a" each is a matrix by itself.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import lzma
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.quantize.coded import read_coded
from trainers.quantize.header import CODE, UNDER, Described, Streams, inflated, read_header
from trainers.quantize.int8 import (
    ARTIFACT_MAGIC,
    MAX_UNPACKED_BYTES,
    ArtifactError,
    dequantize,
)
from trainers.quantize.numbers import PLAIN_KINDS, decoded_numbers, unshuffled
from trainers.quantize.trellis import halves, row_order

PACKED_MAGIC = b"CGPACK\x00\x03"
CHECKSUM_BYTES = 8
HEADER_SIZE_BYTES = 4
GROUP = 64
FINER = 8  # parts of a step that "fine" counts
# A dictionary of 16 MiB: as large as any artifact, and a tenth of the memory of preset 9.
LZMA_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 24}]


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
            parts.setdefault(array.name, {})[array.role] = values
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
    coded = [role for role in parts if role.startswith(CODE)]
    if len(coded) != 1 or not {"step"} <= set(parts) - {*coded} <= {"step", "column", "fine"}:
        raise ArtifactError(f"weight {name!r} is made of {', '.join(sorted(parts))}")
    code, step = parts[coded[0]], parts["step"].astype(np.float32)
    if coded[0] != CODE:
        code = _off_trellis(name, code, step, states=int(coded[0].removeprefix(UNDER)))
    rows, wide = code.shape[0] if code.ndim else 1, code.ndim == 2
    if wide and step.shape == (rows, -(-code.shape[1] // GROUP)):
        step = np.repeat(step, GROUP, axis=1)[:, : code.shape[1]]
    elif wide and step.shape == (rows,):
        step = step[:, None]
    elif step.shape != ():
        raise ArtifactError(f"the steps of {name!r} do not fit it")
    exact = code.astype(np.float32)
    if "fine" in parts:
        if parts["fine"].shape != code.shape:
            raise ArtifactError(f"the finer codes of {name!r} do not fit it")
        exact = exact + parts["fine"].astype(np.float32) / np.float32(FINER)
    weight: NDArray[np.float32] = exact * step
    if "column" in parts:
        column = parts["column"].astype(np.float32)
        if not wide or column.shape != code.shape[1:]:
            raise ArtifactError(f"the columns of {name!r} do not fit it")
        weight = weight * column
    return weight


def _off_trellis(
    name: str, code: NDArray[Any], step: NDArray[np.float32], states: int
) -> NDArray[np.float32]:
    """What codes stand for, in steps."""
    if code.ndim != 2 or step.shape != code.shape[:1] or code.dtype != np.int8:
        raise ArtifactError(f"the trellis of {name!r} does not fit it")
    return halves(code, row_order(step), states).astype(np.float32) * np.float32(0.5)


# --------------------------------------------------------------------------------------------
# The container


def _opened(artifact: bytes) -> tuple[list[Described], Streams, bytes]:
    start = len(PACKED_MAGIC) + CHECKSUM_BYTES
    if not artifact.startswith(PACKED_MAGIC):
        raise ArtifactError("not an artifact of this version")
    if len(artifact) < start + HEADER_SIZE_BYTES:
        raise ArtifactError("truncated")
    rest = artifact[start:]
    if checksum(rest) != artifact[len(PACKED_MAGIC) : start]:
        raise ArtifactError("damaged or truncated: the checksum does not match")
    body = HEADER_SIZE_BYTES + int.from_bytes(rest[:HEADER_SIZE_BYTES], "little")
    return (*read_header(rest[HEADER_SIZE_BYTES:body]), rest[body:])


def checksum(rest: bytes) -> bytes:
    """Of everything after it."""
    return hashlib.blake2b(rest, digest_size=CHECKSUM_BYTES).digest()


def _read_stream(coder: str, packed: bytes, arrays: Sequence[Described]) -> list[NDArray[Any]]:
    if coder == "ans":
        return read_coded(packed, arrays)
    raw = _decompressed(coder, packed, sum(array.stored_bytes for array in arrays))
    values, at = [], 0
    for array in arrays:
        part = raw[at : at + array.stored_bytes]
        at += array.stored_bytes
        width = PLAIN_KINDS[array.kind].itemsize if array.kind in PLAIN_KINDS else 1
        numbers = decoded_numbers(unshuffled(part, width), array.kind, array.count)
        values.append(numbers.reshape(array.shape))
    return values


def _decompressed(coder: str, packed: bytes, size: int) -> bytes:
    """Exactly `size` bytes, or an error; never many more in memory."""
    try:
        if coder == "zlib":
            raw = inflated(packed, size)
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
