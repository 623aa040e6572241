"""Which layers a run pulls at, from warm-up to warmdown, and whether that goes with the loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import cycle
from typing import Annotated, Literal

import typer
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from scripts.causal.cli import progress_bar, run_command
from scripts.causal.diagnostics import command
from scripts.causal.diagnostics.gradients import (
    PHASES,
    GradientCourse,
    largest_difference,
    repeat_run,
)
from scripts.causal.diagnostics.subject import ModelFacts, Subject
from scripts.causal.files import InputError
from scripts.causal.forms import Record
from scripts.causal.reporting import words
from scripts.causal.reporting.figures import quiet_axes
from scripts.causal.reporting.svg import PALETTE, SETTINGS, figure

POINTS = 100
SIZE = (760, 380)
BLUES = colormaps["Blues"]


class GradientAttribution(Record):
    """``gradients.json``: gradient norms of every layer along a run that was repeated for it.

    Attributes:
        iterations: steps of the run.
        loss_difference: the largest between the repeated run's training losses and the recorded
            ones, in nats: 0 means that it is the same run. None where none are recorded.
    """

    schema_version: Literal[1] = 1
    model: ModelFacts
    iterations: int
    loss_difference: float | None
    course: GradientCourse


def gradient_attribution(
    subject: Subject, points: int = POINTS, progress: Callable[[float], None] | None = None
) -> GradientAttribution:
    """Repeat the run that left a checkpoint and take its gradients on the way.

    Args:
        subject: its run is repeated; its weights tell only that it was finished.
        points: steps at which gradients are taken, at most all of them.
        progress: called with the fraction of the run that is done.

    Raises:
        InputError: fewer than 2 points, the repeated run diverges, or as `Subject.open`.
    """
    if points < 2:
        raise InputError(f"it takes at least 2 points, but got {points}", where="--points")
    bench, weights = subject.open()
    losses, course = repeat_run(bench, points, progress)
    if not math.isfinite(sum(losses)):
        raise InputError("the repeated run diverges: its gradients are no numbers")
    return GradientAttribution(
        model=subject.facts(bench, weights),
        iterations=len(losses),
        loss_difference=largest_difference(losses, subject.curves.get("train_loss")),
        course=course,
    )


def in_words(report: GradientAttribution) -> str:
    """A table of layers by phase, as lines."""
    lines = [_same_run(report.loss_difference)]
    present = [phase for phase in PHASES if phase in report.course.phase]
    columns = "".join(f"{phase:>22}" for phase in present)
    lines.append(f"{'layer':>14}{columns}   correlation with loss: levels, changes")
    for layer in report.course.layers:
        cells = "".join(
            f"{layer.phases[phase].norm:>14.4g} {layer.phases[phase].share:>6.1%}"
            for phase in present
        )
        lines.append(
            f"{layer.layer:>14}{cells}   {words.number(layer.correlation, 2):>22}, "
            f"{words.number(layer.correlation_of_changes, 2)}"
        )
    lines.append("norm of the gradient and its share of the whole, mean over the phase")
    return "\n".join(lines)


def _same_run(difference: float | None) -> str:
    if difference is None:
        return "the run was repeated; there is no recorded curve to compare its losses with"
    if difference == 0:
        return "the run was repeated, its losses equal to the recorded ones to the last bit"
    return (
        f"the run was repeated; its losses differ from the recorded ones by up to {difference:g}"
    )


def draw(report: GradientAttribution) -> Figure:
    """Each layer's norm against steps, blocks darker with depth; a line where a phase begins."""
    course, (width, height) = report.course, SIZE
    deepest = max(1, sum(layer.layer.startswith("blocks.") for layer in course.layers) - 1)
    others = cycle(PALETTE[name] for name in ("worse", "better", "open", "same"))
    with rc_context(SETTINGS):
        drawing = figure(width, height)
        axes = drawing.add_axes((0.08, 0.13, 0.72, 0.75))
        for layer in course.layers:
            kind, _, depth = layer.layer.partition(".")
            inner = kind == "blocks"
            axes.plot(
                course.steps,
                layer.norms,
                color=BLUES(0.4 + 0.6 * int(depth) / deepest) if inner else next(others),
                linestyle="-" if inner else "--",
                linewidth=1.3,
                label=words.plain_text(layer.layer, 20),
            )
        upright = axes.get_xaxis_transform()
        for phase in dict.fromkeys(course.phase):
            start = course.steps[course.phase.index(phase)]
            axes.axvline(start, color=PALETTE["rule"], linewidth=1, zorder=0)
            axes.text(start, 1.01, f" {phase}", transform=upright, color=PALETTE["muted"])
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words.number(value)))
        quiet_axes(axes)
        axes.set_xlabel("training step")
        axes.set_title("gradient norm by layer", loc="left", fontsize=12, pad=22)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1), handlelength=1.6)
    return drawing


def main(
    output: command.Output,
    run: command.Run = None,
    ledger: command.Ledger = command.DEFAULT_LEDGER,
    checkpoint: command.Checkpoint = None,
    config: command.Config = None,
    data: command.Data = None,
    backend: command.Backend = None,
    points: Annotated[int, typer.Option(help="steps at which gradients are taken")] = POINTS,
    quiet: command.Quiet = False,
    json: command.Json = False,
) -> None:
    """Repeat a checkpoint's run and record every layer's gradient norm along it."""
    command.require_report(output)
    subject = command.named_subject(
        run=run,
        ledger=ledger,
        checkpoint=checkpoint,
        config=config,
        data=data,
        backend=backend,
        quiet=quiet,
    )
    with progress_bar("training again", quiet=quiet) as show:
        report = gradient_attribution(subject, points, show)
    command.deliver(output, report, draw(report), in_words(report), quiet=quiet, json=json)


if __name__ == "__main__":
    run_command(main)
