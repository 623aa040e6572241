"""Recorded runs → a competition submission that has been counted and evaluated where it lies.

Usage: python scripts/causal/submission_assembly.py --name NAME --results results/causal/CAMPAIGN
           --output FOLDER --author NAME
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Annotated

import typer

from scripts.causal.campaign.chosen import Recorded, choose_runs, load_results
from scripts.causal.campaign.ledger import Ledger, open_ledger
from scripts.causal.campaign.schema import ContrastResult
from scripts.causal.campaign.states import StageRow
from scripts.causal.cli import run_command
from scripts.causal.files import InputError, write_text
from scripts.causal.forms import write_file
from scripts.causal.submission.bundle import bundle
from scripts.causal.submission.documents import readme, training_log
from scripts.causal.submission.facts import Effect, SeedScore, SubmissionJson, TrainingLog
from scripts.causal.submission.referee import (
    MODEL,
    PROGRAM,
    ByteCount,
    RefereeError,
    compare,
    count_bytes,
    evaluate_alone,
)
from trainers.api import load_trainer
from trainers.data import open_dataset

TRACK = "non_record_16mb"  # a run at a reduced scale is never a record


@dataclass(frozen=True)
class Assembled:
    """A finished submission: where it lies, what it states, and what its own program measured."""

    folder: Path
    facts: SubmissionJson
    bytes: ByteCount
    recorded_bpb: float
    measured_bpb: float


def assemble(
    recorded: Recorded,
    effects: Sequence[Effect],
    ledger: Ledger,
    *,
    name: str,
    author: str,
    github_id: str,
    output: Path,
) -> Assembled:
    """Write the submission folder, count it, run its program, and only then give it its name.

    The model shipped is the first seed's, whatever its score: picking the best would be selection.

    Raises:
        InputError: a run's files are gone, or the folder cannot be written.
        RefereeError: over the cap, or the folder's own program does not reproduce the recorded
            bpb within 1e-6. Nothing is left at `output` then.
    """
    stages = {seed: _stage(ledger, run.key) for seed, run in recorded.runs.items()}
    seed, first = next(iter(stages.items()))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}."))
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=output) from error
    try:
        source = _write_program(draft, name, first)
        shutil.copyfile(_artifact(ledger, first), draft / MODEL)
        counted = count_bytes(draft)
        facts = _facts(recorded, first, counted, name, author, github_id)
        write_file(draft / "submission.json", facts)
        write_text(draft / "README.md", readme(facts, effects, recorded.changes))
        for number, score in facts.seed_results.items():
            log = TrainingLog(
                number, _header(recorded, stages[number]), _curves(recorded, number), score
            )
            write_text(draft / f"train_seed{number}.log", training_log(log, source))
        data = open_dataset(Path(first.spec["data"]))
        measured = evaluate_alone(draft, data=data.folder, tokenizer=data.tokenizer)
        compare(facts.seed_results[seed].val_bpb, measured)
        _take_name(draft, output)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Assembled(output, facts, counted, facts.seed_results[seed].val_bpb, measured)


def _stage(ledger: Ledger, key: str) -> StageRow:
    row = ledger.get(key)
    if row is None:
        raise InputError(f"the ledger has no run {key}", where=ledger.url)
    return row


def _artifact(ledger: Ledger, evaluated: StageRow) -> Path:
    path = ledger.folder(evaluated.parent or "") / MODEL
    if not path.is_file():
        raise InputError(
            "the model of this run is gone", where=path, mend="run the contrast again"
        )
    return path


def _write_program(folder: Path, name: str, row: StageRow) -> str:
    trainer = load_trainer(row.spec["trainer"])
    embedded = {field: row.spec[field] for field in ("backend", "scale", "config", "seed")}
    text = bundle(
        trainer.source_modules(row.spec["backend"]),
        title=f"{' '.join(name.split())}: model, training and evaluation in one file.".replace(
            '"', "'"
        ).replace("\\", "/"),
        constants={"RUN": embedded},
        entry="main(run=RUN)",
    )
    write_text(folder / PROGRAM, text)
    return text


def _facts(
    recorded: Recorded, row: StageRow, counted: ByteCount, name: str, author: str, github_id: str
) -> SubmissionJson:
    scores = {
        seed: SeedScore(
            val_bpb=run.metrics["val_bpb"],
            val_loss=run.metrics["val_loss"],
            pre_quant_bpb=run.metrics["pre_quant_bpb"],
            artifact_bytes=round(run.metrics["artifact_bytes"]),
            train_seconds=run.metrics["seconds"],
        )
        for seed, run in recorded.runs.items()
    }
    return SubmissionJson(
        author=author,
        github_id=github_id,
        name=name,
        blurb=f"{recorded.label} at scale {recorded.platform.scale}, {len(scores)} seeds",
        date=datetime.fromtimestamp(row.finished or row.started, UTC).date().isoformat(),
        track=TRACK,
        val_loss=fmean(score.val_loss for score in scores.values()),
        val_bpb=fmean(score.val_bpb for score in scores.values()),
        bytes_total=counted.total,
        bytes_code=counted.code,
        bytes_model=counted.model,
        seeds=tuple(scores),
        seed_results=scores,
        record=False,
        backend=recorded.platform.backend,
        scale=recorded.platform.scale,
        machine=recorded.platform.machine,
        configuration=row.spec["config"],
    )


def _header(recorded: Recorded, row: StageRow) -> dict[str, str]:
    return {
        "machine": recorded.platform.machine,
        "backend": recorded.platform.backend,
        "seed": str(row.spec["seed"]),
        "config": json.dumps(row.spec["config"]),
        "run": row.key,
    }


def _curves(recorded: Recorded, seed: int) -> dict[str, list[float]]:
    return recorded.runs[seed].curves


def _take_name(draft: Path, output: Path) -> None:
    """Put the finished folder in place of an older one of its name."""
    try:
        draft.chmod(0o755)
        if output.exists():
            aside = draft.with_name(draft.name + ".old")
            output.replace(aside)
            draft.replace(output)
            shutil.rmtree(aside)
        else:
            draft.replace(output)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=output) from error


def confirmed_effects(results: Sequence[ContrastResult]) -> list[Effect]:
    """The confirmed effects, best first, as a submission's ablation table has them."""
    rows = [
        Effect(
            label=item.contrast.label,
            verdict=item.verdict,
            effect=item.effect,
            low=item.interval.low,
            high=item.interval.high,
            level=item.interval.level,
            seeds=len(item.seeds_used),
            adjusted_p=item.p_adjusted,
        )
        for item in results
        if item.verdict.startswith("confirmed")
        and item.effect is not None
        and item.interval is not None
        and item.p_adjusted is not None
    ]
    return sorted(rows, key=lambda effect: effect.effect)


def main(
    name: Annotated[str, typer.Option(help="name of the submission")],
    results: Annotated[Path, typer.Option(help="a campaign's folder, or a raw_runs.json")],
    output: Annotated[Path, typer.Option(help="folder to write the submission to")],
    author: Annotated[str, typer.Option(help="author, as the leaderboard will show it")],
    github_id: Annotated[str, typer.Option(help="author's GitHub name")] = "",
    contrast: Annotated[
        str | None, typer.Option(help="submit a run of this contrast, not the best confirmed one")
    ] = None,
    arm: Annotated[str, typer.Option(help="with --contrast: treatment or control")] = "treatment",
    ledger: Annotated[
        str, typer.Option(help="ledger the runs were recorded in")
    ] = "results/causal/ledger.sqlite",
) -> None:
    """Assemble a submission under 16,000,000 bytes and evaluate it from its folder alone."""
    raw, decided = load_results(results)
    try:
        done = assemble(
            choose_runs(raw, decided, contrast=contrast, arm=arm),
            confirmed_effects(decided),
            open_ledger(ledger),
            name=name,
            author=author,
            github_id=github_id,
            output=output,
        )
    except RefereeError as error:
        raise InputError(f"refused: {error}", where=output) from error
    print(
        f"{done.folder}: {done.bytes.total:,} bytes, {done.measured_bpb:.6f} bpb measured from "
        f"the folder alone ({done.recorded_bpb:.6f} recorded)"
    )


if __name__ == "__main__":
    run_command(main)
