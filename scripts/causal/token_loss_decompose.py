"""A checkpoint's validation loss in parts: by frequency, by word boundary, by position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from matplotlib.figure import Figure

from scripts.causal.cli import progress_bar, run_command
from scripts.causal.diagnostics import command
from scripts.causal.diagnostics.bars import Bar, Panel, bar_figure
from scripts.causal.diagnostics.loss_parts import (
    Breakdown,
    by_frequency,
    by_position,
    by_word,
    decompose,
    token_counts,
)
from scripts.causal.diagnostics.subject import ModelFacts, Subject
from scripts.causal.forms import Record


class TokenLosses(Record):
    """``token_losses.json``: the loss before quantization, in parts that add up to it.

    Attributes:
        bpb, loss: of all targets, bits per byte of text and nats per token.
        recorded_bpb: what the run itself had measured, where the ledger has it.
        targets, bytes: how many, and of how much text.
    """

    schema_version: Literal[1] = 1
    model: ModelFacts
    bpb: float
    loss: float
    recorded_bpb: float | None
    targets: int
    bytes: int
    breakdowns: tuple[Breakdown, ...]


def token_losses(subject: Subject, progress: Callable[[float], None] | None = None) -> TokenLosses:
    """Split the loss on all of validation, in sequences side by side.

    Raises:
        InputError: as `Subject.open`.
    """
    bench, weights = subject.open()
    counts = token_counts(bench.data.train_tokens(), bench.data.vocab_size)
    groupings = (
        by_frequency(counts),
        by_word(bench.validation.table),
        by_position(bench.validation.seq_len),
    )
    whole, breakdowns = decompose(bench.engine, bench.validation, groupings, progress)
    return TokenLosses(
        model=subject.facts(bench, weights),
        bpb=whole.score().bpb,
        loss=whole.score().loss,
        recorded_bpb=subject.metrics.get("pre_quant_bpb"),
        targets=whole.targets,
        bytes=whole.byte_count,
        breakdowns=breakdowns,
    )


def in_words(report: TokenLosses) -> str:
    """The parts as lines for people."""
    lines = [f"{report.bpb:.5f} bpb, {report.loss:.4f} nats per token"]
    if report.recorded_bpb is not None:
        lines[0] += f" (the run recorded {report.recorded_bpb:.5f} bpb)"
    for breakdown in report.breakdowns:
        lines.append(f"by {breakdown.by}: part of the bpb, of the tokens, nats per token")
        lines += [
            f"  {part.label:>16}  {part.bpb:.5f}  {part.targets / report.targets:6.1%}"
            f"  {part.nats_per_target:6.3f}"
            for part in breakdown.parts
        ]
    return "\n".join(lines)


def draw(report: TokenLosses) -> Figure:
    """Each way of splitting as a panel; behind each bar the nats per token."""
    titles = {"frequency": "per million training tokens", "word": "target", "position": "context"}
    panels = [
        Panel(
            title=f"by {breakdown.by}: {titles[breakdown.by]}",
            axis="part of the validation bpb; behind it nats per token",
            bars=tuple(
                Bar(part.label, part.bpb, f"{part.nats_per_target:.2f}")
                for part in breakdown.parts
            ),
        )
        for breakdown in report.breakdowns
    ]
    return bar_figure(panels)


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
    """Split a checkpoint's validation loss by token frequency, word boundary and position."""
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
    with progress_bar("validation", quiet=quiet) as show:
        report = token_losses(subject, show)
    command.deliver(output, report, draw(report), in_words(report), quiet=quiet, json=json)


if __name__ == "__main__":
    run_command(main)
