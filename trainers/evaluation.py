"""The one evaluation, for any Engine: every target once, in bits per byte of its text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from trainers.batches import validation_batches
from trainers.data import DataSet
from trainers.engine import Engine
from trainers.token_bytes import TokenBytes, bits_per_byte, token_bytes


@dataclass(frozen=True)
class Validation:
    """Tokens to be predicted and the bytes they stand for.

    Attributes:
        tokens: shape (tokens,).
        table: bytes of every token.
        seq_len: targets per sequence; each is predicted from its own sequence alone.
        batch_sequences: sequences given to the engine at once.
        max_sequences: only the first so many sequences; None for all of them.
        stride: 0, or the step of a sliding window: sequences overlap, each target is still
            scored once, and after the first sequence with at least seq_len − stride tokens
            before it (record 2026-03-19_SlidingWindowEval).
    """

    tokens: NDArray[np.uint16]
    table: TokenBytes
    seq_len: int
    batch_sequences: int
    max_sequences: int | None = None
    stride: int = 0


def side_by_side(
    data: DataSet, seq_len: int, batch_tokens: int, max_tokens: int | None = None
) -> Validation:
    """Validation's tokens, all or the first `max_tokens`, in sequences that share nothing.

    Args:
        batch_tokens: given to the engine at once; at least a sequence.
    """
    return Validation(
        tokens=data.val_tokens(),
        table=_byte_table(data),
        seq_len=seq_len,
        batch_sequences=max(1, batch_tokens // seq_len),
        max_sequences=None if max_tokens is None else max(1, max_tokens // seq_len),
    )


@cache
def _byte_table(data: DataSet) -> TokenBytes:
    """Read once: its 22 ms were most of what a warm run paid before its first step."""
    return token_bytes(data.tokenizer)


@dataclass(frozen=True)
class Score:
    """How well tokens were predicted: bits per byte of text, and nats per token."""

    bpb: float
    loss: float


@dataclass
class Tally:
    """Sums over the targets scored so far, in float64."""

    nats: float = 0.0
    byte_count: int = 0
    targets: int = 0

    def add(
        self,
        validation: Validation,
        rows: NDArray[np.int64],
        losses: NDArray[np.float32],
        scored: NDArray[np.bool_] | None = None,
        at: NDArray[np.int64] | None = None,
    ) -> None:
        """Count the losses of sequences: rows (n, time + 1), losses (n, time).

        Args:
            scored: which targets count, shape (n, time); None for all.
            at: where in the text these targets are; None for right behind the ones before. The
                sums do not ask for it, a subclass that keeps every loss does.
        """
        counts = validation.table.count_bytes(rows[:, :-1], rows[:, 1:])
        if scored is not None:
            losses, counts = losses[scored], counts[scored]
        self.nats += float(losses.sum(dtype=np.float64))
        self.byte_count += int(counts.sum())
        self.targets += losses.size

    def score(self) -> Score:
        """Σ nats / ln 2 / Σ bytes and Σ nats / targets, over the same targets."""
        bpb = bits_per_byte(self.nats, self.byte_count)
        return Score(bpb=bpb, loss=self.nats / self.targets)


def evaluate(
    engine: Engine,
    validation: Validation,
    progress: Callable[[float], None] | None = None,
    tally: Tally | None = None,
) -> Score:
    """Score the targets of whole sequences, with or without a sliding window the same ones.

    Args:
        tally: where the losses are counted; None for a new one.
    """
    tally = Tally() if tally is None else tally
    for rows, scored in scored_windows(validation):
        tally.add(validation, rows, engine.losses(rows), scored)
        if progress is not None:
            progress(min(1.0, tally.targets / len(validation.tokens)))
    return tally.score()


def scored_windows(
    validation: Validation,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_] | None]]:
    """Sequences (n, seq_len + 1) in order, and which of their targets to score (n, seq_len).

    Raises:
        InputError: the tokens fill no sequence.
    """
    whole = validation_batches(
        validation.tokens,
        validation.seq_len,
        validation.batch_sequences,
        max_sequences=validation.max_sequences,
    )
    if not validation.stride:
        for rows in whole:
            yield rows, None
        return
    ends, last = window_ends(target_count(validation), validation.seq_len, validation.stride)
    for start in range(0, len(ends), validation.batch_sequences):
        here = slice(start, start + validation.batch_sequences)
        first = ends[here] - validation.seq_len
        rows = validation.tokens[first[:, None] + np.arange(validation.seq_len + 1)]
        yield rows.astype(np.int64), np.arange(validation.seq_len)[::-1] < last[here, None]


def target_count(validation: Validation) -> int:
    """Targets that are scored: those of whole sequences."""
    total = (len(validation.tokens) - 1) // validation.seq_len
    if validation.max_sequences is not None:
        total = min(total, validation.max_sequences)
    return total * validation.seq_len


def window_ends(
    targets: int, seq_len: int, stride: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Index of each window's last target, and how many targets it is the first to reach.

    The first window is a whole sequence, the last one is cut short so as to end with the targets.
    """
    ends = np.append(np.arange(seq_len, targets, stride, dtype=np.int64), targets)
    return ends, np.diff(ends, prepend=0)
