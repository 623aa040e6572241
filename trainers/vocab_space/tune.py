"""The table of learning rates computed anew (`trainers.vocab_space.rates` has the rule).

    python -m trainers.vocab_space.tune

Runs are in the ledger and never repeated, so what was interrupted goes on. The table is data of
the family: the file written is copied over `rates.toml`, which changes the keys of every run that
takes its rate from there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from statistics import fmean
from typing import Annotated

import typer

from scripts.causal.campaign.ledger import Ledger
from scripts.causal.campaign.schema import ArmRun
from scripts.causal.cli import run_command
from scripts.causal.files import write_text
from trainers.api import Config
from trainers.vocab_space.benchmark import compare
from trainers.vocab_space.command import (
    DEFAULT_LEDGER,
    DataOption,
    LedgerOption,
    WorkersOption,
    opened,
)
from trainers.vocab_space.config import OWN
from trainers.vocab_space.rates import COMPARED, GRID, MIXED, SCALE, SEEDS, best_rate, name_of
from trainers.vocab_space.versions import VERSIONS


def losses_on_grid(
    data: str, ledger: Ledger, quiet: bool, workers: int | None
) -> dict[str, list[float]]:
    """Validation loss in nats of every architecture at every rate, the mean over its seeds."""
    found: dict[str, list[float]] = {}

    def measure(versions: Sequence[str], seeds: Sequence[int], rate: float, mixing: str) -> None:
        changes: Config = {"learning_rate": rate, "mixing": mixing}
        runs = compare(
            versions,
            seeds,
            scale=SCALE,
            changes=changes,
            minutes=None,
            data=data,
            ledger=ledger,
            quiet=quiet,
            workers=workers,
        )
        for version, arms in runs.items():
            line = version if mixing == OWN else name_of(version, mixing)
            found.setdefault(line, []).append(fmean(_loss(arm) for arm in arms))

    for rate in GRID:
        measure(COMPARED, SEEDS, rate, OWN)
        for architecture, mixing in MIXED:
            measure([architecture], SEEDS, rate, mixing)
    for rate in GRID:
        measure([each for each in VERSIONS if each not in COMPARED], SEEDS[:1], rate, OWN)
    return found


def as_toml(losses: Mapping[str, Sequence[float]], day: date) -> str:
    """The table as `rates.toml` has it."""
    lines = [
        "# Learning rates by the rule in rates.py, written by trainers/vocab_space/tune.py:",
        "# val_loss is in nats, the mean over its seeds, at each rate of the grid.",
        f"date = {day.isoformat()}",
        f'scale = "{SCALE}"',
        f"grid = {list(GRID)}",
        f"seeds = {list(SEEDS)}",
        "",
        "[measured]",
    ]
    for name, each in losses.items():
        told = ", ".join(f"{loss:.4f}" for loss in each)
        lines.append(f'"{name}" = {{ rate = {best_rate(each)}, val_loss = [{told}] }}')
    return "\n".join(lines) + "\n"


def _loss(arm: ArmRun) -> float:
    return math.inf if arm.failure is not None else arm.metrics["val_loss"]


def main(
    data: DataOption = None,
    output: Annotated[Path, typer.Option(help="where the table goes")] = Path(
        "results/vocab_space/rates.toml"
    ),
    ledger: LedgerOption = DEFAULT_LEDGER,
    workers: WorkersOption = None,
    quiet: Annotated[bool, typer.Option(help="show no progress and no table")] = False,
) -> None:
    """Measure the learning rate of every architecture and write the table."""
    with opened(data, ledger, quiet) as (folder, store):
        losses = losses_on_grid(folder, store, quiet, workers)
    table = as_toml(losses, date.today())
    write_text(output, table)
    if not quiet:
        print(table, end="")


if __name__ == "__main__":
    run_command(main)
