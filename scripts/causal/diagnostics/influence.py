"""How training text and validation pull at the weights: inner products of their gradients.

A step of plain gradient descent on a batch b lowers the validation loss, to first order, by the
learning rate times g_b · g_val (TracIn, Pruthi et al. 2020). The score of a batch is that inner
product; the score of a shard is the mean over batches drawn from it. Batches of one shard differ
too, so shards are compared with what their own batches scatter: a one-way analysis of variance
with random shards.

The mean of the scores shrinks as training converges, where gradients cancel, and the coefficient
of variation grows with it: it compares shards at one checkpoint, not one checkpoint with another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution

from scripts.causal.files import InputError
from scripts.causal.forms import Record
from trainers.data import DataSet
from trainers.engine import Engine, Tokens, Weights
from trainers.seeds import stream

ALPHA = 0.05
MATTERS = 0.1  # below, the best of 16 shards (1.8 sd) gives under a fifth more than their mean


@dataclass(frozen=True)
class Shard:
    """A stretch of a training file.

    Attributes:
        file: the file's name.
        tokens: the stretch, shape (tokens,).
        start: its first token's place in the file.
    """

    file: str
    tokens: NDArray[np.uint16]
    start: int


class ShardScore(Record):
    """One shard: mean score, its standard error over batches, and the mean cosine."""

    file: str
    start: int
    tokens: int
    score: float
    error: float
    cosine: float


class Spread(Record):
    """How much the shards' scores differ, and how much of it is the shards'.

    Attributes:
        mean: of the scores.
        cv: standard deviation of the shards' mean scores over `mean`, as observed.
        cv_noise: what the observed one would be were all shards alike: the scatter of batches.
        cv_shards: what is left for the shards themselves.
        f, p: of the analysis of variance.
    """

    mean: float
    cv: float
    cv_noise: float
    cv_shards: float
    f: float
    p: float


def shards_of(data: DataSet, at_least: int, seq_len: int) -> tuple[Shard, ...]:
    """The training files, each cut evenly where there are fewer than asked for.

    Stretches with less than a window are left out.
    """
    files = data.train_tokens()
    pieces = math.ceil(at_least / len(files))
    found = []
    for path, tokens in zip(data.train, files, strict=True):
        edges = np.linspace(0, len(tokens), pieces + 1).astype(int).tolist()
        found += [
            Shard(path.name, tokens[start:end], start)
            for start, end in pairwise(edges)
            if end - start > seq_len
        ]
    return tuple(found)


def drawn_batches(
    shard: Shard, count: int, sequences: int, seq_len: int, seed: int
) -> Iterator[Tokens]:
    """Batches of windows of a shard, (sequences, seq_len + 1), none drawn twice.

    A shard with too few windows gives smaller batches, all of one size.
    """
    windows = (len(shard.tokens) - 1) // seq_len
    size = min(sequences, windows // count)
    generator = stream(seed, "influence", shard.file, str(shard.start))
    drawn = generator.permutation(windows)[: count * size].reshape(count, size)
    for batch in drawn:
        places = batch[:, None] * seq_len + np.arange(seq_len + 1)
        yield shard.tokens[places].astype(np.int64)


def mean_gradient(engine: Engine, batch: Tokens) -> Weights:
    """Gradient of the mean loss of a batch (sequences, time + 1), by name."""
    return engine.gradient(batch, np.ones(batch[:, 1:].shape, dtype=np.float32))


def inner_product(first: Weights, second: Weights) -> float:
    """Σ over all parameters, in float64."""
    return math.fsum(
        float(np.vdot(first[name].astype(np.float64), second[name].astype(np.float64)))
        for name in first
    )


def score_shards(
    engine: Engine,
    target: Weights,
    shards: Sequence[Shard],
    *,
    batches: int,
    sequences: int,
    seq_len: int,
    seed: int,
    progress: Callable[[float], None] | None = None,
) -> tuple[NDArray[np.float64], tuple[ShardScore, ...]]:
    """Score batches of every shard against a gradient.

    Args:
        target: gradient of the validation loss.
        batches: of each shard, at least 2.

    Returns:
        Scores (shards, batches), and each shard's mean.
    """
    scores, cosines = np.empty((2, len(shards), batches))
    length = math.sqrt(inner_product(target, target))
    for place, shard in enumerate(shards):
        for number, batch in enumerate(drawn_batches(shard, batches, sequences, seq_len, seed)):
            gradient = mean_gradient(engine, batch)
            score = inner_product(gradient, target)
            norm = math.sqrt(inner_product(gradient, gradient)) * length
            scores[place, number], cosines[place, number] = score, score / norm if norm else 0.0
        if progress is not None:
            progress((place + 1) / len(shards))
    return scores, tuple(
        ShardScore(
            file=shard.file,
            start=shard.start,
            tokens=len(shard.tokens),
            score=float(row.mean()),
            error=float(row.std(ddof=1)) / math.sqrt(batches),
            cosine=float(cosine.mean()),
        )
        for shard, row, cosine in zip(shards, scores, cosines, strict=True)
    )


def spread(scores: NDArray[np.float64]) -> Spread:
    """Split the variance of scores (shards, batches), at least 2 of each, between and within.

    Raises:
        InputError: the scores do not vary, or are zero.
    """
    shards, batches = scores.shape
    mean = float(scores.mean())
    between = float(scores.mean(axis=1).var(ddof=1))
    within = float(scores.var(axis=1, ddof=1).mean()) / batches
    if not (within and mean):
        raise InputError("the gradients vanish at these weights: there is nothing to compare")
    ratio, unit = between / within, abs(mean)
    return Spread(
        mean=mean,
        cv=math.sqrt(between) / unit,
        cv_noise=math.sqrt(within) / unit,
        cv_shards=math.sqrt(max(0.0, between - within)) / unit,
        f=ratio,
        p=float(f_distribution.sf(ratio, shards - 1, shards * (batches - 1))),
    )


def what_follows(found: Spread) -> str:
    """What the coefficient of variation means for choosing or ordering shards."""
    seen = (
        f"The shards' scores vary by {found.cv:.1%} of their mean (coefficient of variation); "
        f"batches of one shard alone would make that {found.cv_noise:.1%} "
        f"(F = {found.f:.2f}, p = {found.p:.2g})."
    )
    caution = (
        "The score looks at validation text: training on shards chosen by it is training on "
        "validation. Choose by a part of the training text held out instead."
    )
    if found.mean <= 0:
        return (
            f"{seen} On average a step on training text would not lower the validation loss: "
            "these weights are no longer, or not yet, where plain descent on such batches helps."
        )
    if found.p >= ALPHA:
        return (
            f"{seen} Nothing shows that shards differ: choosing or ordering them by this score "
            "would follow noise."
        )
    if found.cv_shards < MATTERS:
        return (
            f"{seen} Shards do differ, by {found.cv_shards:.1%} once the batches' scatter is "
            "taken off, too little for a choice among them to give much."
        )
    return (
        f"{seen} Shards differ, by {found.cv_shards:.1%} once the batches' scatter is taken off: "
        f"a choice or an order of shards is worth a contrast. {caution}"
    )
