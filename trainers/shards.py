"""Token shards on disk.

The competition's format: 256 little-endian int32 (magic, version, token count, zeros), then one
uint16 per token, so the embedded corpus and a FineWeb download are read by the same lines.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scripts.causal.files import InputError, atomic_path

SHARD_MAGIC = 20240520
SHARD_VERSION = 1
SHARD_HEADER_BYTES = 1024


def write_shard(path: Path, tokens: ArrayLike) -> None:
    """Write tokens as one shard, atomically.

    Raises:
        InputError: a token does not fit in 16 bits, or the folder cannot be written.
    """
    values = np.asarray(tokens)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise InputError("a shard takes one row of whole numbers", where=path)
    if values.size and not 0 <= int(values.min()) <= int(values.max()) <= 0xFFFF:
        raise InputError("a token is outside 0..65535", where=path)
    header = np.zeros(SHARD_HEADER_BYTES // 4, dtype="<i4")
    header[:3] = SHARD_MAGIC, SHARD_VERSION, values.size
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(header.tobytes())
        file.write(values.astype("<u2").tobytes())


def read_shard(path: Path, vocab_size: int | None = None) -> NDArray[np.uint16]:
    """Return a shard's tokens, shape (tokens,), mapped from disk and not read until used.

    Args:
        path: the shard.
        vocab_size: where given, every token is read once and must be below it.

    Raises:
        InputError: missing, not a shard, of another version, truncated or with bytes left over,
            or a token outside the vocabulary.
    """
    again = "fetch or prepare this shard again"
    try:
        with path.open("rb") as file:
            head = file.read(SHARD_HEADER_BYTES)
            size = path.stat().st_size
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error
    if len(head) < SHARD_HEADER_BYTES:
        raise InputError(f"only {len(head)} bytes, a shard's header has 1,024", where=path)
    magic, version, count = np.frombuffer(head, dtype="<i4")[:3].tolist()
    if magic != SHARD_MAGIC:
        raise InputError(f"not a token shard: magic {magic}, not {SHARD_MAGIC}", where=path)
    if version != SHARD_VERSION:
        raise InputError(f"shard version {version}; only {SHARD_VERSION} is known", where=path)
    expected = SHARD_HEADER_BYTES + 2 * count
    if count < 0 or size != expected:
        state = "truncated" if 0 <= size < expected else "of another length than it says"
        what = f"{state}: {count:,} tokens need {expected:,} bytes, the file has {size:,}"
        raise InputError(what, where=path, mend=again)
    if count == 0:
        return np.zeros(0, dtype=np.uint16)
    tokens = np.memmap(path, dtype="<u2", mode="r", offset=SHARD_HEADER_BYTES, shape=(count,))
    if vocab_size is not None:
        _require_in_vocabulary(tokens, vocab_size, path)
    return tokens


def _require_in_vocabulary(tokens: NDArray[np.uint16], vocab_size: int, where: Path) -> None:
    step = 2**24  # bounds memory: the comparison of a whole shard would double it
    for start in range(0, len(tokens), step):
        part = tokens[start : start + step]
        if int(part.max()) >= vocab_size:
            at = start + int(np.argmax(part >= vocab_size))
            raise InputError(
                f"token {int(tokens[at])} at position {at:,} is outside the vocabulary of "
                f"{vocab_size:,}",
                where=where,
                mend="is this the tokenizer the shard was made with?",
            )
