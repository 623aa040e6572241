"""The one training loop and the one evaluation, for any Engine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trainers.data import Batches, TokenBytes, bits_per_byte, validation_batches
from trainers.engine import Engine, StepSettings, Weights


class Diverged(Exception):
    """A training or validation loss is no longer a finite number."""


@dataclass(frozen=True)
class Schedule:
    """What happens at which step.

    Attributes:
        iterations: optimizer steps.
        warmup_iters: steps over which the learning rates rise linearly to their full value.
        warmdown_iters: last steps, over which they fall linearly to zero.
        momentum: Muon's momentum once it has warmed up.
        momentum_start: Muon's momentum at the first step.
        momentum_steps: steps over which it rises linearly.
        val_points: looks at the validation subset, evenly spaced, the last one at the end.
    """

    iterations: int
    warmup_iters: int
    warmdown_iters: int
    momentum: float
    momentum_start: float
    momentum_steps: int
    val_points: int

    def settings(self, step: int) -> StepSettings:
        """Learning-rate factor and momentum of a step, counted from 0."""
        rising = (step + 1) / self.warmup_iters if self.warmup_iters else 1.0
        left = self.iterations - step
        falling = left / self.warmdown_iters if self.warmdown_iters else 1.0
        warm = min(1.0, step / self.momentum_steps) if self.momentum_steps else 1.0
        return StepSettings(
            lr_scale=min(1.0, rising, falling),
            muon_momentum=(1 - warm) * self.momentum_start + warm * self.momentum,
        )

    def validation_steps(self) -> frozenset[int]:
        """Numbers of finished steps after which the validation subset is looked at."""
        points = min(self.val_points, self.iterations)
        return frozenset(self.iterations * (i + 1) // points for i in range(points))


@dataclass(frozen=True)
class Validation:
    """Tokens to be predicted and the bytes they stand for.

    Attributes:
        tokens: shape (tokens,).
        table: bytes of every token.
        seq_len: targets per sequence; each is predicted from its own sequence alone.
        batch_sequences: sequences given to the engine at once.
        max_sequences: only the first so many sequences; None for all of them.
    """

    tokens: NDArray[np.uint16]
    table: TokenBytes
    seq_len: int
    batch_sequences: int
    max_sequences: int | None = None


@dataclass(frozen=True)
class Score:
    """How well tokens were predicted: bits per byte of text, and nats per token."""

    bpb: float
    loss: float


@dataclass
class TrainingCurve:
    """What a run showed on its way. `seconds` leaves out validation and compilation."""

    train_loss: list[float] = field(default_factory=list)
    val_step: list[int] = field(default_factory=list)
    val_bpb: list[float] = field(default_factory=list)
    seconds: float = 0.0


def warm_up(engine: Engine, weights: Weights, batches: Batches) -> None:
    """Let the engine compile before the clock starts; `Engine.load` then undoes the step."""
    engine.load(weights)
    tokens = batches.batch(0)
    engine.step(tokens, StepSettings(lr_scale=0.0, muon_momentum=0.0))
    engine.losses(tokens)


def train(
    engine: Engine,
    weights: Weights,
    batches: Batches,
    schedule: Schedule,
    validation: Validation,
    progress: Callable[[float], None] | None = None,
) -> TrainingCurve:
    """Train from these weights to the end of the schedule; the engine then holds the result.

    Raises:
        Diverged: a loss is NaN or infinite; the message names the step.
    """
    engine.load(weights)
    curve, looks = TrainingCurve(), schedule.validation_steps()
    for step in range(schedule.iterations):
        started = time.perf_counter()
        loss = engine.step(batches.batch(step), schedule.settings(step))
        curve.seconds += time.perf_counter() - started
        if not math.isfinite(loss):
            raise Diverged(f"the training loss is {loss} at step {step + 1}")
        curve.train_loss.append(loss)
        if step + 1 in looks:
            bpb = evaluate(engine, validation).bpb
            if not math.isfinite(bpb):
                raise Diverged(f"the validation loss is {bpb} after step {step + 1}")
            curve.val_step.append(step + 1)
            curve.val_bpb.append(bpb)
        if progress is not None:
            progress((step + 1) / schedule.iterations)
    return curve


def evaluate(
    engine: Engine, validation: Validation, progress: Callable[[float], None] | None = None
) -> Score:
    """Σ nats / ln 2 / Σ bytes and Σ nats / targets, over the same targets, summed in float64."""
    nats, byte_count, targets = 0.0, 0, 0
    for rows in validation_batches(
        validation.tokens,
        validation.seq_len,
        validation.batch_sequences,
        max_sequences=validation.max_sequences,
    ):
        nats += float(engine.losses(rows).sum(dtype=np.float64))
        byte_count += int(validation.table.count_bytes(rows[:, :-1], rows[:, 1:]).sum())
        targets += rows.shape[0] * validation.seq_len
        if progress is not None:
            progress(min(1.0, targets / len(validation.tokens)))
    return Score(bpb=bits_per_byte(nats, byte_count), loss=nats / targets)
