"""Recorded runs → a competition submission, held to every rule of the referee where it lies.

Usage: python scripts/causal/submission_assembly.py --name NAME --results results/causal/CAMPAIGN
           --output FOLDER --author NAME
       python scripts/causal/submission_assembly.py --check FOLDER [--run --data FOLDER] [--json]
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from scripts.causal.campaign.chosen import Recorded, choose_runs, load_results
from scripts.causal.campaign.ledger import Ledger, open_ledger
from scripts.causal.campaign.schema import ContrastResult
from scripts.causal.campaign.submitted import describe, submitted
from scripts.causal.cli import progress_bar, run_command
from scripts.causal.extract_interventions import EVIDENCE
from scripts.causal.files import InputError, write_text
from scripts.causal.forms import write_file
from scripts.causal.leaderboard.evidence import load_evidence
from scripts.causal.referee.check import RefereeError, check_folder, find_folders, require
from scripts.causal.referee.probes import Trial
from scripts.causal.referee.table import all_folders, disagreements, one_folder
from scripts.causal.submission.compact import CompactError, without_comments, wrap
from scripts.causal.submission.documents import readme, requirements, training_log
from scripts.causal.submission.facts import Effect, SubmissionJson
from scripts.causal.submission.folder import (
    DESCRIPTION,
    PROGRAM,
    README,
    REQUIREMENTS,
    list_files,
    open_folder,
)
from scripts.causal.submission.sandbox import Limits
from scripts.causal.submission.verdicts import Report, Reports
from trainers.data import open_dataset


@dataclass(frozen=True)
class Assembled:
    """A finished submission: where it lies, what it states, and the referee's verdicts."""

    folder: Path
    facts: SubmissionJson
    report: Report


def assemble(
    recorded: Recorded,
    effects: Sequence[Effect],
    ledger: Ledger,
    *,
    name: str,
    author: str,
    github_id: str,
    output: Path,
    minify: bool = False,
) -> Assembled:
    """Write the submission folder, hold it to every rule, and only then give it its name.

    The model shipped is the first seed's, whatever its score: picking the best would be selection.

    Args:
        minify: ship the program without comments, packed into a small loader.

    Raises:
        InputError: a run's files are gone, or the folder cannot be written.
        RefereeError: a rule is broken: over the cap, say, or the folder alone does not reproduce
            the recorded bpb within 1e-6. Nothing is left at `output` then.
    """
    title = _title(name)
    runs = submitted(recorded, ledger, title=title)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}."))
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=output) from error
    try:
        write_text(draft / PROGRAM, _packed(runs.source, title) if minify else runs.source)
        shutil.copyfile(runs.artifact, draft / runs.artifact_name)
        write_text(draft / REQUIREMENTS, requirements(runs.packages()))
        for seed in runs.rows:
            text = training_log(runs.log(seed), runs.source, runs.artifact_name)
            write_text(draft / f"train_seed{seed}.log", text)
        facts = describe(
            runs,
            list_files(open_folder(draft)),
            effects,
            name=name,
            author=author,
            github_id=github_id,
        )
        write_file(draft / DESCRIPTION, facts)
        write_text(draft / README, readme(facts))
        trial = Trial(open_dataset(Path(runs.first.spec["data"])))
        report = check_folder(draft, trial=trial, ledger=runs.claims())
        require(report)
        _take_name(draft, output)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Assembled(output, facts, report.model_copy(update={"folder": str(output)}))


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


def _packed(source: str, title: str) -> str:
    try:
        return wrap(without_comments(source), title=title)
    except CompactError as error:
        raise InputError(f"the program cannot be packed: {error}", where="--minify") from error


def _title(name: str) -> str:
    words = " ".join(name.split()).replace('"', "'").replace("\\", "/")
    return f"{words}: model, training and evaluation in one file."


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


def _check(
    folder: Path, *, trial: Trial | None, leaderboard: Path, json: bool, quiet: bool
) -> None:
    board = load_evidence(leaderboard)
    found, reports = find_folders(folder), []
    if trial is not None and len(found) > 1:
        raise InputError(f"{len(found)} submissions, --run takes one", where=folder)
    with progress_bar("referee", quiet=quiet or json) as progress:
        for done, one in enumerate(found, start=1):
            reports.append(check_folder(one, trial=trial, board=board))
            progress(done / len(found))
    result = Reports(reports=tuple(reports))
    if json:
        print(result.model_dump_json(indent=1))
        return
    console = Console()
    if found == [folder]:
        console.print(one_folder(reports[0]))
    else:
        console.print(disagreements(result), all_folders(result), sep="\n\n")


def main(
    name: Annotated[str | None, typer.Option(help="name of the submission")] = None,
    results: Annotated[
        Path | None, typer.Option(help="a campaign's folder, or a raw_runs.json")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="folder to write the submission to")] = None,
    author: Annotated[
        str | None, typer.Option(help="author, as the leaderboard will show it")
    ] = None,
    github_id: Annotated[str, typer.Option(help="author's GitHub name")] = "",
    contrast: Annotated[
        str | None, typer.Option(help="submit a run of this contrast, not the best confirmed one")
    ] = None,
    arm: Annotated[str, typer.Option(help="with --contrast: treatment or control")] = "treatment",
    ledger: Annotated[
        str, typer.Option(help="ledger the runs were recorded in")
    ] = "results/causal/ledger.sqlite",
    minify: Annotated[
        bool, typer.Option("--minify", help="ship a small loader of the packed program")
    ] = False,
    check: Annotated[
        Path | None, typer.Option(help="judge this submission, anybody's, or a tree of them")
    ] = None,
    run: Annotated[
        bool, typer.Option("--run", help="with --check: run its program too, in a sandbox")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="with --run: the folder of shards its score is of")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="with --run: its *.model, if not beside the shards")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=1, help="with --run: what each run of the program may take")
    ] = Limits().seconds,
    leaderboard: Annotated[
        Path, typer.Option(help="with --check: where the record to beat is looked up")
    ] = EVIDENCE,
    json: Annotated[bool, typer.Option("--json", help="with --check: verdicts as JSON")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="no progress")] = False,
) -> None:
    """Assemble a submission under 16,000,000 bytes and referee it, or referee somebody's."""
    if check is not None:
        if run and data is None:
            raise InputError("--run needs the data that the score is of", mend="give --data")
        limits = Limits(seconds=seconds)
        trial = Trial(open_dataset(data, tokenizer), limits) if run and data else None
        _check(check, trial=trial, leaderboard=leaderboard, json=json, quiet=quiet)
        return
    if name is None or results is None or output is None or author is None:
        raise InputError(
            "an assembly needs --name, --results, --output and --author", mend="or give --check"
        )
    raw, decided = load_results(results)
    try:
        with progress_bar("referee", quiet=quiet):
            done = assemble(
                choose_runs(raw, decided, contrast=contrast, arm=arm),
                confirmed_effects(decided),
                open_ledger(ledger),
                name=name,
                author=author,
                github_id=github_id,
                output=output,
                minify=minify,
            )
    except RefereeError as error:
        raise InputError(f"refused: {error}", where=output) from error
    facts = done.facts
    kept = sum(one.outcome == "pass" for one in done.report.verdicts)
    print(
        f"{done.folder}: {facts.bytes_total:,} bytes, {facts.val_bpb:.6f} bpb over "
        f"{len(facts.seeds)} seeds; {kept} of {len(done.report.verdicts)} rules kept, none broken"
    )


if __name__ == "__main__":
    run_command(main)
