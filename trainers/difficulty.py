"""Difficulty scores of training windows as a file beside the shards, for a curriculum to read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.causal.files import InputError, atomic_path, digest
from trainers.data import DataSet


def write_difficulty(data: DataSet, seq_len: int, scores: NDArray[np.floating]) -> str:
    """Put the difficulty of every training window beside the shards, for `read_difficulty`.

    Args:
        data: whose windows were scored, shard by shard.
        seq_len: targets per window.
        scores: shape (windows,), higher is harder.

    Returns:
        The scores' name, 32 hex digits that depend on all three: a configuration that holds it
        says exactly what a run read.

    Raises:
        InputError: the data's folder cannot be written.
    """
    raw = scores.astype("<f4").tobytes()
    name = _difficulty_name(data, seq_len, raw)
    with atomic_path(_difficulty_path(data, name)) as temporary:
        temporary.write_bytes(raw)
    return name


def read_difficulty(data: DataSet, seq_len: int, name: str) -> NDArray[np.float32]:
    """The scores of this name, shape (windows,).

    Raises:
        InputError: there are none, they are damaged, or they are of other data or windows.
    """
    path = _difficulty_path(data, name)
    windows = sum(max(0, (len(shard) - 1) // seq_len) for shard in data.train_tokens())
    again = "score the training windows again with score_and_reorder.py"
    try:
        size = path.stat().st_size
        if size != 4 * windows:
            what = f"holds {size:,} bytes, {windows:,} windows of {seq_len} need {4 * windows:,}"
            raise InputError(what, where=path, mend=again)
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path, mend=again) from error
    if _difficulty_name(data, seq_len, raw) != name:
        what = f"damaged, or the scores of other data than {data.folder} in windows of {seq_len}"
        raise InputError(what, where=path, mend=again)
    return np.frombuffer(raw, dtype="<f4")


def _difficulty_name(data: DataSet, seq_len: int, raw: bytes) -> str:
    return digest("difficulty", data.fingerprint, str(seq_len), raw)[:32]


def _difficulty_path(data: DataSet, name: str) -> Path:
    return data.folder / f"difficulty_{name}.f32"
