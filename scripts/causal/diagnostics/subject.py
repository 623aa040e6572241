"""The trained model that a diagnostic looks at: a run of the ledger, or a checkpoint's file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.campaign.schema import Value
from scripts.causal.files import InputError
from scripts.causal.forms import Record, parse_file
from trainers.api import RunSpec, Trainer, load_trainer
from trainers.engine import Weights
from trainers.workbench import WEIGHTS_FILE, Workbench, read_checkpoint


class RunFile(Record):
    """``run.json``: what trained a checkpoint, as `trainers.gpt.main` takes it."""

    trainer: str = "gpt"
    backend: str
    scale: str = ""
    config: dict[str, Value]
    seed: int = 0


class ModelFacts(Record):
    """Which model a diagnostic is about.

    Attributes:
        run: key of the stage that left the weights, where they are a ledger's.
        seed, backend: of this look; the weights may come from another backend.
        data: folder of the data set, with its fingerprint.
        weights: the checkpoint's file and its SHA-256.
    """

    trainer: str
    run: str | None
    scale: str
    seed: int
    backend: str
    data: str
    fingerprint: str
    weights: str
    sha256: str
    parameters: int


@dataclass(frozen=True)
class Subject:
    """A run and the weights it left, before its quantization.

    Attributes:
        spec: the run, on the backend and the data that it is to be looked at with.
        path: the checkpoint.
        run: key of the stage that left it; None for a checkpoint by its file.
        metrics, curves: what the ledger has of the stages up to this one.
    """

    spec: RunSpec
    path: Path
    run: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, list[float]] = field(default_factory=dict)

    @cached_property
    def trainer(self) -> Trainer:
        """The trainer of the run, with its warm engines."""
        return load_trainer(self.spec.trainer)

    def on(self, backend: str | None, data: Path | None) -> Subject:
        """The same model on another backend or data set; None leaves it where it was."""
        spec = self.spec
        backend, folder = backend or spec.backend, str(data) if data else spec.data
        return replace(self, spec=replace(spec, backend=backend, data=folder))

    def open(self) -> tuple[Workbench, Weights]:
        """The run's parts, its engine holding the weights, and the weights.

        Raises:
            InputError: the checkpoint is missing, damaged or of another model, the data does not
                fit, or the backend is not on this machine.
        """
        weights = read_checkpoint(self.path)
        bench = self.trainer.workbench(self.spec)
        try:
            bench.engine.load(weights)
        except InputError as error:
            raise InputError(
                error.what, where=self.path, mend="is it a checkpoint of this run?"
            ) from error
        return bench, weights

    def facts(self, bench: Workbench, weights: Weights) -> ModelFacts:
        """What a report says about the model."""
        with self.path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return ModelFacts(
            trainer=self.spec.trainer,
            run=self.run,
            scale=self.spec.scale,
            seed=self.spec.seed,
            backend=self.spec.backend,
            data=self.spec.data,
            fingerprint=bench.data.fingerprint,
            weights=str(self.path),
            sha256=sha256,
            parameters=sum(values.size for values in weights.values()),
        )


def find_run(key: str, location: str) -> Subject:
    """The weights of a run, given the key of any of its stages.

    Args:
        key: as raw_runs.json has it.
        location: path or database URL of the ledger.

    Raises:
        InputError: there is no such ledger or run, or it left no weights.
    """
    if "://" not in location and not Path(location).is_file():
        raise InputError("no such ledger", where=location)
    ledger = open_ledger(location)
    try:
        rows = []
        parent: str | None = key
        while parent is not None:
            row = ledger.get(parent)
            if row is None:
                raise InputError(
                    f"the ledger has no run {parent}",
                    where=location,
                    mend="keys stand in raw_runs.json",
                )
            rows.append(row)
            parent = row.parent
        metrics: dict[str, float] = {}
        curves: dict[str, list[float]] = {}
        found: Subject | None = None
        for row in reversed(rows):
            if row.result is not None:
                metrics |= row.result.metrics
                curves |= row.result.curves
            if (path := ledger.folder(row.key) / WEIGHTS_FILE).is_file():
                spec = RunSpec(**row.spec)
                found = Subject(spec, path, row.key, dict(metrics), dict(curves))
    finally:
        ledger.close()
    if found is None:
        raise InputError(
            f"run {key} left no {WEIGHTS_FILE}, or it was deleted",
            where=ledger.artifacts,
            mend="run the contrast again",
        )
    return found


def given_checkpoint(checkpoint: Path, config: Path, data: str) -> Subject:
    """A checkpoint by its file, with the run that trained it as ``run.json``.

    Raises:
        InputError: the file of the run breaks its form.
    """
    run = parse_file(RunFile, config)
    spec = RunSpec(run.trainer, run.backend, run.scale, run.config, run.seed, data)
    return Subject(spec, checkpoint)
