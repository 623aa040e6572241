"""What the diagnostic commands share: the options that name a model, and what they leave."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from matplotlib.figure import Figure

from scripts.causal.cli import progress_bar, require_writable
from scripts.causal.diagnostics.subject import Subject, find_run, given_checkpoint
from scripts.causal.files import InputError, write_text
from scripts.causal.forms import Record, write_file
from scripts.causal.reporting.svg import standalone
from trainers.api import load_trainer

DEFAULT_LEDGER = "results/causal/ledger.sqlite"

Output = Annotated[Path, typer.Option(help="the report, NAME.json; the plot is NAME.svg")]
Run = Annotated[str | None, typer.Option(help="key of a run, as in raw_runs.json")]
Ledger = Annotated[str, typer.Option(help="with --run: path or database URL of its ledger")]
Checkpoint = Annotated[Path | None, typer.Option(help="or a checkpoint, *.safetensors")]
Config = Annotated[
    Path | None, typer.Option(help="with --checkpoint: run.json of backend, config and seed")
]
Data = Annotated[Path | None, typer.Option(help="data set, if not the run's own or the default")]
Backend = Annotated[str | None, typer.Option(help="backend, if not the run's own")]
Quiet = Annotated[bool, typer.Option(help="show no progress and no summary")]
Json = Annotated[bool, typer.Option(help="print the report as JSON too")]


def named_subject(
    *,
    run: str | None,
    ledger: str,
    checkpoint: Path | None,
    config: Path | None,
    data: Path | None,
    backend: str | None,
    quiet: bool,
) -> Subject:
    """The model that the options name.

    Raises:
        InputError: they name none or two, or it is not there.
    """
    if (run is None) == (checkpoint is None):
        raise InputError("give either --run or --checkpoint")
    if run is not None:
        return find_run(run, ledger).on(backend, data)
    if checkpoint is None or config is None:
        raise InputError("--checkpoint needs --config, the run that trained it")
    found = given_checkpoint(checkpoint, config, str(data or ""))
    if data is None:
        with progress_bar("data", quiet=quiet) as show:
            data = Path(load_trainer(found.spec.trainer).default_data(show))
    return found.on(backend, data)


def require_report(output: Path) -> None:
    """Refuse a place for the report before the work is done.

    Raises:
        InputError: it does not end in .json, or its folder cannot be written.
    """
    if output.suffix != ".json":
        raise InputError("must end in .json", where="--output")
    require_writable(output)


def deliver(
    output: Path, report: Record, drawing: Figure, words: str, *, quiet: bool, json: bool
) -> None:
    """Write the report and its plot, and print what they say."""
    write_file(output, report)
    write_text(output.with_suffix(".svg"), standalone(drawing))
    if json:
        print(report.model_dump_json())
    elif not quiet:
        print(words)
