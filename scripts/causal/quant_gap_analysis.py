"""What quantization costs a checkpoint, by tensor and by quantizer, beside what training gave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer
from matplotlib.figure import Figure

from scripts.causal.campaign.schema import AblationResults
from scripts.causal.cli import progress_bar, run_command
from scripts.causal.diagnostics import command
from scripts.causal.diagnostics.bars import Bar, Panel, bar_figure
from scripts.causal.diagnostics.quant_gap import QuantizerGap, quantizer_gap, sequence_losses
from scripts.causal.diagnostics.quantizers import chosen_quantizers, stored
from scripts.causal.diagnostics.subject import ModelFacts, Subject
from scripts.causal.files import InputError
from scripts.causal.forms import Record, parse_file
from scripts.causal.reporting import words
from trainers.api import RunFailed

SHOWN = 12  # tensors of one quantizer, in the summary and in the plot
PANELS = 3  # quantizers whose tensors the plot shows


class TrainingEffect(Record):
    """The largest effect on training that a campaign has confirmed, in bpb."""

    contrast: str
    label: str
    effect: float


class QuantGaps(Record):
    """``quant_gaps.json``: every quantizer on one checkpoint.

    Attributes:
        bpb: of the exact weights.
        targets: validation tokens that all of it was measured on.
        effect: of the campaign named; None where it has confirmed none, or none was named.
        campaign: its folder.
        passed_over: quantizers that this checkpoint cannot be stored with, and why.
    """

    schema_version: Literal[1] = 1
    model: ModelFacts
    bpb: float
    targets: int
    quantizers: tuple[QuantizerGap, ...]
    campaign: str | None
    effect: TrainingEffect | None
    passed_over: dict[str, str] = {}


def largest_training_effect(results: AblationResults) -> TrainingEffect | None:
    """The confirmed contrast that moved what training gives the most, up or down.

    Contrasts of averaging, quantization and evaluation change nothing in training.
    """
    found = [
        TrainingEffect(
            contrast=result.contrast.id,
            label=result.contrast.label,
            effect=result.stage_effects.training,
        )
        for result in results.results
        if result.verdict.startswith("confirmed")
        and result.contrast.stage == "train"
        and result.stage_effects is not None
    ]
    return max(found, key=lambda each: abs(each.effect), default=None)


def quant_gaps(
    subject: Subject,
    names: Sequence[str] = (),
    *,
    campaign: Path | None = None,
    max_tokens: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> QuantGaps:
    """Measure quantizers on a checkpoint.

    Args:
        subject: the checkpoint.
        names: of the quantizers, or ``field=value[,field=value]``; none for all.
        campaign: folder with the ablation_results.json to compare with.
        max_tokens: only so many validation tokens; None for all of them.
        progress: called with the fraction done.

    Raises:
        InputError: an unknown quantizer, none that fits, a campaign without results, or as
            `Subject.open`.
    """
    chosen = chosen_quantizers(list(names), subject.spec.config)
    effect = None
    if campaign is not None:
        results = parse_file(AblationResults, campaign / "ablation_results.json")
        effect = largest_training_effect(results)
    bench, weights = subject.open()
    validation = bench.validation
    if max_tokens is not None:
        sequences = max(1, max_tokens // validation.seq_len)
        validation = replace(validation, max_sequences=sequences)
    exact, gaps = sequence_losses(bench.engine, validation), list[QuantizerGap]()
    passed_over: dict[str, str] = {}

    def show(fraction: float) -> None:
        if progress is not None:
            progress((len(gaps) + len(passed_over) + fraction) / len(chosen))

    for name, changes in chosen.items():
        try:
            packed = stored(subject, bench, changes)
        except (InputError, RunFailed) as error:
            passed_over[name] = str(error)
            continue
        gaps.append(quantizer_gap(bench.engine, weights, validation, exact, name, packed, show))
    if not gaps:
        raise InputError(f"no quantizer fits: {next(iter(passed_over.values()))}")
    return QuantGaps(
        model=subject.facts(bench, weights),
        bpb=exact.bpb,
        targets=len(exact.nats) * validation.seq_len,
        quantizers=tuple(sorted(gaps, key=lambda each: each.gap)),
        campaign=None if campaign is None else str(campaign),
        effect=effect,
        passed_over=passed_over,
    )


def in_words(report: QuantGaps) -> str:
    """The gaps as lines for people."""
    lines = [f"{report.bpb:.5f} bpb before quantization, on {report.targets:,} tokens"]
    for gap in report.quantizers:
        lines.append(
            f"{gap.name}: {gap.gap:+.5f} ± {gap.error:.5f} bpb at {gap.bits_per_parameter:.2f} "
            f"bits per parameter; its tensors by themselves add up to {gap.sum_of_tensors:+.5f}"
            f"{_beside(gap, report.effect)}"
        )
        lines += [
            f"  {tensor.name:>28}  {tensor.gap:+.6f} ± {tensor.error:.6f}"
            f"  relative error {tensor.relative_error:.4f}"
            for tensor in gap.tensors[:SHOWN]
        ]
    lines += [f"{name} passed over: {reason}" for name, reason in report.passed_over.items()]
    if report.effect is not None:
        lines.append(
            f"largest confirmed training effect: {words.plain_text(report.effect.label, 80)}, "
            f"{report.effect.effect:+.5f} bpb"
        )
    elif report.campaign is not None:
        lines.append(f"{report.campaign} has confirmed no effect on training to compare with")
    return "\n".join(lines)


def _beside(gap: QuantizerGap, effect: TrainingEffect | None) -> str:
    if effect is None or not effect.effect:
        return ""
    return f"; {gap.gap / abs(effect.effect):.2f} of the largest confirmed training effect"


def draw(report: QuantGaps) -> Figure:
    """The quantizers beside the training effect, then the costliest tensors of the best."""
    rows = [
        Bar(gap.name, gap.gap, f"{gap.bits_per_parameter:.2f} bits", gap.error)
        for gap in report.quantizers
    ]
    if report.effect is not None:
        rows.append(Bar(report.effect.label, abs(report.effect.effect), "training"))
    axis = "bpb lost; bars: standard error over sequences"
    panels = [Panel("by quantizer", axis, tuple(rows))]
    panels += [
        Panel(
            f"{gap.name}, one tensor at a time",
            axis,
            tuple(
                Bar(tensor.name, tensor.gap, words.count(tensor.parameters), tensor.error)
                for tensor in gap.tensors[:SHOWN]
            ),
        )
        for gap in report.quantizers[:PANELS]
        if gap.tensors
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
    quantizer: Annotated[
        list[str] | None,
        typer.Option(help="catalog id, own, or field=value[,field=value]; repeat for more"),
    ] = None,
    campaign: Annotated[
        Path | None, typer.Option(help="campaign whose largest confirmed effect to compare with")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="only so many validation tokens")
    ] = None,
    quiet: command.Quiet = False,
    json: command.Json = False,
) -> None:
    """Measure what quantization costs a checkpoint, tensor by tensor and by quantizer."""
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
    with progress_bar("quantizers", quiet=quiet) as show:
        report = quant_gaps(
            subject, quantizer or (), campaign=campaign, max_tokens=tokens, progress=show
        )
    command.deliver(output, report, draw(report), in_words(report), quiet=quiet, json=json)


if __name__ == "__main__":
    run_command(main)
