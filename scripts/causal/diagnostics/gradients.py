"""How strongly each layer is pulled along a run, and whether that goes with the loss.

No trainer keeps gradients, and a checkpoint is one moment of a run; so the run is repeated, which
its seed allows, and before chosen steps the gradient of that step's batch is taken. That leaves
the run as it was: on the machine and the code that recorded it, the losses come out the same to
the last bit, and the largest difference is reported.

The gradient is that of the plain cross-entropy of the batch at the exact weights with the whole
model at work: dropped tokens, altered losses, a grid that training rounds to, or a recurrence that
begins later are no part of it.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from scripts.causal.diagnostics.influence import mean_gradient
from scripts.causal.forms import Record
from trainers.engine import Weights
from trainers.loop import Schedule
from trainers.workbench import Workbench

Phase = Literal["warmup", "main", "warmdown"]
PHASES: tuple[Phase, ...] = ("warmup", "main", "warmdown")
FEWEST = 5  # points that a correlation is taken of


class LayerPhase(Record):
    """A layer in one phase of the run.

    Attributes:
        points: steps at which its gradient was taken.
        norm: mean gradient norm over them.
        share: mean share of the squared norm of the whole gradient.
        correlation: of the norm with the training loss, Spearman's; None below 5 points.
    """

    points: int
    norm: float
    share: float
    correlation: float | None


class LayerGradients(Record):
    """One layer along the run.

    Attributes:
        parameters: its number of weights.
        norms: gradient norm at each recorded step, Frobenius over all its parameters.
        phases: warmup, main and warmdown; a phase without a recorded step is left out.
        correlation: of norm and training loss over all steps, Spearman's. Both fall or rise
            along a run, and that alone correlates them;
        correlation_of_changes: so this is of their changes from one recorded step to the next.
    """

    layer: str
    parameters: int
    norms: tuple[float, ...]
    phases: dict[Phase, LayerPhase]
    correlation: float | None
    correlation_of_changes: float | None


class GradientCourse(Record):
    """A run's gradients at recorded steps.

    Attributes:
        steps: finished steps before the gradient was taken, from 0.
        loss: of the step that followed, nats per token.
        phase: of each step.
        layers: in model order.
    """

    steps: tuple[int, ...]
    loss: tuple[float, ...]
    phase: tuple[Phase, ...]
    layers: tuple[LayerGradients, ...]


def layer_of(name: str) -> str:
    """``blocks.3.attn.q`` → ``blocks.3``; what is in no block goes by its first word."""
    found = re.match(r"blocks\.\d+|[^.]+", name)
    return found[0] if found else name


def phase_of(schedule: Schedule, step: int) -> Phase:
    """Warm-up while learning rates or Muon's momentum rise, warmdown while the rates fall."""
    if step < max(schedule.warmup_iters, schedule.momentum_steps):
        return "warmup"
    return "warmdown" if schedule.iterations - step < schedule.warmdown_iters else "main"


def recorded_steps(iterations: int, points: int) -> list[int]:
    """So many steps, evenly spaced, the first and the last among them."""
    return sorted({round(float(step)) for step in np.linspace(0, iterations - 1, points)})


def repeat_run(
    bench: Workbench, points: int, progress: Callable[[float], None] | None = None
) -> tuple[list[float], GradientCourse]:
    """Train again from the start, taking gradients at so many steps.

    Returns:
        The training loss of every step, and the gradients.
    """
    steps = recorded_steps(bench.schedule.iterations, points)
    watched, losses = set(steps), list[float]()
    squares: dict[str, list[float]] = defaultdict(list)
    bench.engine.load(bench.start)
    for step in range(bench.schedule.iterations):
        batch = bench.batches.batch(step)
        if step in watched:
            for layer, square in _squared_norms(mean_gradient(bench.engine, batch)).items():
                squares[layer].append(square)
        losses.append(bench.engine.step(batch, bench.schedule.settings(step)))
        if progress is not None:
            progress((step + 1) / bench.schedule.iterations)
    sizes: dict[str, int] = defaultdict(int)
    for name, values in bench.start.items():
        sizes[layer_of(name)] += values.size
    loss = np.array([losses[step] for step in steps])
    phases = tuple(phase_of(bench.schedule, step) for step in steps)
    total = np.sum([squares[layer] for layer in sizes], axis=0)
    layers = tuple(
        _layer(layer, sizes[layer], np.array(squares[layer]), total, loss, phases)
        for layer in sizes
    )
    return losses, GradientCourse(
        steps=tuple(steps), loss=tuple(loss.tolist()), phase=phases, layers=layers
    )


def _squared_norms(gradient: Weights) -> dict[str, float]:
    """Squared norm of each layer's gradient."""
    sums: dict[str, float] = defaultdict(float)
    for name, values in gradient.items():
        sums[layer_of(name)] += float(np.square(values, dtype=np.float64).sum())
    return sums


def _layer(
    layer: str,
    parameters: int,
    squares: NDArray[np.float64],
    total: NDArray[np.float64],
    loss: NDArray[np.float64],
    phases: tuple[Phase, ...],
) -> LayerGradients:
    norms, shares = np.sqrt(squares), squares / np.where(total > 0, total, 1)
    found: dict[Phase, LayerPhase] = {}
    for phase in PHASES:
        here = np.array([each == phase for each in phases])
        if here.any():
            found[phase] = LayerPhase(
                points=int(here.sum()),
                norm=float(norms[here].mean()),
                share=float(shares[here].mean()),
                correlation=rank_correlation(norms[here], loss[here]),
            )
    return LayerGradients(
        layer=layer,
        parameters=parameters,
        norms=tuple(norms.tolist()),
        phases=found,
        correlation=rank_correlation(norms, loss),
        correlation_of_changes=rank_correlation(np.diff(norms), np.diff(loss)),
    )


def rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """Spearman's; None below FEWEST points or where one of them does not vary."""
    if len(first) < FEWEST or not (np.ptp(first) and np.ptp(second)):
        return None
    return float(spearmanr(first, second).statistic)


def largest_difference(losses: list[float], recorded: list[float] | None) -> float | None:
    """Between two loss curves, in nats; None where there is none of the same length."""
    if recorded is None or len(recorded) != len(losses):
        return None
    return max(math.fabs(a - b) for a, b in zip(losses, recorded, strict=True))
