"""What the ledger has of the runs that a submission is made of: its facts, logs and source."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import packages_distributions, version
from pathlib import Path
from statistics import fmean

from interventions.catalog import Intervention, catalog_of
from scripts.causal.campaign.chosen import Recorded
from scripts.causal.campaign.ledger import Ledger
from scripts.causal.campaign.states import StageRow
from scripts.causal.files import InputError, canonical_json
from scripts.causal.submission.bundle import bundle
from scripts.causal.submission.claims import Claims, Score
from scripts.causal.submission.compact import imports_of
from scripts.causal.submission.facts import (
    Effect,
    ListedFile,
    SeedScore,
    Step,
    SubmissionJson,
    TrainingLog,
    Value,
)
from scripts.causal.submission.folder import PROGRAM
from trainers.api import RunSpec, Trainer, load_trainer

TRACK = "non_record_16mb"  # a run at a reduced scale is never a record
BASELINE = "openai/parameter-golf, record 2026-03-17_NaiveBaseline"


@dataclass(frozen=True)
class Submitted:
    """A configuration's runs as the ledger has them, the first of which ships its model.

    Attributes:
        rows: seed → the run's last stage.
        artifact: the model's file among the ledger's.
        artifact_name: what it is called.
        source: the program, for people to read.
        same_code: whether its modules are, to the letter, those that the runs were recorded with.
    """

    recorded: Recorded
    rows: Mapping[int, StageRow]
    artifact: Path
    artifact_name: str
    source: str
    same_code: bool

    @property
    def first(self) -> StageRow:
        """The run whose model ships: the first seed's, since picking the best is selection."""
        return next(iter(self.rows.values()))

    @property
    def configuration(self) -> dict[str, Value]:
        """Every field of the runs' configuration."""
        return dict(self.first.spec["config"])

    @property
    def date(self) -> str:
        """The day on which the first run was finished, in UTC."""
        return datetime.fromtimestamp(self.first.finished or self.first.started, UTC).strftime(
            "%Y-%m-%d"
        )

    @property
    def scores(self) -> dict[int, SeedScore]:
        """Seed → what was recorded."""
        return {
            seed: SeedScore(
                val_bpb=run.metrics["val_bpb"],
                val_loss=run.metrics["val_loss"],
                pre_quant_bpb=run.metrics["pre_quant_bpb"],
                artifact_bytes=round(run.metrics["artifact_bytes"]),
                train_seconds=run.metrics["seconds"],
            )
            for seed, run in self.recorded.runs.items()
        }

    def claims(self) -> Claims:
        """The ledger as one more document, for the others to agree with."""
        scores = self.scores
        return Claims(
            "ledger",
            bpb=fmean(one.val_bpb for one in scores.values()),
            loss=fmean(one.val_loss for one in scores.values()),
            seeds={
                seed: Score(one.val_bpb, one.val_loss, one.artifact_bytes)
                for seed, one in scores.items()
            },
            model=self.artifact.stat().st_size,
        )

    def packages(self) -> dict[str, str]:
        """What the program imports besides the standard library → version installed here."""
        names = (imports_of(self.source) or set()) - sys.stdlib_module_names
        installed = packages_distributions()
        found = sorted({installed[name][0] for name in names if name in installed})
        return {name: version(name).partition("+")[0] for name in found}

    def log(self, seed: int) -> TrainingLog:
        """One seed's training log."""
        row, run = self.rows[seed], self.recorded.runs[seed]
        header = {
            "machine": self.recorded.platform.machine,
            "python": platform.python_version(),
            **self.packages(),
        }
        if not self.same_code:  # what is installed now is not what the run used
            header = {
                "machine": self.recorded.platform.machine,
                "code": "changed since this run: its versions are in its key alone",
            }
        header |= {
            "backend": self.recorded.platform.backend,
            "seed": str(row.spec["seed"]),
            "config": canonical_json(row.spec["config"]),
            "run": row.key,
        }
        return TrainingLog(seed, header, run.curves, self.scores[seed])


def submitted(recorded: Recorded, ledger: Ledger, *, title: str) -> Submitted:
    """Look the runs up and join their modules to one program.

    Raises:
        InputError: the ledger has not got a run or its model, or the trainer's runs are no
            modules of this project.
    """
    rows = {seed: _row(ledger, run.key) for seed, run in recorded.runs.items()}
    first = next(iter(rows.values()))
    spec = RunSpec(**first.spec)
    trainer = load_trainer(spec.trainer)
    modules = trainer.source_modules(spec.backend)
    if not modules:
        raise InputError(
            f"runs of {spec.trainer} are not assembled here",
            mend="it has no modules to join to a program; a script is one already: see it with "
            "--check",
        )
    name = trainer.artifact_file(spec.config)
    artifact = ledger.folder(first.parent or "") / name
    if not artifact.is_file():
        raise InputError(
            "the model of this run is gone", where=artifact, mend="run the contrast again"
        )
    embedded = {field: first.spec[field] for field in ("backend", "scale", "config", "seed")}
    source = bundle(modules, title=title, constants={"RUN": embedded}, entry="main(run=RUN)")
    return Submitted(recorded, rows, artifact, name, source, _same_code(trainer, rows))


def describe(
    runs: Submitted,
    files: Mapping[str, ListedFile],
    effects: Sequence[Effect],
    *,
    name: str,
    author: str,
    github_id: str,
) -> SubmissionJson:
    """Everything that submission.json says.

    Args:
        files: what lies in the folder so far.
        effects: the confirmed ones of the campaign.
    """
    scores, where = runs.scores, runs.recorded.platform
    code, model = files[PROGRAM].size, files[runs.artifact_name].size
    return SubmissionJson(
        author=author,
        github_id=github_id,
        name=name,
        blurb=f"{runs.recorded.label} at scale {where.scale}, {len(scores)} seeds",
        date=runs.date,
        track=TRACK,
        val_loss=fmean(one.val_loss for one in scores.values()),
        val_bpb=fmean(one.val_bpb for one in scores.values()),
        bytes_total=code + model,
        bytes_code=code,
        bytes_model=model,
        seeds=tuple(scores),
        seed_results=scores,
        record=False,
        backend=where.backend,
        scale=where.scale,
        machine=where.machine,
        configuration=runs.configuration,
        files=dict(files),
        same_code=runs.same_code,
        packages=runs.packages(),
        lineage=_lineage(runs, catalog_of(where.trainer)),
        effects=tuple(effects),
    )


def _lineage(runs: Submitted, catalog: Mapping[str, Intervention]) -> tuple[Step, ...]:
    """From the baseline to what is submitted: what else was changed, and the treatment last."""
    recorded, spec = runs.recorded, RunSpec(**runs.first.spec)
    plain = load_trainer(spec.trainer).resolve(spec.scale, {})
    others = {
        field: value
        for field, value in spec.config.items()
        if plain.get(field) != value and field not in recorded.changes
    }
    steps = [Step(name=f"the baseline at scale {spec.scale}", sources=(BASELINE,))]
    if others:
        steps.append(Step(name="the campaign's control", changes=others))
    if recorded.changes:
        known = [catalog[part] for part in recorded.id.split("+") if part in catalog]
        sources = dict.fromkeys(claim.source for one in known for claim in one.claims)
        steps.append(Step(name=recorded.label, changes=recorded.changes, sources=tuple(sources)))
    return tuple(steps)


def _row(ledger: Ledger, key: str) -> StageRow:
    row = ledger.get(key)
    if row is None:
        raise InputError(f"the ledger has no run {key}", where=ledger.url)
    return row


def _same_code(trainer: Trainer, rows: Mapping[int, StageRow]) -> bool:
    """A run's key is a hash of its modules' text too: the same key, the same text."""
    return all(trainer.stages(RunSpec(**row.spec))[-1].key == row.key for row in rows.values())
