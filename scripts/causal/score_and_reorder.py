"""A model's own loss on every training window as a curriculum: easy text first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray
from scipy.stats import spearmanr

from scripts.causal.cli import progress_bar, run_command
from scripts.causal.diagnostics import command
from scripts.causal.diagnostics.subject import ModelFacts, Subject
from scripts.causal.files import InputError
from scripts.causal.forms import Record
from scripts.causal.reporting.figures import quiet_axes
from scripts.causal.reporting.svg import PALETTE, SETTINGS, figure
from trainers.batches import validation_batches, window_difficulty
from trainers.difficulty import write_difficulty
from trainers.engine import Engine

TENTHS = 10
SIZE = (440, 320)


class Scores(Record):
    """``scores.json``: how hard a model finds its training windows, easiest to hardest.

    Attributes:
        windows, seq_len: how many windows were scored, of how many targets each.
        treatment: fields of a configuration that trains in this order; the scores it names lie
            beside the shards.
        tenths: mean loss of the windows of each tenth, easiest first, nats per token.
        rarity_tenths: the same loss, for the tenths that the rarity of their tokens makes, which
            is what a curriculum without scores goes by.
        rank_correlation: of the two orders, Spearman's.
    """

    schema_version: Literal[1] = 1
    model: ModelFacts
    windows: int
    seq_len: int
    treatment: dict[str, bool | str]
    tenths: tuple[float, ...]
    rarity_tenths: tuple[float, ...]
    rank_correlation: float


def score_and_reorder(subject: Subject, progress: Callable[[float], None] | None = None) -> Scores:
    """Score every training window by the checkpoint's loss, and leave the scores for training.

    Validation text plays no part: only training shards are read.

    Raises:
        InputError: the data's folder cannot be written, there are fewer windows than tenths, or
            as `Subject.open`.
    """
    bench, weights = subject.open()
    shards, time = bench.data.train_tokens(), bench.validation.seq_len
    losses = window_losses(bench.engine, shards, time, bench.validation.batch_sequences, progress)
    if len(losses) < TENTHS:
        raise InputError(f"{len(losses)} training windows are too few to put in an order")
    rarity = window_difficulty(shards, time, bench.data.vocab_size)
    name = write_difficulty(bench.data, time, losses)
    return Scores(
        model=subject.facts(bench, weights),
        windows=len(losses),
        seq_len=time,
        treatment={"curriculum": True, "curriculum_scores": name},
        tenths=_tenths(losses, losses),
        rarity_tenths=_tenths(losses, rarity),
        rank_correlation=float(spearmanr(losses, rarity).statistic),
    )


def window_losses(
    engine: Engine,
    shards: list[NDArray[np.uint16]],
    seq_len: int,
    batch_sequences: int,
    progress: Callable[[float], None] | None = None,
) -> NDArray[np.float64]:
    """Mean loss of each window as `trainers.batches.Batches` cuts them: (windows,), nats."""
    total = sum(max(0, (len(shard) - 1) // seq_len) for shard in shards)
    found, done = list[NDArray[np.float64]](), 0
    for shard in shards:
        if len(shard) <= seq_len:
            continue
        for rows in validation_batches(shard, seq_len, batch_sequences):
            found.append(engine.losses(rows).mean(axis=1, dtype=np.float64))
            done += len(rows)
            if progress is not None:
                progress(done / total)
    return np.concatenate(found)


def _tenths(losses: NDArray[np.float64], order_by: NDArray[np.float64]) -> tuple[float, ...]:
    """Mean loss of each tenth of the windows in the order of a score."""
    parts = np.array_split(losses[np.argsort(order_by, kind="stable")], TENTHS)
    return tuple(float(part.mean()) for part in parts)


def in_words(report: Scores) -> str:
    """What was scored, and the treatment that uses it."""
    text = ",".join(f"{name}={str(value).lower()}" for name, value in report.treatment.items())
    return (
        f"{report.windows:,} training windows of {report.seq_len} tokens: the easiest tenth at "
        f"{report.tenths[0]:.3f} nats per token, the hardest at {report.tenths[-1]:.3f} "
        f"(by the rarity of tokens {report.rarity_tenths[0]:.3f} and "
        f"{report.rarity_tenths[-1]:.3f}; rank correlation {report.rank_correlation:.2f})\n"
        f"experiment_runner.py --treatment {text}"
    )


def draw(report: Scores) -> Figure:
    """Mean loss of the tenths in both orders."""
    width, height = SIZE
    tenths = range(1, TENTHS + 1)
    with rc_context(SETTINGS):
        drawing = figure(width, height)
        axes = drawing.add_axes((0.12, 0.16, 0.84, 0.7))
        for values, name, label in (
            (report.tenths, "treatment", "ordered by the model's loss"),
            (report.rarity_tenths, "control", "ordered by rarity of tokens"),
        ):
            axes.plot(tenths, values, "o-", color=PALETTE[name], markersize=4, label=label)
        quiet_axes(axes)
        axes.xaxis.set_major_locator(MultipleLocator(1))
        axes.set_xlabel("tenth of the training windows, easiest first")
        axes.set_title("mean loss, nats per token", loc="left", fontsize=12)
        axes.legend(frameon=False, loc="upper left")
    return drawing


def main(
    output: command.Output,
    run: command.Run = None,
    ledger: command.Ledger = command.DEFAULT_LEDGER,
    checkpoint: command.Checkpoint = None,
    config: command.Config = None,
    data: command.Data = None,
    backend: command.Backend = None,
    quiet: command.Quiet = False,
    json: command.Json = False,
) -> None:
    """Score training windows by a checkpoint's loss, as the order of a curriculum."""
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
    with progress_bar("training windows", quiet=quiet) as show:
        report = score_and_reorder(subject, show)
    command.deliver(output, report, draw(report), in_words(report), quiet=quiet, json=json)


if __name__ == "__main__":
    run_command(main)
