"""Batches of training and validation tokens in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from scripts.causal.files import InputError
from trainers.seeds import stream


def first_tokens(shards: Sequence[NDArray[np.uint16]], count: int) -> list[NDArray[np.uint16]]:
    """The first `count` tokens of shards in order, cut in the shard where they end."""
    taken: list[NDArray[np.uint16]] = []
    for shard in shards:
        if count <= 0:
            break
        taken.append(shard[:count])
        count -= len(taken[-1])
    return taken


class Batches:
    """Training batches in an order fixed by the seed alone, readable at any step.

    Every shard is cut into windows of seq_len + 1 tokens, the last target of one being the first
    input of the next. Each epoch visits all windows once, in an order of its own from
    ``stream(seed, "data", epoch)``. Nothing is kept but that order (8 bytes per window), so a
    run resumes at any step, and every rank of a distributed run takes its contiguous part of the
    same global batch.
    """

    def __init__(
        self,
        tokens: NDArray[np.uint16] | Sequence[NDArray[np.uint16]],
        seq_len: int,
        batch_tokens: int,
        seed: int,
        *,
        vocab_size: int = 2**16,
        rank: int = 0,
        world_size: int = 1,
        easy_first: int = 0,
        difficulty: NDArray[np.floating] | None = None,
    ):
        """Lay out the windows.

        Args:
            tokens: one array of tokens or several shards, memory-mapped or not.
            seq_len: targets per sequence.
            batch_tokens: targets per global batch, a multiple of seq_len × world_size.
            seed: root seed of the run.
            vocab_size: every token of a batch must be below it.
            rank: which part of the batch this process takes.
            world_size: number of processes.
            easy_first: so many windows from the start of each epoch's order (all of them, where
                there are fewer) are visited from easy to hard, by tenths; 0 for as they come.
            difficulty: of every window, (windows,); left out, `window_difficulty`'s.

        Raises:
            InputError: batch_tokens does not divide, or the tokens fill no window.
        """
        if seq_len < 1 or world_size < 1 or not 0 <= rank < world_size:
            raise InputError(
                f"seq_len and world_size must be at least 1 and rank below world_size, but got "
                f"{seq_len=}, {world_size=}, {rank=}"
            )
        if batch_tokens < 1 or batch_tokens % (seq_len * world_size):
            raise InputError(
                f"batch_tokens must be a multiple of seq_len × processes, but got "
                f"{batch_tokens=}, {seq_len=}, {world_size=}"
            )
        self._shards = [tokens] if isinstance(tokens, np.ndarray) else list(tokens)
        windows = [max(0, (len(shard) - 1) // seq_len) for shard in self._shards]
        self._ends = np.cumsum(windows, dtype=np.int64)
        self.windows = int(self._ends[-1]) if windows else 0
        if self.windows == 0:
            raise InputError(
                f"the training tokens fill no window of {seq_len + 1}",
                mend="use more data or a shorter sequence",
            )
        self._seq_len, self._seed, self._vocab_size = seq_len, seed, vocab_size
        self._sequences = batch_tokens // seq_len
        share = self._sequences // world_size
        self._rows = np.arange(rank * share, (rank + 1) * share, dtype=np.int64)
        self._orders: dict[int, NDArray[np.int64]] = {}
        self._easy_first = min(easy_first, self.windows)
        self._difficulty = difficulty if easy_first else None
        if easy_first and difficulty is None:
            self._difficulty = window_difficulty(self._shards, seq_len, vocab_size)

    def batch(self, step: int) -> NDArray[np.int64]:
        """Tokens of this process at a step, shape (sequences, seq_len + 1).

        Raises:
            InputError: a token is outside the vocabulary.
        """
        if step < 0:
            raise ValueError(f"step must not be negative, but got {step=}")
        epochs, places = np.divmod(step * self._sequences + self._rows, self.windows)
        out = np.empty((len(self._rows), self._seq_len + 1), dtype=np.int64)
        for row, (epoch, place) in enumerate(zip(epochs.tolist(), places.tolist(), strict=True)):
            window = int(self._order(epoch)[place])
            shard = int(np.searchsorted(self._ends, window, side="right"))
            before = int(self._ends[shard - 1]) if shard else 0
            start = (window - before) * self._seq_len
            out[row] = self._shards[shard][start : start + self._seq_len + 1]
        if int(out.max()) >= self._vocab_size:
            raise InputError(
                f"training token {int(out.max())} is outside the vocabulary of {self._vocab_size}",
                mend="is this the tokenizer the shards were made with?",
            )
        return out

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._orders:
            # A batch may span the end of one epoch: only its two orders are worth keeping.
            self._orders = {e: o for e, o in self._orders.items() if abs(e - epoch) == 1}
            generator = stream(self._seed, "data", str(epoch))
            order = generator.permutation(self.windows).astype(np.int64)
            if self._difficulty is not None:
                order = _by_tenths(order, self._easy_first, self._difficulty)
            self._orders[epoch] = order
        return self._orders[epoch]


def window_difficulty(
    shards: Sequence[NDArray[np.uint16]], seq_len: int, vocab_size: int
) -> NDArray[np.float64]:
    """Mean nats of each window's tokens by their frequency in all of the data: (windows,).

    A score that asks no model: text of rare tokens is hard (Kocmi & Bojar 2017).
    """
    counts = np.zeros(max(vocab_size, 2**16), dtype=np.int64)
    for shard in shards:
        counts += np.bincount(shard, minlength=len(counts))
    nats = -np.log(np.maximum(counts, 1) / max(1, counts.sum()))
    scores = []
    for shard in shards:
        windows = max(0, (len(shard) - 1) // seq_len)
        for start in range(0, windows, 4096):  # bounds memory
            tokens = shard[start * seq_len : min(windows, start + 4096) * seq_len]
            scores.append(nats[tokens].reshape(-1, seq_len).mean(axis=1))
    return np.concatenate(scores)


def _by_tenths(
    order: NDArray[np.int64], count: int, difficulty: NDArray[np.floating]
) -> NDArray[np.int64]:
    """The first `count` windows of the order, its easiest tenth first; within one as they came."""
    head = order[:count]
    rank = np.empty(count, dtype=np.int64)
    rank[np.argsort(difficulty[head], kind="stable")] = np.arange(count)
    easy_first = head[np.argsort(rank * 10 // count, kind="stable")]
    return np.concatenate((easy_first, order[count:]))


def validation_batches(
    tokens: NDArray[np.uint16],
    seq_len: int,
    batch_sequences: int,
    *,
    max_sequences: int | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[NDArray[np.int64]]:
    """Validation tokens in order, each target once: arrays (≤ batch_sequences, seq_len + 1).

    As in the competition, the tokens after the last full sequence (fewer than seq_len targets)
    are left out.

    Args:
        tokens: shape (tokens,).
        seq_len: targets per sequence.
        batch_sequences: sequences per array; the last may be shorter.
        max_sequences: only the first so many sequences, for a quick look during training.
        rank: which contiguous part of the sequences this process takes.
        world_size: number of processes.

    Raises:
        InputError: the tokens fill no sequence.
    """
    total = (len(tokens) - 1) // seq_len if len(tokens) else 0
    if total < 1:
        raise InputError(
            f"{len(tokens):,} validation tokens fill no sequence of {seq_len}",
            mend="use more data or a shorter sequence",
        )
    if max_sequences is not None:
        total = min(total, max_sequences)
    first, last = total * rank // world_size, total * (rank + 1) // world_size

    def batches() -> Iterator[NDArray[np.int64]]:
        for start in range(first, last, batch_sequences):
            stop = min(start + batch_sequences, last)
            rows = tokens[start * seq_len : stop * seq_len + 1].astype(np.int64)
            yield np.lib.stride_tricks.sliding_window_view(rows, seq_len + 1)[::seq_len].copy()

    return batches()
