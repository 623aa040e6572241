"""The one training loop, for any Engine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from trainers.averaging import Average, checkpoint_steps
from trainers.batches import Batches
from trainers.engine import Alteration, Engine, StepSettings, Weights
from trainers.evaluation import Validation, evaluate


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
        qat_below: quantized from where the warmdown's factor is below it; 0 for never.
        mtp_weight: of the token after the next, where it is predicted, after `mtp_start` of the
            steps.
        alterations: what is done to the batch of a step, counted from 0, of so many.
        recurrence_start: share of the steps before depth recurrence; the last step has it always.
    """

    iterations: int
    warmup_iters: int
    warmdown_iters: int
    momentum: float
    momentum_start: float
    momentum_steps: int
    val_points: int
    recurrence_start: float = 0.0
    qat_below: float = 0.0
    mtp_weight: float = 0.0
    mtp_start: float = 0.0
    alterations: Callable[[int, int], Alteration | None] | None = None

    def settings(self, step: int) -> StepSettings:
        """Learning-rate factor and momentum of a step, counted from 0."""
        warm = min(1.0, step / self.momentum_steps) if self.momentum_steps else 1.0
        return StepSettings(
            quantized=self._falling(step) < self.qat_below,
            lr_scale=self._lr_scale(step),
            muon_momentum=(1 - warm) * self.momentum_start + warm * self.momentum,
            mtp_weight=self.mtp_weight if step >= self.mtp_start * self.iterations else 0.0,
            alteration=self.alterations(step, self.iterations) if self.alterations else None,
            recurrent=step >= min(self.recurrence_start * self.iterations, self.iterations - 1),
        )

    def quantized_steps(self) -> range:
        """The steps, counted from 0, that are taken on the artifact's grid."""
        late = (s for s in range(self.iterations) if self._falling(s) < self.qat_below)
        return range(next(late, self.iterations), self.iterations)

    def lr_scales(self) -> list[float]:
        """The learning-rate factor of every step."""
        return [self._lr_scale(step) for step in range(self.iterations)]

    def _lr_scale(self, step: int) -> float:
        rising = (step + 1) / self.warmup_iters if self.warmup_iters else 1.0
        return min(1.0, rising, self._falling(step))

    def _falling(self, step: int) -> float:
        return (self.iterations - step) / self.warmdown_iters if self.warmdown_iters else 1.0

    def validation_steps(self) -> frozenset[int]:
        """Numbers of finished steps after which the validation subset is looked at."""
        points = min(self.val_points, self.iterations)
        return frozenset(self.iterations * (i + 1) // points for i in range(points))


@dataclass
class TrainingCurve:
    """What a run showed on its way. `seconds` leaves out validation and compilation.

    `val_bpb_int8` is what `val_bpb` would be after int8, where that was asked for.
    """

    train_loss: list[float] = field(default_factory=list)
    val_step: list[int] = field(default_factory=list)
    val_bpb: list[float] = field(default_factory=list)
    val_bpb_int8: list[float] = field(default_factory=list)
    seconds: float = 0.0


def warm_up(
    engine: Engine, weights: Weights, batches: Batches, schedule: Schedule | None = None
) -> None:
    """Let the engine compile before the clock starts; `Engine.load` then undoes the steps.

    Args:
        schedule: of the run to come; if it switches depth recurrence on, both graphs are made.
    """
    engine.load(weights)
    tokens = batches.batch(0)
    for recurrent in (False, True) if schedule and schedule.recurrence_start else (True,):
        engine.step(tokens, at_rest(schedule, recurrent))
        engine.losses(tokens)


def at_rest(schedule: Schedule | None, recurrent: bool = True) -> StepSettings:
    """A step that moves nothing and does all the work of the schedule's first."""
    if schedule is None:
        return StepSettings(0.0, 0.0, recurrent)
    first = schedule.settings(0)
    return replace(first, lr_scale=0.0, muon_momentum=0.0, recurrent=recurrent)


def train(
    engine: Engine,
    weights: Weights,
    batches: Batches,
    schedule: Schedule,
    validation: Validation | None,
    progress: Callable[[float], None] | None = None,
    averages: Sequence[Average] = (),
    *,
    int8_looks: bool = False,
    before_step: Callable[[int], None] | None = None,
) -> TrainingCurve:
    """Train from these weights to the end of the schedule; the engine then holds the result.

    Args:
        validation: what the curve is measured on; None for no measurement on the way.
        averages: averages of the weights to keep on the way; off the clock, as validation is.
        int8_looks: look at each point a second time, with the weights as int8 would have them.
        before_step: called with each step's number, counted from 0; off the clock.

    Raises:
        Diverged: a loss is NaN or infinite; the message names the step.
    """
    engine.load(weights)
    curve, looks = TrainingCurve(), schedule.validation_steps()
    checkpoints = checkpoint_steps(schedule.lr_scales()) if averages else frozenset()
    for step in range(schedule.iterations):
        if before_step is not None:
            before_step(step)
        started = time.perf_counter()
        loss = engine.step(batches.batch(step), schedule.settings(step))
        curve.seconds += time.perf_counter() - started
        if not math.isfinite(loss):
            raise Diverged(f"the training loss is {loss} at step {step + 1}")
        curve.train_loss.append(loss)
        for average in averages:
            if share := average.share(step + 1, checkpoints):
                engine.average(average.name, share)
        if validation is not None and step + 1 in looks:
            bpb = evaluate(engine, validation).bpb
            if not math.isfinite(bpb):
                raise Diverged(f"the validation loss is {bpb} after step {step + 1}")
            curve.val_step.append(step + 1)
            curve.val_bpb.append(bpb)
            if int8_looks:
                with engine.on_grid():
                    curve.val_bpb_int8.append(evaluate(engine, validation).bpb)
        if progress is not None:
            progress((step + 1) / schedule.iterations)
    return curve
