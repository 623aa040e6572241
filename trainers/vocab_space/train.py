"""One run of a vocabulary-space model, and what its registers hold.

    MODEL_VERSION=v8_graph INTERACTION_RANK=64 python -m trainers.vocab_space.train --scale fast
    python -m trainers.vocab_space.train --inspect "once upon a time" --page registers.html

Every field can be set by an environment variable: its name in capitals, MODEL_VERSION for the
architecture. A program, not a part of the family: like every campaign it keeps its runs in the
ledger, so the same run again costs nothing.
"""

from __future__ import annotations

import json as json_text
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from safetensors.numpy import load_file

from scripts.causal.campaign.ledger import Ledger
from scripts.causal.campaign.owner import this_owner
from scripts.causal.campaign.run import run_chain
from scripts.causal.campaign.schema import ArmRun
from scripts.causal.cli import progress_bar, run_command
from scripts.causal.files import InputError, write_text
from trainers.api import Config, RunSpec
from trainers.data import open_dataset
from trainers.vocab_space.command import DEFAULT_LEDGER, DataOption, LedgerOption, opened
from trainers.vocab_space.config import from_environment, vocab_config
from trainers.vocab_space.registers import Reading, as_page, as_text, read_states, tokens_of
from trainers.vocab_space.status import Status, status_of
from trainers.vocab_space.trainer import VocabSpaceTrainer
from trainers.workbench import WEIGHTS_FILE


def run(
    trainer: VocabSpaceTrainer, spec: RunSpec, ledger: Ledger, label: str, quiet: bool
) -> ArmRun:
    """The run from the ledger, computed where it is missing."""
    with progress_bar(label, quiet=quiet) as show:
        return run_chain(trainer, spec, ledger, this_owner(), show)


def spec_of(
    trainer: VocabSpaceTrainer, scale: str, changes: Config, seed: int, data: str, backend: str
) -> RunSpec:
    """One run at a scale with these fields changed."""
    config = trainer.resolve(scale, changes)
    return RunSpec(trainer.name, backend, scale, config, seed, data)


def ended(arm: ArmRun) -> Status:
    """How the run ended (`trainers.vocab_space.status`)."""
    if arm.failure is not None:
        return "failed"
    return status_of(arm.curves["train_loss"], arm.curves["val_bpb"], arm.metrics["val_loss"])


def reading_of(
    trainer: VocabSpaceTrainer, spec: RunSpec, ledger: Ledger, text: str, top: int
) -> Reading:
    """What a trained model's registers hold while it reads a text.

    Raises:
        InputError: the text is empty or too long for the model.
    """
    config = vocab_config(spec.config)
    tokenizer = open_dataset(Path(spec.data)).tokenizer
    tokens = tokens_of(text, tokenizer, config.train_seq_len)
    engine = trainer.engine(config, spec.backend)
    engine.load(load_file(ledger.folder(trainer.stages(spec)[0].key) / WEIGHTS_FILE))
    return read_states(tokens, engine.states(tokens), tokenizer, top)


def main(
    scale: Annotated[str, typer.Option(help="reduction to run at")] = "fast",
    seed: Annotated[int, typer.Option(help="root of the run's random streams")] = 42,
    inspect: Annotated[
        str | None, typer.Option(help="text to read: the top words active, step by step")
    ] = None,
    position: Annotated[int, typer.Option(help="of the text's tokens, -1 for the last")] = -1,
    top: Annotated[int, typer.Option(help="words shown", min=1, max=100)] = 5,
    page: Annotated[Path | None, typer.Option(help="where to write the reading as HTML")] = None,
    data: DataOption = None,
    ledger: LedgerOption = DEFAULT_LEDGER,
    quiet: Annotated[bool, typer.Option(help="show no progress")] = False,
    json: Annotated[bool, typer.Option(help="print the run as JSON")] = False,
) -> None:
    """Train one model (fields from the environment), then show what its registers hold."""
    trainer = VocabSpaceTrainer()
    changes = from_environment(os.environ)
    with opened(data, ledger, quiet) as (folder, store):
        spec = spec_of(trainer, scale, changes, seed, folder, trainer.backends()[0])
        arm = run(trainer, spec, store, str(spec.config["architecture"]), quiet)
        if arm.failure is not None:
            raise InputError(f"the run failed: {arm.failure}")
        told: dict[str, Any] = {"key": arm.key, "status": ended(arm), "metrics": arm.metrics}
        print(json_text.dumps(told) if json else _line(told))
        if inspect is not None:
            reading = reading_of(trainer, spec, store, inspect, top)
            if not -len(reading.pieces) <= position < len(reading.pieces):
                raise InputError(f"the text has {len(reading.pieces)} tokens", where="--position")
            print(as_text(reading, position))
            if page is not None:
                write_text(page, as_page(reading, f"{spec.config['architecture']}: {inspect}"))


def _line(told: dict[str, Any]) -> str:
    numbers = told["metrics"]
    return (
        f"{told['key'][:12]}  {int(numbers['parameters']):,} parameters  "
        f"val_loss:{numbers['val_loss']:.4f} val_bpb:{numbers['val_bpb']:.4f}  "
        f"{int(numbers['artifact_bytes']):,} bytes  {told['status']}"
    )


if __name__ == "__main__":
    run_command(main)
