"""Confirmed contrasts → runs of a training script on H100s → the competition's own test.

Usage: python scripts/causal/validate_at_scale.py --campaign FOLDER --script train_gpt.py
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from interventions.catalog import load_catalog
from scripts.causal.campaign.executor import InProcessExecutor
from scripts.causal.campaign.full_scale import SCALE, Scheme, commands, plan_validation
from scripts.causal.campaign.ladder import platform_transfer
from scripts.causal.campaign.ledger import Ledger, open_ledger
from scripts.causal.campaign.paired_effect import detectable_effect, paired_effects
from scripts.causal.campaign.planning import parse_seeds
from scripts.causal.campaign.platform import choose_backend, describe_machine
from scripts.causal.campaign.record_rule import RECORD_BACKEND, departures, judge
from scripts.causal.campaign.schema import ArmRun, Platform, RawRuns
from scripts.causal.campaign.validation import Validation
from scripts.causal.cli import progress_bar, run_command
from scripts.causal.experiment_runner import run_contrasts
from scripts.causal.files import InputError, digest
from scripts.causal.forms import parse_file, write_file
from scripts.causal.report import write_report
from scripts.causal.reporting.words import plural
from scripts.causal.stats.family import holm
from scripts.causal.stats.record import ALPHA, MARGIN_NATS
from trainers.script import CAP, ScriptTrainer
from trainers.script_source import read_source

SEEDS = "314,999,2025"
FILE = "validation.json"


def validate(
    scheme: Scheme,
    trainer: ScriptTrainer,
    platform: Platform,
    ledger: Ledger,
    *,
    quiet: bool = False,
) -> Validation:
    """Run control and treatments on the seeds, one after the other, and test them.

    Runs that the ledger has are read from it. A run that fails is an outcome.

    Raises:
        InputError: the data, the ledger or the disk cannot be used.
    """
    with (
        InProcessExecutor(trainer, ledger) as executor,
        progress_bar("full scale", quiet=quiet) as progress,
    ):
        runs = run_contrasts(
            scheme.contrasts, scheme.seeds, "confirm", platform, ledger, executor, progress
        )
    results = [judge(each, trainer, scheme.record) for each in runs]
    against_record = [
        next((test.p for test in one.tests if test.against == "record"), None) for one in results
    ]
    return Validation(
        campaign=scheme.campaign,
        script=str(trainer.script),
        script_digest=digest(read_source(trainer.script)),
        platform=platform,
        seeds=scheme.seeds,
        cap_seconds=scheme.seconds,
        margin_nats=MARGIN_NATS,
        alpha=ALPHA,
        departures=departures(platform, scheme.contrasts[0].control.get(CAP)),
        results=tuple(
            one.model_copy(update={"p_adjusted": p, "paired": effect})
            for one, p, effect in zip(
                results, holm(against_record), paired_effects(runs, scheme.prior), strict=True
            )
        ),
        passed_over=scheme.passed_over,
        prior=scheme.prior,
    )


def full_scale_backend(trainer: ScriptTrainer, wanted: str) -> str:
    """The backend that a validation runs on: with ``auto`` only GPUs will do.

    Raises:
        InputError: this machine has no such thing; the message says what is missing.
    """
    if wanted != "auto":
        return choose_backend(trainer, wanted)
    found = trainer.backends()
    if "cuda" in found[0].split("-"):
        return found[0]
    raise InputError(
        f"a validation at full scale needs CUDA GPUs (eight H100s): {_missing(found)}",
        where="--validate",
        mend="--dry-run prints the commands; --platform cpu rehearses without the scale",
    )


def _missing(found: Sequence[str]) -> str:
    if found[0].startswith("mlx"):
        return "this script runs on MLX"
    try:
        import torch
    except ModuleNotFoundError:
        return "torch is not installed"
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA"
    return f"torch {torch.__version__} sees no GPU"


def describe(scheme: Scheme, lines: Sequence[tuple[str, str]], *, has_data: bool) -> None:
    """Print what a validation would run."""
    say = Console(highlight=False, soft_wrap=True, markup=False).print
    say(
        f"validation of campaign {scheme.campaign}: "
        f"{plural(len(scheme.contrasts), 'confirmed contrast')}, seeds {list(scheme.seeds)}, "
        f"{len(lines)} runs of at most {scheme.seconds:g} s of training each"
    )
    scores = ", ".join(f"{value:.4f}" for value in scheme.record.bpb)
    say(f"to beat: {scheme.record.name} ({scores} bpb) by {MARGIN_NATS:g} nats at p < {ALPHA:g}")
    if scheme.prior is not None:
        least = detectable_effect(len(scheme.contrasts), len(scheme.seeds), scheme.prior)
        say(
            f"against the script's own control, {len(scheme.seeds)} seeds show a true effect of "
            f"{least:.4f} bpb with a chance of 80 % at alpha {ALPHA:g} ({scheme.prior.origin})"
        )
    for name, reason in scheme.passed_over.items():
        say(f"passed over: {name}: {reason}")
    if not has_data:
        say("data: none found here; name the folder of FineWeb shards with --data")
    for what, line in lines:
        say(f"# {what}\n{line}")
    say("nothing was run")


def show(validation: Validation) -> None:
    """Print the outcome."""
    say = Console(highlight=False, soft_wrap=True, markup=False).print
    for one in validation.results:
        say(f"- {one.words}")
        if (found := one.paired) is not None:
            level, low, high = found.interval.level, found.interval.low, found.interval.high
            say(
                f"  against the control, seeds paired: {found.effect:+.5f} bpb ({100 * level:g} % "
                f"interval {low:+.5f} to {high:+.5f}, adjusted p {found.p_adjusted:.2g})"
            )
        for pair in one.pairs:
            scores = f"control {_score(pair.control)}, treatment {_score(pair.treatment)}"
            say(f"  seed {pair.seed}: {scores}")
    for name, reason in validation.passed_over.items():
        say(f"- passed over: {name}: {reason}")
    for departure in validation.departures:
        say(f"not the competition's conditions: {departure}")


def _score(run: ArmRun) -> str:
    return f"failed ({run.failure})" if run.failure else f"{run.metrics['val_bpb']:.5f} bpb"


def run_validation(
    campaign: Path,
    script: Path,
    *,
    data: Path | None,
    record: str | None,
    seeds: str,
    platform: str,
    ledger: str | None,
    dry_run: bool,
    quiet: bool,
    scale: str = SCALE,
) -> Validation | None:
    """Take a campaign to full scale: ``validation.json`` and the report; None for a dry run.

    Raises:
        InputError: as `plan_validation`, `full_scale_backend` and `validate`.
    """
    trainer = ScriptTrainer(str(script))
    chosen = parse_seeds(seeds, "--validation-seeds")
    scheme = plan_validation(
        campaign, trainer, load_catalog(), seeds=chosen, record=record, scale=scale
    )
    if dry_run:
        backend = RECORD_BACKEND if platform == "auto" else choose_backend(trainer, platform)
        paths = _paths(trainer, data)
        describe(scheme, commands(scheme, trainer, backend, paths), has_data=bool(paths))
        return None
    backend = full_scale_backend(trainer, platform)
    where = Platform(
        trainer=trainer.name,
        backend=backend,
        scale=scale,
        data=trainer.default_data() if data is None else str(data),
        machine=describe_machine(backend),
    )
    store = open_ledger(ledger or campaign.parent / "ledger.sqlite")
    try:
        found = validate(scheme, trainer, where, store, quiet=quiet)
    finally:
        store.close()
    cycles = [parse_file(RawRuns, path) for path in sorted(campaign.glob("cycle_*/raw_runs.json"))]
    if cycles:
        found = found.model_copy(update={"transfer": platform_transfer(cycles, found)})
    write_file(campaign / FILE, found)
    write_report(campaign)
    return found


def _paths(trainer: ScriptTrainer, data: Path | None) -> dict[str, str]:
    """The variables that name the data; none where there is none on this machine yet."""
    if data is not None:
        return trainer.paths(str(data))
    try:
        return trainer.paths(trainer.default_data())
    except InputError:
        return {}


def main(
    campaign: Annotated[Path, typer.Option(help="folder of a finished campaign")],
    script: Annotated[Path, typer.Option(help="train_gpt.py in the competition's style")],
    data: Annotated[Path | None, typer.Option(help="folder of FineWeb shards")] = None,
    record: Annotated[
        str | None, typer.Option(help="bpb or id to beat (default: the leaderboard's best)")
    ] = None,
    validation_seeds: Annotated[str, typer.Option(help="three or more fresh seeds")] = SEEDS,
    platform: Annotated[str, typer.Option(help="auto (GPUs), cuda, cpu or mlx")] = "auto",
    scale: Annotated[str, typer.Option(help="record (600 s), or minute to rehearse")] = SCALE,
    ledger: Annotated[str | None, typer.Option(help="path or database URL")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the commands")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="print nothing but errors")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print validation.json")] = False,
) -> None:
    """Run what a campaign confirmed at full scale, and put it to the competition's test."""
    found = run_validation(
        campaign,
        script,
        data=data,
        record=record,
        seeds=validation_seeds,
        platform=platform,
        ledger=ledger,
        dry_run=dry_run,
        quiet=quiet,
        scale=scale,
    )
    if found is not None and as_json:
        print(found.model_dump_json(indent=1))
    elif found is not None and not quiet:
        show(found)


if __name__ == "__main__":
    run_command(main)
