"""Weights as int8 per row in one compressed artifact, after the baseline record (2026-03-17).

What is quantized is decided by shape, so every model family gets the same treatment: matrices
have one scale per row, tensors of more dimensions one for the whole tensor, and control tensors
(vectors, scalars, and matrices thinner than 16 such as the two rows of a residual mix) stay
float32: they are a thousandth of the bytes and act on whole channels. The competition's threshold
of 65,536 elements is left out, since below it a small model would not be quantized at all and its
penalty could not be seen.

The artifact is self-describing and holds no code: a magic, then one zlib stream of a header
(JSON: name, kind and shape of every array) and the arrays' bytes in that order.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

ARTIFACT_MAGIC = b"CGINT8\x00\x01"
CLIP_QUANTILE = 0.9999984
MATRIX_MIN_SIDE = 16
MAX_HEADER_BYTES = 4 * 1024 * 1024
MAX_UNPACKED_BYTES = 512 * 1024 * 1024  # a 16 MB file of zeros would unpack to 16 GB

# Kinds of arrays in an artifact. A "q8" is followed, somewhere, by the "scale" of its name.
ARTIFACT_KINDS: dict[str, np.dtype[Any]] = {
    "q8": np.dtype("<i1"),
    "scale": np.dtype("<f2"),
    "f32": np.dtype("<f4"),
}


class ArtifactError(ValueError):
    """The bytes are not a whole, undamaged artifact, or the weights cannot be put into one."""


def quantize(weights: Mapping[str, ArrayLike]) -> bytes:
    """Quantize weights by name and pack them; the same weights give the same bytes.

    Raises:
        ArtifactError: a weight is not finite, or too large for a float16 scale.
    """
    arrays: list[tuple[str, str, NDArray[Any]]] = []
    for name in sorted(weights):
        values = np.asarray(weights[name], dtype=np.float32)
        if not np.isfinite(values).all():
            raise ArtifactError(f"weight {name!r} holds a value that is not finite")
        if is_quantized(values.shape):
            scale = row_scale(values)
            if not np.isfinite(scale).all():
                raise ArtifactError(f"weight {name!r} is too large for a float16 scale")
            arrays.append((name, "q8", round_to_grid(values, scale)))
            arrays.append((name, "scale", scale))
        else:
            arrays.append((name, "f32", values))
    # Arrays of one kind side by side: their bytes resemble each other, which zlib can use.
    arrays.sort(key=lambda entry: list(ARTIFACT_KINDS).index(entry[1]))
    described = [[name, kind, list(values.shape)] for name, kind, values in arrays]
    header = json.dumps(described, separators=(",", ":")).encode("utf-8")
    body = [values.astype(ARTIFACT_KINDS[kind]).tobytes() for _, kind, values in arrays]
    raw = b"".join([len(header).to_bytes(4, "little"), header, *body])
    return ARTIFACT_MAGIC + zlib.compress(raw, level=9)


def dequantize(
    artifact: bytes, *, max_unpacked_bytes: int = MAX_UNPACKED_BYTES
) -> dict[str, NDArray[np.float32]]:
    """Return the weights of an artifact, float32, by name.

    Every byte is accounted for; nothing in it is trusted before it is checked.

    Raises:
        ArtifactError: truncated, damaged, with bytes left over, or larger than the limit.
    """
    arrays = _unpack_arrays(_decompress(artifact, max_unpacked_bytes))
    scales = {name: values for name, kind, values in arrays if kind == "scale"}
    weights: dict[str, NDArray[np.float32]] = {}
    for name, kind, values in arrays:
        if kind == "scale":
            continue
        if name in weights:
            raise ArtifactError(f"weight {name!r} occurs twice")
        if kind == "q8":
            scale = scales.pop(name, None)
            if scale is None or scale.shape != _scale_shape(values.shape):
                raise ArtifactError(f"weight {name!r} has no scale of its shape")
            weights[name] = _from_grid(name, values, scale)
        else:
            if not np.isfinite(values).all():
                raise ArtifactError(f"weight {name!r} holds a value that is not finite")
            weights[name] = values.astype(np.float32)
    if scales:
        raise ArtifactError(f"scale of {min(scales)!r} belongs to no weight")
    return dict(sorted(weights.items()))


# --------------------------------------------------------------------------------------------
# The grid


def is_quantized(shape: tuple[int, ...]) -> bool:
    """Whether a tensor of this shape becomes int8; the others stay float32."""
    if len(shape) == 2:
        return min(shape) >= MATRIX_MIN_SIDE
    return len(shape) > 2 and math.prod(shape) > 0


def row_scale(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """Step of the grid: one per row of a matrix, shape (rows,); else one, shape ().

    The clip is the CLIP_QUANTILE of the magnitudes by nearest rank, which below 625,000 of them
    is the largest. The step is rounded down to float16, so that a row's largest value always
    falls on 127 and quantizing a second time finds the very same grid.
    """
    axis = 1 if values.ndim == 2 else None
    clip = np.quantile(np.abs(values), CLIP_QUANTILE, axis=axis, method="higher")
    exact = np.asarray(clip, dtype=np.float64) / 127
    with np.errstate(over="ignore"):
        scale = exact.astype(np.float16)
    scale = np.where(scale > exact, np.nextafter(scale, np.float16(0)), scale)
    smallest = np.finfo(np.float16).smallest_subnormal
    overflow = exact > np.finfo(np.float16).max
    result: NDArray[np.float16] = np.where(
        overflow, np.float16(np.inf), np.maximum(scale, smallest)
    ).astype(np.float16)
    return result


def round_to_grid(values: NDArray[np.float32], scale: NDArray[np.float16]) -> NDArray[np.int8]:
    """Nearest grid points, −127 to 127, shape of `values`."""
    steps = values / _along_rows(values.ndim, scale)
    grid: NDArray[np.int8] = np.rint(np.clip(steps, -127, 127)).astype(np.int8)
    return grid


def _scale_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:1] if len(shape) == 2 else ()


def _along_rows(ndim: int, scale: NDArray[np.float16]) -> NDArray[np.float32]:
    step = scale.astype(np.float32)
    return step[:, None] if ndim == 2 else step


def _from_grid(
    name: str, values: NDArray[np.int8], scale: NDArray[np.float16]
) -> NDArray[np.float32]:
    if not is_quantized(values.shape):
        raise ArtifactError(f"weight {name!r} of shape {values.shape} should not be quantized")
    if int(values.min()) < -127 or not (np.isfinite(scale) & (scale > 0)).all():
        raise ArtifactError(f"weight {name!r} lies off its grid")
    product: NDArray[np.float32] = values.astype(np.float32) * _along_rows(values.ndim, scale)
    return product


# --------------------------------------------------------------------------------------------
# The container


def _decompress(artifact: bytes, limit: int) -> bytes:
    if not artifact.startswith(ARTIFACT_MAGIC):
        raise ArtifactError("not an int8 artifact of this version")
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(artifact[len(ARTIFACT_MAGIC) :], limit + 1)
    except zlib.error as error:
        raise ArtifactError(f"damaged: {error}") from error
    if len(raw) > limit:
        raise ArtifactError(f"unpacks to more than {limit:,} bytes")
    if not stream.eof:
        raise ArtifactError("truncated")
    if stream.unused_data:
        raise ArtifactError(f"{len(stream.unused_data)} bytes left over after the artifact")
    return raw


def _unpack_arrays(raw: bytes) -> list[tuple[str, str, NDArray[Any]]]:
    size = int.from_bytes(raw[:4], "little")
    if len(raw) < 4 or size > min(MAX_HEADER_BYTES, len(raw) - 4):
        raise ArtifactError("the header is cut off or too large")
    try:
        described = json.loads(raw[4 : 4 + size].decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"the header is not JSON: {error}") from error
    if not isinstance(described, list):
        raise ArtifactError("the header is not a list of arrays")
    arrays = []
    seen = set()
    position = 4 + size
    for entry in described:
        name, kind, shape = _checked_entry(entry)
        if (name, kind) in seen:
            raise ArtifactError(f"{kind} array {name!r} occurs twice")
        seen.add((name, kind))
        count = math.prod(shape)
        dtype = ARTIFACT_KINDS[kind]
        if count * dtype.itemsize > len(raw) - position:
            raise ArtifactError(f"array {name!r} reaches past the end")
        values = np.frombuffer(raw, dtype=dtype, count=count, offset=position).reshape(shape)
        arrays.append((name, kind, values))
        position += count * dtype.itemsize
    if position != len(raw):
        raise ArtifactError(f"{len(raw) - position:,} bytes belong to no array")
    return arrays


def _checked_entry(entry: Any) -> tuple[str, str, tuple[int, ...]]:
    match entry:
        case [str(name), str(kind), list(shape)] if kind in ARTIFACT_KINDS and len(shape) <= 8:
            if all(type(side) is int and 0 <= side < 2**40 for side in shape):
                return name, kind, tuple(shape)
    raise ArtifactError(f"the header describes no array: {str(entry)[:80]}")
