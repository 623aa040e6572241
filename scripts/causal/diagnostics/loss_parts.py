"""A loss in parts: by how frequent a target is, whether it begins a word, where it stands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.causal.forms import Record
from trainers.engine import Engine, Tokens
from trainers.evaluation import Tally, Validation, scored_windows, target_count
from trainers.token_bytes import TokenBytes, bits_per_byte

TOLERANCE = 1e-6  # of the sum of parts against the whole, in bpb
PER_MILLION = tuple(10 ** (half / 2) for half in range(2, 11))  # 10 to 100,000, half a decade each
COUNTED_TOKENS = (
    2**28
)  # of training: the frequencies of a 10-billion-token set are settled by then
BLOCK = 2**22  # counted at once; bounds memory


class Part(Record):
    """Targets that have something in common.

    Attributes:
        targets, bytes: how many, and of how much text.
        nats: sum of their losses.
        bpb: their part of the whole, Σ nats / ln 2 / all bytes; the parts add up to the whole.
    """

    label: str
    targets: int
    bytes: int
    nats: float
    bpb: float

    @property
    def nats_per_target(self) -> float:
        """Mean loss."""
        return self.nats / self.targets


class Breakdown(Record):
    """The whole loss in one set of parts; parts without targets are left out."""

    by: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Grouping:
    """One way to sort targets.

    Attributes:
        by: what it sorts by.
        labels: the groups.
        group: rows (n, time + 1) → index of each target's group, broadcastable to (n, time).
    """

    by: str
    labels: tuple[str, ...]
    group: Callable[[Tokens], NDArray[np.integer]]


def token_counts(shards: Iterable[NDArray[np.uint16]], vocab_size: int) -> NDArray[np.int64]:
    """How often each token occurs in the first COUNTED_TOKENS of the shards: (vocab,)."""
    counts, left = np.zeros(vocab_size, dtype=np.int64), COUNTED_TOKENS
    for shard in shards:
        for start in range(0, min(len(shard), left), BLOCK):
            part = shard[start : min(len(shard), left, start + BLOCK)]
            counts += np.bincount(part, minlength=vocab_size)[:vocab_size]
        left -= min(len(shard), left)
    return counts


def by_frequency(counts: NDArray[np.int64]) -> Grouping:
    """By the target's occurrences per million training tokens: counts (vocab,)."""
    rate = counts * (1e6 / max(1, int(counts.sum())))
    group = np.searchsorted(PER_MILLION, rate, side="right")
    edges = [f"{edge:,.0f}" for edge in PER_MILLION]
    labels = (f"under {edges[0]}", *(f"from {edge}" for edge in edges))
    return Grouping("frequency", labels, lambda rows: group[rows[:, 1:]])


def by_word(table: TokenBytes) -> Grouping:
    """By whether the target opens a document, begins a word, or goes on without a space.

    A document's first token begins a word too; what goes on is the rest of a word, punctuation
    or the end of a line.
    """

    def group(rows: Tokens) -> NDArray[np.integer]:
        before, target = rows[:, :-1], rows[:, 1:]
        begins = table.leading_space[target] | table.boundary[before]
        return np.where(table.boundary[target], 0, np.where(begins, 1, 2))

    return Grouping("word", ("opens a document", "begins a word", "goes on"), group)


def by_position(seq_len: int) -> Grouping:
    """By the number of tokens that the model has read, by powers of two."""
    read = np.arange(1, seq_len + 1)
    group = np.ceil(np.log2(read)).astype(np.int64)
    ends = [min(2**power, seq_len) for power in range(int(group[-1]) + 1)]
    labels = tuple(_span(2**power // 2 + 1, end) for power, end in enumerate(ends))
    return Grouping("position", labels, lambda rows: group[None, : rows.shape[1] - 1])


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}–{high}"


def decompose(
    engine: Engine,
    validation: Validation,
    groupings: Sequence[Grouping],
    progress: Callable[[float], None] | None = None,
) -> tuple[Tally, tuple[Breakdown, ...]]:
    """Score every target once and split the loss in each of the ways.

    Returns:
        The whole, summed as `trainers.evaluation.evaluate` does, and its breakdowns.

    Raises:
        ArithmeticError: parts do not add up to the whole within TOLERANCE.
        InputError: the tokens fill no sequence.
    """
    whole, total = Tally(), target_count(validation)
    sums = [np.zeros((3, len(grouping.labels))) for grouping in groupings]
    for rows, _ in scored_windows(validation):
        losses = engine.losses(rows)
        whole.add(validation, rows, losses)
        lengths = validation.table.count_bytes(rows[:, :-1], rows[:, 1:])
        for grouping, sum_ in zip(groupings, sums, strict=True):
            group = np.broadcast_to(grouping.group(rows), losses.shape).ravel()
            for row, weights in enumerate((None, lengths, losses.astype(np.float64))):
                flat = None if weights is None else weights.ravel()
                sum_[row] += np.bincount(group, weights=flat, minlength=len(grouping.labels))
        if progress is not None:
            progress(whole.targets / total)
    breakdowns = tuple(
        _breakdown(grouping, sum_, whole) for grouping, sum_ in zip(groupings, sums, strict=True)
    )
    return whole, breakdowns


def _breakdown(grouping: Grouping, sums: NDArray[np.float64], whole: Tally) -> Breakdown:
    parts = tuple(
        Part(
            label=label,
            targets=int(targets),
            bytes=int(length),
            nats=float(nats),
            bpb=bits_per_byte(float(nats), whole.byte_count),
        )
        for label, targets, length, nats in zip(grouping.labels, *sums, strict=True)
        if targets
    )
    off = math.fsum(part.bpb for part in parts) - whole.score().bpb
    if not abs(off) <= TOLERANCE:
        raise ArithmeticError(f"parts by {grouping.by} miss the whole by {off} bpb")
    return Breakdown(by=grouping.by, parts=parts)
