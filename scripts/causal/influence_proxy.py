"""Does it matter which shard is trained on? Gradients of shards against that of validation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from matplotlib.figure import Figure

from scripts.causal.cli import progress_bar, run_command
from scripts.causal.diagnostics import command
from scripts.causal.diagnostics.bars import Bar, Panel, bar_figure
from scripts.causal.diagnostics.influence import (
    ShardScore,
    Spread,
    mean_gradient,
    score_shards,
    shards_of,
    spread,
    what_follows,
)
from scripts.causal.diagnostics.subject import ModelFacts, Subject
from scripts.causal.files import InputError
from scripts.causal.forms import Record
from trainers.engine import Weights
from trainers.workbench import Workbench

SHARDS, BATCHES, BATCH_TOKENS = 16, 8, 8192
TARGET_TOKENS = 131072  # of validation, evenly spread over it
SHOWN = 24  # shards in the plot


class Influence(Record):
    """``influence.json``: the score of each training shard, and what their spread means.

    Attributes:
        batches, batch_tokens: drawn from each shard, and targets in each (the most).
        validation_tokens: targets that the validation gradient is of.
        draw: seed of the drawing.
        shards: in the order of the data.
        follows: what the spread means, in words.
    """

    schema_version: Literal[1] = 1
    model: ModelFacts
    batches: int
    batch_tokens: int
    validation_tokens: int
    draw: int
    shards: tuple[ShardScore, ...]
    spread: Spread
    follows: str


def influence(
    subject: Subject,
    *,
    shards: int = SHARDS,
    batches: int = BATCHES,
    batch_tokens: int = BATCH_TOKENS,
    draw: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Influence:
    """Score training shards by the inner product of their gradient with that of validation.

    Args:
        subject: the checkpoint, at which all gradients are taken.
        shards: at least so many; fewer training files are cut into even stretches.
        batches: drawn from each shard.
        batch_tokens: targets in each.
        draw: seed of the drawing.
        progress: called with the fraction done.

    Raises:
        InputError: fewer than 2 shards or batches, or as `Subject.open`.
    """
    if min(shards, batches) < 2:
        raise InputError(
            f"it takes at least 2 shards and 2 batches, but got {shards=}, {batches=}"
        )
    bench, weights = subject.open()
    time = bench.validation.seq_len
    found = [
        shard
        for shard in shards_of(bench.data, shards, time)
        if (len(shard.tokens) - 1) // time >= batches
    ]
    if len(found) < 2:
        raise InputError(
            f"the training text gives fewer than 2 shards of {batches} windows of {time}",
            where=subject.spec.data,
            mend="ask for fewer shards or batches",
        )
    target, targets = _validation_gradient(bench)
    sequences = max(1, batch_tokens // time)
    scores, each = score_shards(
        bench.engine,
        target,
        found,
        batches=batches,
        sequences=sequences,
        seq_len=time,
        seed=draw,
        progress=progress,
    )
    total = spread(scores)
    return Influence(
        model=subject.facts(bench, weights),
        batches=batches,
        batch_tokens=sequences * time,
        validation_tokens=targets,
        draw=draw,
        shards=each,
        spread=total,
        follows=what_follows(total),
    )


def _validation_gradient(bench: Workbench) -> tuple[Weights, int]:
    """Gradient of the mean loss of sequences spread evenly over validation, and their targets."""
    time, tokens = bench.validation.seq_len, bench.validation.tokens
    total = (len(tokens) - 1) // time
    chosen = np.unique(np.linspace(0, total - 1, min(total, TARGET_TOKENS // time)).astype(int))
    rows = tokens[chosen[:, None] * time + np.arange(time + 1)].astype(np.int64)
    return mean_gradient(bench.engine, rows), rows[:, 1:].size


def draw_shards(report: Influence) -> Figure:
    """The shards from the highest score to the lowest, with their standard errors."""
    order = sorted(report.shards, key=lambda shard: -shard.score)
    if len(order) > SHOWN:
        order = [*order[: SHOWN // 2], *order[-SHOWN // 2 :]]
    rows = tuple(
        Bar(
            f"{Path(shard.file).stem.rpartition('_')[2]} @{shard.start:,}",
            shard.score,
            f"cos {shard.cosine:.2f}",
            shard.error,
        )
        for shard in order
    )
    axis = "gradient · validation gradient; bars: standard error"
    return bar_figure([Panel("training shards", axis, rows)])


def main(
    output: command.Output,
    run: command.Run = None,
    ledger: command.Ledger = command.DEFAULT_LEDGER,
    checkpoint: command.Checkpoint = None,
    config: command.Config = None,
    data: command.Data = None,
    backend: command.Backend = None,
    shards: Annotated[int, typer.Option(help="at least so many; files are cut")] = SHARDS,
    batches: Annotated[int, typer.Option(help="batches drawn from each shard")] = BATCHES,
    batch_tokens: Annotated[int, typer.Option(min=1, help="tokens of a batch")] = BATCH_TOKENS,
    draw: Annotated[int, typer.Option(help="seed of the drawing")] = 0,
    quiet: command.Quiet = False,
    json: command.Json = False,
) -> None:
    """Tell whether training shards differ in what they do for validation, to first order."""
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
    with progress_bar("shards", quiet=quiet) as show:
        report = influence(
            subject,
            shards=shards,
            batches=batches,
            batch_tokens=batch_tokens,
            draw=draw,
            progress=show,
        )
    command.deliver(output, report, draw_shards(report), report.follows, quiet=quiet, json=json)


if __name__ == "__main__":
    run_command(main)
