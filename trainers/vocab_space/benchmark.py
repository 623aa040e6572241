"""Architectures beside each other: the same data, budget and seeds for all.

    python -m trainers.vocab_space.benchmark --versions v8_graph,v2_conv --minutes 10
    python -m trainers.vocab_space.benchmark --iterations 60

`--minutes` gives every run the same training time, as was published: the steps that fit are found
by timing a few on this machine, so that a run's configuration says how many they were; such runs
follow one another, as they were timed. `--iterations` gives every run the same steps, and each
core a run. Other fields are taken from the environment, as `trainers.vocab_space.train` takes
them. Runs are in the ledger and never repeated.
"""

from __future__ import annotations

import json as json_text
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Column, Table

from scripts.causal.campaign.executor import open_executor
from scripts.causal.campaign.ledger import Ledger
from scripts.causal.campaign.schema import ArmRun
from scripts.causal.cli import progress_bar, run_command
from scripts.causal.files import InputError, atomic_path, write_json
from trainers.api import Config, RunSpec
from trainers.batches import Batches
from trainers.data import open_dataset
from trainers.engine import StepSettings
from trainers.vocab_space.command import (
    DEFAULT_LEDGER,
    DataOption,
    LedgerOption,
    WorkersOption,
    opened,
)
from trainers.vocab_space.config import from_environment, vocab_config
from trainers.vocab_space.model import initial_weights
from trainers.vocab_space.train import ended, run, spec_of
from trainers.vocab_space.trainer import VocabSpaceTrainer
from trainers.vocab_space.versions import VERSIONS

PACED_STEPS = 3
SHARE_OF_TIME = 0.9  # validation along the way and slower moments take the rest


def fitting_iterations(
    trainer: VocabSpaceTrainer, config: Config, data: str, backend: str, minutes: float
) -> int:
    """Steps that fit into so many minutes of training on this machine, by timing a few."""
    wanted = vocab_config(config)
    engine = trainer.engine(wanted, backend)
    engine.load(initial_weights(wanted, seed=0))
    tokens = open_dataset(Path(data)).train_tokens()
    batches = Batches(tokens, wanted.train_seq_len, wanted.train_batch_tokens, 0)
    paces = []
    for step in range(PACED_STEPS + 1):
        started = time.perf_counter()
        engine.step(batches.batch(step), StepSettings(0.0, 0.0))
        paces.append(time.perf_counter() - started)
    return max(1, math.floor(60 * minutes * SHARE_OF_TIME / min(paces[1:])))


def row_of(version: str, arms: Sequence[ArmRun]) -> dict[str, Any]:
    """One line of the table: means over seeds, and how every run ended."""
    done = [arm.metrics for arm in arms if arm.failure is None]
    row: dict[str, Any] = {
        "version": version,
        "status": sorted({ended(arm) for arm in arms}),
        "runs": [arm.key for arm in arms],
        "failures": [arm.failure for arm in arms if arm.failure],
    }
    if done:
        for name in ("parameters", "val_loss", "val_bpb", "artifact_bytes"):
            row[name] = fmean(metrics[name] for metrics in done)
        row["tokens_per_second"] = fmean(
            metrics["tokens"] / metrics["seconds"] for metrics in done
        )
        row["steps"] = [len(arm.curves["step"]) for arm in arms if arm.curves]
    return row


def draw(arms: dict[str, Sequence[ArmRun]]) -> Figure:
    """Validation bpb against training tokens, a line for each run."""
    figure = Figure(figsize=(9, 6))
    axes = figure.subplots()
    for number, (version, runs) in enumerate(arms.items()):
        for arm in runs:
            if arm.curves:
                axes.plot(
                    arm.curves["val_tokens"],
                    arm.curves["val_bpb"],
                    color=f"C{number % 10}",
                    linestyle=("-", "--")[number // 10 % 2],
                    label=version if arm is runs[0] else None,
                )
    axes.set(xlabel="training tokens", ylabel="validation bits per byte", xscale="log")
    axes.legend(fontsize=8, ncols=2)
    return figure


def compare(
    versions: Sequence[str],
    seeds: Sequence[int],
    *,
    scale: str,
    changes: Config,
    minutes: float | None,
    data: str,
    ledger: Ledger,
    quiet: bool,
    workers: int | None = None,
) -> dict[str, list[ArmRun]]:
    """The runs of every version on every seed, from the ledger or computed.

    Args:
        workers: runs computed at once, 0 for one in this process; None for one a core, or with
            `minutes` one after another.
    """
    trainer = VocabSpaceTrainer()
    backend = trainer.backends()[0]
    specs: dict[str, list[RunSpec]] = {}
    for version in versions:
        fields = {**changes, "architecture": version}
        if minutes is not None:
            config = trainer.resolve(scale, fields)
            asked = f"pace of {version} {json_text.dumps(config, sort_keys=True)} {minutes}"
            steps = ledger.recall(asked)
            if not isinstance(steps, int):
                steps = fitting_iterations(trainer, config, data, backend, minutes)
                ledger.remember(asked, steps)
            fields["iterations"] = steps
        specs[version] = [spec_of(trainer, scale, fields, seed, data, backend) for seed in seeds]
    at_once = 0 if workers is None and minutes is not None else workers
    every = [spec for each in specs.values() for spec in each]
    with (
        open_executor(trainer, ledger, backend, at_once) as executor,
        progress_bar("runs", quiet=quiet) as show,
    ):
        done = dict.fromkeys((executor.submit(spec) for spec in every), 0.0)

        def tell(key: str, fraction: float) -> None:
            done[key] = fraction
            show(fmean(done.values()))

        missing = set(done)
        while missing:
            missing -= set(executor.poll(tell))
    return {
        version: [run(trainer, spec, ledger, version, quiet) for spec in each]
        for version, each in specs.items()
    }


def main(
    versions: Annotated[str, typer.Option(help="comma-separated; all by default")] = "",
    minutes: Annotated[
        float | None, typer.Option(help="training time of every run", min=0.01)
    ] = None,
    iterations: Annotated[int | None, typer.Option(help="steps of every run", min=1)] = None,
    seeds: Annotated[str, typer.Option(help="comma-separated")] = "42",
    scale: Annotated[str, typer.Option(help="reduction to run at")] = "fast",
    data: DataOption = None,
    output: Annotated[Path, typer.Option(help="folder for table and plot")] = Path(
        "results/vocab_space"
    ),
    ledger: LedgerOption = DEFAULT_LEDGER,
    workers: WorkersOption = None,
    quiet: Annotated[bool, typer.Option(help="show no progress and no table")] = False,
    json: Annotated[bool, typer.Option(help="print the table as JSON")] = False,
) -> None:
    """Train architectures under one budget; a table, a plot, and the ledger behind them."""
    if minutes is not None and iterations is not None:
        raise InputError("give --minutes or --iterations, not both")
    chosen = [name for name in versions.split(",") if name] or list(VERSIONS)
    if unknown := [name for name in chosen if name not in VERSIONS]:
        raise InputError(
            f"no version {unknown[0]!r}", where="--versions", mend=", ".join(VERSIONS)
        )
    try:
        numbers = [int(seed) for seed in seeds.split(",")]
    except ValueError as error:
        raise InputError(f"seeds are whole numbers, got {seeds!r}", where="--seeds") from error
    with opened(data, ledger, quiet) as (folder, store):
        arms = compare(
            chosen,
            numbers,
            scale=scale,
            changes=from_environment(os.environ)
            | ({} if iterations is None else {"iterations": iterations}),
            minutes=minutes,
            data=folder,
            ledger=store,
            quiet=quiet,
            workers=workers,
        )
    rows = sorted(
        (row_of(version, runs) for version, runs in arms.items()),
        key=lambda row: row.get("val_bpb", math.inf),
    )
    write_json(output / "benchmark.json", rows)
    with atomic_path(output / "benchmark.png") as temporary:
        draw(dict(arms)).savefig(temporary, format="png", dpi=120)
    if json:
        print(json_text.dumps(rows))
    elif not quiet:
        _show(rows)


def _show(rows: Sequence[dict[str, Any]]) -> None:
    names = Column("version", no_wrap=True, min_width=max(len(row["version"]) for row in rows))
    table = Table(names, "parameters", "steps", "val loss", "bpb", "tok/s", "status")
    for row in rows:
        if "val_bpb" not in row:
            table.add_row(row["version"], *["—"] * 5, "; ".join(row["failures"]) or "failed")
            continue
        table.add_row(
            row["version"],
            f"{row['parameters']:,.0f}",
            "/".join(str(steps) for steps in dict.fromkeys(row["steps"])),
            f"{row['val_loss']:.4f}",
            f"{row['val_bpb']:.4f}",
            f"{row['tokens_per_second']:,.0f}",
            ", ".join(row["status"]),
        )
    Console().print(table)


if __name__ == "__main__":
    run_command(main)
