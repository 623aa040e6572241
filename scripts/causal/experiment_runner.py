"""Run contrasts: control and treatment on paired seeds, each distinct run once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeVar, get_args

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from interventions.catalog import Intervention, catalog_of
from scripts.causal.campaign.budget import Budget, OutOfTime
from scripts.causal.campaign.contrast import (
    AA_ID,
    aa_contrast,
    build_contrast,
    first_difference,
    parse_fields,
    run_flops,
    specs_of,
    together,
    unknown_name,
)
from scripts.causal.campaign.executor import AUTO, Executor, open_executor
from scripts.causal.campaign.ledger import Ledger, open_ledger
from scripts.causal.campaign.planning import parse_seeds
from scripts.causal.campaign.platform import choose_platform
from scripts.causal.campaign.run import read_chain
from scripts.causal.campaign.schema import (
    ArmRun,
    Contrast,
    ContrastRuns,
    MatchedBy,
    Pair,
    Phase,
    Platform,
    RawRuns,
    Value,
)
from scripts.causal.campaign.wall_time import match_by_wall_time
from scripts.causal.cli import progress_bar, require_writable, run_command
from scripts.causal.files import InputError
from scripts.causal.forms import write_file
from trainers.api import RunSpec, Trainer, load_trainer

DEFAULT_LEDGER = "results/causal/ledger.sqlite"
DEFAULT_SEEDS = "42,1337"
Choice = TypeVar("Choice")


def run_contrasts(
    contrasts: Sequence[Contrast],
    seeds: Sequence[int],
    phase: Phase,
    platform: Platform,
    ledger: Ledger,
    executor: Executor,
    progress: Callable[[float], None] | None = None,
    budget: Budget | None = None,
) -> tuple[ContrastRuns, ...]:
    """Run every contrast on every seed and return the pairs, in the order given.

    Equal runs are one run, whichever contrasts they belong to, and what the ledger has is read.
    Runs are handed out seed by seed, so that every contrast has its first pair early.

    Args:
        progress: called with the fraction of the missing work that is done, by FLOPs.
        budget: time; when it is nearly over, runs under way are ended and no other is started.

    Raises:
        OutOfTime: some runs are missing; a later call goes on with them.
        InputError: the data set, the ledger or the disk cannot be used.
    """
    asked = [(contrast, seed) for seed in seeds for contrast in contrasts]
    pairs = run_pairs(asked, platform, ledger, executor, progress, budget)
    return tuple(
        ContrastRuns(contrast=contrast, phase=phase, pairs=tuple(pairs[place :: len(contrasts)]))
        for place, contrast in enumerate(contrasts)
    )


def run_pairs(
    asked: Sequence[tuple[Contrast, int]],
    platform: Platform,
    ledger: Ledger,
    executor: Executor,
    progress: Callable[[float], None] | None = None,
    budget: Budget | None = None,
) -> list[Pair]:
    """Run both arms of every contrast at the seed asked of it, equal runs once.

    Raises:
        OutOfTime, InputError: as `run_contrasts`.
    """
    trainer = executor.trainer
    specs: dict[str, RunSpec] = {}
    keys: list[tuple[str, str]] = []
    for contrast, seed in asked:
        arms = specs_of(contrast, seed, platform)
        control, treatment = (trainer.stages(spec)[-1].key for spec in arms)
        keys.append((control, treatment))
        specs |= {control: arms[0], treatment: arms[1]}
    runs = _runs(specs, ledger, executor, progress, budget or Budget())
    return [
        Pair(seed=seed, control=runs[control], treatment=runs[treatment])
        for (_, seed), (control, treatment) in zip(asked, keys, strict=True)
    ]


def _runs(
    specs: dict[str, RunSpec],
    ledger: Ledger,
    executor: Executor,
    progress: Callable[[float], None] | None,
    budget: Budget,
) -> dict[str, ArmRun]:
    """Read or compute each run; key → run."""
    trainer = executor.trainer
    found = {key: read_chain(trainer, spec, ledger) for key, spec in specs.items()}
    runs = {key: run for key, run in found.items() if run is not None}
    missing = {key: spec for key, spec in specs.items() if key not in runs}
    # A trainer that cannot tell FLOPs runs for a fixed time: its runs cost the same.
    cost = {key: run_flops(trainer, spec.config) or 1.0 for key, spec in missing.items()}
    done = dict.fromkeys(missing, 0.0)

    def show(key: str, fraction: float) -> None:
        if progress is not None and key in done:
            done[key] = fraction
            progress(sum(cost[name] * done[name] for name in done) / sum(cost.values()))

    for spec in missing.values():
        executor.submit(spec)
    awaited = set(missing)
    while awaited:
        if budget.is_spent():
            awaited -= set(executor.withdraw())
        for key in awaited & set(executor.poll(show)) if awaited else ():
            run = read_chain(trainer, missing[key], ledger)
            if run is None:
                raise InputError(f"run {key[:12]} has ended but its rows are gone from the ledger")
            runs[key] = run
            awaited.remove(key)
            budget.learn(_seconds(trainer, missing[key], ledger))
            show(key, 1.0)
    if len(runs) < len(specs):
        raise OutOfTime(len(runs), len(specs))
    return runs


def _seconds(trainer: Trainer, spec: RunSpec, ledger: Ledger) -> float:
    """How long the run's stages took, shared ones included."""
    rows = [ledger.get(plan.key) for plan in trainer.stages(spec)]
    return sum(row.finished - row.started for row in rows if row is not None and row.finished)


def timed_contrasts(
    contrasts: Sequence[Contrast],
    platform: Platform,
    ledger: Ledger,
    executor: Executor,
    progress: Callable[[float], None] | None = None,
    budget: Budget | None = None,
) -> tuple[Contrast, ...]:
    """Match the contrasts by wall time, measured on the executor they will run on.

    Raises:
        OutOfTime, InputError: as `run_contrasts`, and a trainer that tells no time.
    """

    def run(short: Sequence[Contrast], seeds: Sequence[int]) -> tuple[ContrastRuns, ...]:
        return run_contrasts(short, seeds, "screen", platform, ledger, executor, progress, budget)

    return match_by_wall_time(contrasts, platform, executor.trainer, run)


def contrast_from_text(
    treatment: str,
    control: str,
    trainer: Trainer,
    platform: Platform,
    matched_by: MatchedBy = "flops",
) -> Contrast:
    """Build the contrast a user describes.

    Args:
        treatment: id of a catalog intervention, ``id+id`` for two at once,
            ``field=value[,field=value]``, or ``baseline`` for a contrast of the control with
            itself.
        control: ``baseline`` or ``field=value[,field=value]`` on top of the scale.

    Raises:
        InputError: an unknown intervention or field, or a contrast that cannot be built.
    """
    overrides = _overrides(control, trainer, platform)
    if treatment == AA_ID:
        return aa_contrast(platform.scale, trainer, control_overrides=overrides)
    change = _change_from_text(treatment, trainer, platform, overrides)
    return _asked(change, trainer, platform, matched_by, overrides)


def square_from_text(
    treatment: str,
    partner: str,
    control: str,
    trainer: Trainer,
    platform: Platform,
    matched_by: MatchedBy = "flops",
) -> tuple[Contrast, Contrast, Contrast]:
    """Build the contrasts of a 2 × 2 factorial: each change alone, and both together.

    Matched by FLOPs or wall time every one of them costs what the control does, however many
    changes it makes: the interaction is of changes that are paid for.

    Args:
        treatment, partner: the two changes, each as `contrast_from_text` takes a treatment.
        control: as there.

    Raises:
        InputError: as `contrast_from_text`, or the two cannot be made together.
    """
    if AA_ID in (treatment, partner):
        raise InputError("a control set against itself changes nothing that could interact")
    overrides = _overrides(control, trainer, platform)
    one, other = (
        _change_from_text(text, trainer, platform, overrides) for text in (treatment, partner)
    )
    alone, beside, both = (
        _asked(change, trainer, platform, matched_by, overrides)
        for change in (one, other, together(one, other))
    )
    return alone, beside, both


def _overrides(control: str, trainer: Trainer, platform: Platform) -> dict[str, Value]:
    if control == AA_ID:
        return {}
    return _fields_of(control, trainer.resolve(platform.scale, {}), catalog_of(trainer.name))


def _change_from_text(
    text: str, trainer: Trainer, platform: Platform, overrides: dict[str, Value]
) -> Intervention:
    """The intervention that a text names, its stage the first that it changes."""
    catalog = catalog_of(trainer.name)
    first, plus, second = text.partition("+")
    if text in catalog:
        return catalog[text]
    if plus and first in catalog and second in catalog:
        return together(catalog[first], catalog[second])
    changes = _fields_of(text, trainer.resolve(platform.scale, {}), catalog)
    asked = Intervention(
        id=text, variable=next(iter(changes)), label=text, stage="train", set=changes
    )
    contrast = _asked(asked, trainer, platform, "steps", overrides)
    stage = first_difference(trainer, *specs_of(contrast, 0, platform))
    if stage is None:
        raise InputError(f"treatment {text!r} changes nothing that a run depends on")
    return replace(asked, stage=stage.value)


def _asked(
    change: Intervention,
    trainer: Trainer,
    platform: Platform,
    matched_by: MatchedBy,
    overrides: dict[str, Value],
) -> Contrast:
    return build_contrast(
        change,
        platform.scale,
        trainer,
        matched_by,
        "Asked for on the command line.",
        control_overrides=overrides,
    )


def _fields_of(
    text: str, baseline: dict[str, Value], catalog: dict[str, Intervention]
) -> dict[str, Value]:
    if "=" not in text:
        raise unknown_name("intervention", text, dict.fromkeys([AA_ID, *catalog]))
    return parse_fields(text, baseline)


def _show(runs: ContrastRuns) -> None:
    asked, outcome = runs.contrast, runs.contrast.outcome
    table = Table(title=f"{asked.label}: {asked.outcome_words}", title_justify="left")
    for name in ("seed", "control", "treatment", "difference"):
        table.add_column(name, justify="right")
    for pair in runs.pairs:
        ours, theirs = pair.control, pair.treatment
        if ours.failure or theirs.failure:
            words = [
                escape(arm.failure or f"{arm.metrics[outcome]:.5f}") for arm in (ours, theirs)
            ]
            table.add_row(str(pair.seed), *words, "–")
            continue
        values = ours.metrics[outcome], theirs.metrics[outcome]
        difference = values[1] - values[0]
        table.add_row(str(pair.seed), *(f"{value:.5f}" for value in values), f"{difference:+.5f}")
    Console().print(table)


def main(
    treatment: Annotated[
        str, typer.Option(help="catalog id, id+id, field=value[,field=value], or baseline (A/A)")
    ],
    output: Annotated[Path, typer.Option(help="where to write raw_runs.json")],
    partner: Annotated[
        str | None,
        typer.Option("--with", help="a second change: both alone, both together, one control"),
    ] = None,
    control: Annotated[str, typer.Option(help="baseline or field=value[,field=value]")] = AA_ID,
    seeds: Annotated[str, typer.Option(help="comma-separated, at least two")] = DEFAULT_SEEDS,
    platform: Annotated[str, typer.Option(help="auto, mlx, torch, cuda or cpu")] = "auto",
    scale: Annotated[str, typer.Option(help="reduction that both arms run at")] = "fast",
    matched_by: Annotated[str, typer.Option(help="flops, steps or wall_time")] = "flops",
    phase: Annotated[str, typer.Option(help="confirm or screen")] = "confirm",
    workers: Annotated[
        int | None, typer.Option(help="worker processes, 0 for none (default: by backend)", min=0)
    ] = None,
    executor: Annotated[
        str, typer.Option(help="auto, in-process, processes (one a core or GPU) or ray")
    ] = AUTO,
    cooldown: Annotated[float, typer.Option(min=0, help="seconds of rest between runs")] = 0.0,
    minutes: Annotated[
        float | None, typer.Option(help="start no run that would end later than this")
    ] = None,
    ledger: Annotated[str, typer.Option(help="path or database URL")] = DEFAULT_LEDGER,
    trainer: Annotated[str, typer.Option(help="registered trainer")] = "gpt",
    data: Annotated[Path | None, typer.Option(help="folder of a tokenized data set")] = None,
    quiet: Annotated[bool, typer.Option(help="show no progress and no table")] = False,
    json: Annotated[bool, typer.Option(help="print the raw runs as JSON too")] = False,
) -> None:
    """Run a treatment against a control on paired seeds; every run is computed once, ever."""
    budget = Budget(minutes)
    chosen = parse_seeds(seeds, "--seeds")
    matching = _one_of("--matched-by", matched_by, get_args(MatchedBy))
    stage = _one_of("--phase", phase, get_args(Phase))
    require_writable(output)
    family = load_trainer(trainer)
    with progress_bar("data", quiet=quiet) as show:
        where = choose_platform(
            family, platform, scale, data=None if data is None else str(data), progress=show
        )
    asked: Sequence[Contrast] = (
        [contrast_from_text(treatment, control, family, where, matching)]
        if partner is None
        else square_from_text(treatment, partner, control, family, where, matching)
    )
    store = open_ledger(ledger)
    try:
        with (
            open_executor(family, store, where.backend, workers, cooldown, executor) as engine,
            progress_bar(asked[-1].label, quiet=quiet) as show,
        ):
            asked = timed_contrasts(asked, where, store, engine, budget=budget)
            runs = run_contrasts(asked, chosen, stage, where, store, engine, show, budget)
    except OutOfTime as out:
        if not quiet:
            print(f"{out}; the same command goes on with the others", file=sys.stderr)
        return
    finally:
        store.close()
    result = RawRuns(
        cycle=1,
        platform=where,
        screen_seeds=chosen if stage == "screen" else (),
        confirm_seeds=chosen if stage == "confirm" else (),
        runs=runs,
    )
    write_file(output, result)
    if json:
        print(result.model_dump_json())
    elif not quiet:
        for each in runs:
            _show(each)


def _one_of(option: str, value: str, allowed: tuple[Choice, ...]) -> Choice:
    for choice in allowed:
        if value == choice:
            return choice
    raise InputError(f"must be one of {list(allowed)}, but got {value!r}", where=option)


if __name__ == "__main__":
    run_command(main)
