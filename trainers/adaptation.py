"""Test-time training: a model adapts to the validation text behind the point it has scored.

The order is the whole of its legality: a piece of text is scored without gradient, and only then
may any weight move on it. Both functions work through `Engine.losses`, `Engine.gradient` and
`Engine.load`, and keep optimizer and adapters here, in NumPy, so that torch and MLX adapt alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from trainers.engine import Engine, Weights
from trainers.evaluation import Score, Tally, Validation, scored_windows, target_count
from trainers.seeds import stream

ADAPTED = (".attn.q", ".attn.v")  # of every block, as there; its output layer is left out here


@dataclass(frozen=True)
class ScoreFirst:
    """Test-time training of every weight; the defaults are those of PR 461 and PR 549.

    Attributes:
        lr: of stochastic gradient descent, falling to 0 along the text by half a cosine.
        momentum: of the descent.
        epochs: passes over a chunk once it is scored.
        chunk_tokens: targets that are scored before the weights move on them.
        batch_sequences: sequences in one step.
        grad_clip: bound of the gradient's norm.
    """

    lr: float = 0.002
    momentum: float = 0.9
    epochs: int = 3
    chunk_tokens: int = 32768
    batch_sequences: int = 32
    grad_clip: float = 1.0


@dataclass(frozen=True)
class DocumentAdapters:
    """Low-rank adapters (Hu et al. 2021) trained on each document as it is scored, then reset.

    Attributes:
        lr: of Adagrad.
        rank: of each adapter.
        chunk_tokens: targets of one document that are scored before the adapters move on them,
            one step a chunk; at most half a sequence, so that the rest is their context.
        seed: of the adapters' random halves.
    """

    lr: float = 0.04
    rank: int = 8
    chunk_tokens: int = 256
    seed: int = 0


# --------------------------------------------------------------------------------------------
# Every weight


def evaluate_score_first(
    engine: Engine,
    validation: Validation,
    method: ScoreFirst,
    progress: Callable[[float], None] | None = None,
    tally: Tally | None = None,
) -> Score:
    """Score chunk after chunk, each with weights trained on the chunks before it.

    The targets are those of `evaluation.evaluate`, with or without a sliding window; the engine
    ends with the adapted weights. The last chunk is trained on no more.
    """
    tally, trained = Tally() if tally is None else tally, 0
    weights, velocity = engine.weights(), dict[str, NDArray[np.float32]]()
    total, waiting = target_count(validation), 0
    for rows, scored in scored_windows(validation):
        before = tally.targets
        tally.add(validation, rows, engine.losses(rows), scored)
        waiting += tally.targets - before
        if progress is not None:
            progress(tally.targets / total)
        if waiting < method.chunk_tokens or tally.targets == total:
            continue
        # Whole sequences of which every target has been scored, and that were not trained on.
        finished = tally.targets // validation.seq_len
        lr = method.lr * 0.5 * (1 + math.cos(math.pi * tally.targets / total))
        for _ in range(method.epochs):
            for batch in _sequences(validation, trained, finished, method.batch_sequences):
                gradient = engine.gradient(batch, np.ones_like(batch[:, 1:], dtype=np.float32))
                _clip(gradient, method.grad_clip)
                for name, slope in gradient.items():
                    velocity[name] = method.momentum * velocity.get(name, 0.0) + slope
                    weights[name] = weights[name] - np.float32(lr) * velocity[name]
                engine.load(weights)
        trained, waiting = finished, 0
    return tally.score()


def _sequences(
    validation: Validation, first: int, end: int, count: int
) -> Iterator[NDArray[np.int64]]:
    """Sequences number `first` to `end`, side by side, `count` at a time."""
    time = validation.seq_len
    for start in range(first, end, count):
        rows = np.arange(start, min(end, start + count))[:, None] * time + np.arange(time + 1)
        yield validation.tokens[rows].astype(np.int64)


def _clip(gradient: Weights, limit: float) -> None:
    norm = math.sqrt(sum(float(np.square(slope).sum()) for slope in gradient.values()))
    if norm > limit:
        for slope in gradient.values():
            slope *= np.float32(limit / norm)


# --------------------------------------------------------------------------------------------
# Adapters, document by document


@dataclass(frozen=True)
class Chunk:
    """Targets of one document that are scored together.

    Attributes:
        start: index of the first input token of its window.
        end: index of its last target.
        count: targets scored, the last ones of the window.
    """

    start: int
    end: int
    count: int


def evaluate_documents(
    engine: Engine,
    validation: Validation,
    method: DocumentAdapters,
    progress: Callable[[float], None] | None = None,
    tally: Tally | None = None,
) -> Score:
    """Score each document from its own tokens alone, its adapters trained chunk by chunk.

    The targets are those of `evaluation.evaluate`. What a document's isolation, the overlapping
    windows and the adapters each give cannot be told apart here; at a learning rate of 0 the
    adapters give nothing.
    """
    tally, total = Tally() if tally is None else tally, target_count(validation)
    size = max(1, min(method.chunk_tokens, validation.seq_len // 2))
    documents = [
        _chunks(first, end, size, validation.seq_len)
        for first, end in _documents(validation, total)
    ]
    # No adapter has moved before the first chunk of a document: these may go together.
    firsts = [chunks[0] for chunks in documents]
    for start in range(0, len(firsts), validation.batch_sequences):
        _score(engine, validation, tally, firsts[start : start + validation.batch_sequences])
        if progress is not None:
            progress(tally.targets / total)
    base = engine.weights()
    for chunks in documents:
        if len(chunks) == 1:
            continue
        adapters = Adapters(base, method)
        for past, chunk in pairwise(chunks):
            rows, scored = _window(validation, past)
            engine.load(adapters.step(engine.gradient(rows, scored)))
            _score(engine, validation, tally, [chunk])
        engine.load(base)
        if progress is not None:
            progress(tally.targets / total)
    return tally.score()


class Adapters:
    """W + B·A for every adapted matrix W, with Adagrad on A and B.

    The gradients by A and B follow from the one by W + B·A: Bᵀ·G and G·Aᵀ.

    Record 2026-03-17_LoRA_TTT has Adam. Its steps never shorten, and hundreds of them on one
    document are chaotic: weights moved by a part in 1e7 moved the score by 2e-3 to 6e-3 nats over
    794 steps. Adagrad (Duchi et al. 2011), made for learning as one is scored, shortens them as
    gradients add up. To an element's sum of squares the mean over its matrix is added, so that a
    gradient that is nothing but rounding moves nothing. Then the score moved by 3e-7 nats at the
    default rate, 0.04, and by 2e-3 again at 0.05. Of the fast scale's validation the adapters took
    0.0306 bpb, Adam's 0.0289 (one seed); of its first quarter 0.0355, Adam's 0.0372 (three).

    Args:
        base: the weights that are adapted; they stay as they are.
        method: rank, learning rate and seed.
    """

    def __init__(self, base: Mapping[str, NDArray[np.float32]], method: DocumentAdapters):
        self._base, self._method = base, method
        self._values: Weights = {}
        for name in base:
            if name.endswith(ADAPTED):
                rows, cols = base[name].shape
                rank = min(method.rank, rows, cols)
                drawn = stream(method.seed, "adapter", name).standard_normal((rank, cols))
                self._values[name + "/a"] = (drawn / math.sqrt(cols)).astype(np.float32)
                self._values[name + "/b"] = np.zeros((rows, rank), dtype=np.float32)
        self._squares = {name: np.zeros_like(value) for name, value in self._values.items()}

    def step(self, gradient: Mapping[str, NDArray[np.float32]]) -> Weights:
        """Move the adapters by the gradient of the adapted weights; the weights they now give."""
        slopes: Weights = {}
        names = [name for name in self._base if name + "/a" in self._values]
        for name in names:
            a, b = self._values[name + "/a"], self._values[name + "/b"]
            slopes[name + "/a"], slopes[name + "/b"] = b.T @ gradient[name], gradient[name] @ a.T
        for name, slope in slopes.items():
            squares = self._squares[name]
            squares += slope * slope
            scale = np.sqrt(squares + squares.mean()) + np.finfo(np.float32).tiny  # of 0: B = 0
            self._values[name] -= np.float32(self._method.lr) * (slope / scale)
        adapted = {
            name: self._base[name] + self._values[name + "/b"] @ self._values[name + "/a"]
            for name in names
        }
        return {**self._base, **adapted}


def _documents(validation: Validation, total: int) -> list[tuple[int, int]]:
    """First input and last target of every document; the opening of the next is a target of it."""
    starts = np.flatnonzero(validation.table.boundary[validation.tokens[:total]])
    edges = np.unique(np.concatenate(([0], starts, [total]))).tolist()
    return list(pairwise(edges))


def _chunks(first: int, end: int, size: int, seq_len: int) -> list[Chunk]:
    ends = [*range(first + size, end, size), end]
    before = [first, *ends[:-1]]
    return [
        Chunk(max(first, stop - seq_len), stop, stop - scored)
        for scored, stop in zip(before, ends, strict=True)
    ]


def _window(validation: Validation, chunk: Chunk) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """A chunk with its context, filled up to a sequence behind, and which targets are its own."""
    row = np.zeros((1, validation.seq_len + 1), dtype=np.int64)
    scored = np.zeros((1, validation.seq_len), dtype=np.float32)
    length = chunk.end - chunk.start
    row[0, : length + 1] = validation.tokens[chunk.start : chunk.end + 1]
    scored[0, length - chunk.count : length] = 1
    return row, scored


def _score(engine: Engine, validation: Validation, tally: Tally, chunks: list[Chunk]) -> None:
    windows = [_window(validation, chunk) for chunk in chunks]
    rows = np.concatenate([row for row, _ in windows])
    scored = np.concatenate([mask for _, mask in windows]) > 0
    at = np.concatenate([np.arange(chunk.end - chunk.count, chunk.end) for chunk in chunks])
    tally.add(validation, rows, engine.losses(rows), scored, at)
