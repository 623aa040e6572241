"""From README claims to tested causes and a verified submission: the discover–adjust loop.

Usage: python scripts/causal/run_pipeline.py --fast --max-cycles 4
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from interventions.catalog import Intervention, catalog_of
from scripts.causal.campaign.budget import Budget, OutOfTime
from scripts.causal.campaign.executor import AUTO, Executor, open_executor
from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.campaign.plan import CampaignPlan
from scripts.causal.campaign.planning import (
    decisive,
    make_plan,
    parse_seeds,
    scale_overrides,
    screen_costs,
)
from scripts.causal.campaign.platform import choose_backend, describe_machine
from scripts.causal.campaign.schema import AblationResults, Platform, RawRuns, Selection
from scripts.causal.cli import progress_bar, run_command
from scripts.causal.extract_interventions import EVIDENCE, extract_leaderboard
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file, write_file
from scripts.causal.graph.diff import diff_dags
from scripts.causal.graph.render import render
from scripts.causal.graph.schema import DagDiff, DataGraph
from scripts.causal.leaderboard.schema import Leaderboard
from scripts.causal.report import write_report
from scripts.causal.run_cycle import Campaign, experiment, screened_prior, timed
from scripts.causal.run_discovery import View, adjust, discover, study
from scripts.causal.run_submission import submit
from scripts.causal.select_interventions import Setting, published_noise, select
from scripts.causal.statistical_analysis import analyse, combine
from scripts.causal.stats.looks import planned_looks
from scripts.causal.validate_at_scale import SEEDS as VALIDATION_SEEDS
from scripts.causal.validate_at_scale import main as validate_at_scale
from trainers.api import Trainer, load_trainer
from trainers.data import open_dataset

RESULTS = Path("results/causal")
SCREEN_SEEDS = "1,2"
CONFIRM_SEEDS = "42,1337,2024,7"
LOOKS = 1
"""One, when all seeds are in: a contrast that stopped at an earlier look is overstated (of 5 seeds
with two looks by 0.13 ± 0.05 of its standard deviation, in 120 simulated campaigns), and of 4
seeds two looks would spare 1 % only. Of 8 they spare 11 % at no cost in power."""


def run_campaign(
    campaign: Campaign, leaderboard: Leaderboard, executor: Executor, budget: Budget | None = None
) -> AblationResults:
    """Carry out a plan: discover, choose, screen, confirm, decide, and discover again.

    Everything computed is in the ledger under a key of what it depends on, so the same plan
    carried out twice, or after an interruption at any moment, ends with the same files.

    Raises:
        OutOfTime: the budget is spent; called again, it goes on from there.
        InputError: the catalog, the data or the results folder cannot be used.
    """
    plan = campaign.plan
    write_file(campaign.folder / "interventions.json", leaderboard)
    graph = discover(leaderboard, campaign.ledger, quiet=campaign.quiet)
    known = study(leaderboard, graph)
    view = adjust(known, [])
    platform = prepare(campaign)
    raws: list[RawRuns] = []
    decided: list[AblationResults] = []
    for cycle in range(1, plan.max_cycles + 1):
        selection = choose(campaign.trainer, plan, campaign.catalog, view, decided, cycle)
        if any(one.matched_by == "wall_time" for one in selection.contrasts):
            selection = timed(campaign, executor, selection, platform, budget)
        folder = campaign.folder / f"cycle_{cycle}"
        write_file(folder / "selection.json", selection)
        if not selection.contrasts:
            break
        raws.append(experiment(campaign, executor, selection, platform, cycle, budget, raws))
        write_file(folder / "raw_runs.json", raws[-1])
        results = analyse(
            raws[-1],
            alpha=plan.alpha,
            mde=plan.mde,
            cycles=plan.max_cycles,
            prior=screened_prior(raws),
        )
        write_file(folder / "ablation_results.json", results)
        decided.append(results)
        before, view = view, adjust(known, decided)
        write_file(folder / "causal_dag.json", view.dag)
        write_file(folder / "dag_diff.json", diff_dags(before.dag, view.dag, cycle=cycle))
    return publish(campaign, view, decided)


def prepare(campaign: Campaign) -> Platform:
    """Return where the runs are computed, the default data tokenized on first use."""
    plan = campaign.plan
    with progress_bar("training data", quiet=campaign.quiet) as progress:
        data = plan.data or campaign.trainer.default_data(progress)
    return Platform(
        trainer=plan.trainer,
        backend=plan.backend,
        scale=plan.scale,
        data=data,
        machine=describe_machine(plan.backend),
    )


def choose(
    trainer: Trainer,
    plan: CampaignPlan,
    catalog: Mapping[str, Intervention],
    view: View,
    decided: Sequence[AblationResults],
    cycle: int,
) -> Selection:
    """Return the contrasts of the next cycle."""
    return select(
        view.dag,
        view.report,
        catalog,
        Setting(
            trainer,
            plan.scale,
            plan.matched_by,
            plan.overrides,
            screen=len(plan.screen_seeds),
            confirm=len(plan.confirm_seeds),
            alpha=plan.alpha / plan.max_cycles / plan.max_confirm,  # Holm's first step
            mde=plan.mde,
            looks=plan.looks,
        ),
        limit=plan.max_per_cycle,
        decided=decided,
        cycle=cycle,
    )


def publish(campaign: Campaign, view: View, decided: Sequence[AblationResults]) -> AblationResults:
    """Write the campaign's tables, graph, report, and the submission if its family has a program.

    Raises:
        InputError: no contrast could be run, or the submission is refused.
    """
    if not decided:
        raise InputError("the catalog holds no contrast that can be run at this scale")
    results = combine(decided)
    folder = campaign.folder
    write_file(folder / "ablation_results.json", results)
    write_file(folder / "identifiability_report.json", view.report)
    last = folder / f"cycle_{len(decided)}" / "dag_diff.json"
    write_file(folder / "dag_diff.json", parse_file(DagDiff, last))
    with progress_bar("graph", quiet=campaign.quiet):
        render(view.dag, folder)
    write_file(folder / "causal_dag.json", view.dag)
    try:
        if campaign.trainer.source_modules(campaign.plan.backend):
            submit(campaign, results, len(decided))
    finally:  # a refused submission takes nothing from what was found
        with progress_bar("report", quiet=campaign.quiet):
            write_report(folder)
    return results


def resume(folder: Path) -> CampaignPlan:
    """Return the plan of a campaign that was begun.

    Raises:
        InputError: there is no campaign in the folder.
    """
    path = folder / "plan.json"
    if not path.is_file():
        raise InputError("no campaign here to go on with (plan.json)", where=folder)
    return parse_file(CampaignPlan, path)


def settle(plan: CampaignPlan, folder: Path) -> CampaignPlan:
    """Write the plan, or return the one that lies there, if it is the same campaign's.

    Raises:
        InputError: another campaign has this name, or the folder cannot be written.
    """
    path = folder / "plan.json"
    if path.is_file():
        begun = parse_file(CampaignPlan, path)
        if decisive(begun) != decisive(plan):
            raise InputError(
                "another campaign has this name, with other options",
                where=path,
                mend="give another --name, or --resume-from this folder",
            )
        return begun
    write_file(path, plan)
    return plan


def first_choice(
    trainer: Trainer,
    plan: CampaignPlan,
    catalog: Mapping[str, Intervention],
    leaderboard: Leaderboard,
    graph: DataGraph,
) -> Selection:
    """Return the first cycle's contrasts without running or writing anything."""
    view = adjust(study(leaderboard, graph), [])
    return choose(trainer, plan, catalog, view, [], 1)


def describe(plan: CampaignPlan, selection: Selection) -> None:
    """Print what a campaign would do, and its cost at most."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"campaign {plan.name}: up to {plan.max_cycles} cycles of {plan.max_per_cycle} contrasts "
        f"at scale {plan.scale}, {plan.backend}"
    )
    others = ", in each later cycle on others" if plan.max_cycles > 1 else ""
    console.print(
        f"screened on seeds {list(plan.screen_seeds)}, at most {plan.max_confirm} a cycle "
        f"confirmed on fresh seeds {list(plan.confirm_seeds)}{others}; alpha {plan.alpha:g} over "
        f"the campaign, MDE {plan.mde:g} bpb"
    )
    console.print(f"screening design: {plan.screen_design}")
    for line in screen_costs(plan, published_noise()):
        console.print(line)
    console.print(
        f"at most {plan.planned_runs} training runs, {plan.planned_flops / 1e12:.1f} TFLOP; "
        "nothing was trained"
    )
    counts = planned_looks(len(plan.confirm_seeds), plan.looks)
    if len(counts) > 1:
        console.print(f"a contrast that is clear stops after {list(counts[:-1])} fresh seeds")
    if (told := selection.precision) is not None:
        console.print(
            f"if a paired difference scatters by {told.sd:.2g} bpb ({told.origin}), a true effect "
            f"of {plan.mde:g} bpb is confirmed with a chance of {told.power:.0%}, one of "
            f"{told.detectable:.2g} bpb with 80 %"
        )
    console.print("first cycle:")
    for contrast in selection.contrasts:
        console.print(f"- {contrast.label} ({contrast.id}): {contrast.reason}", markup=False)


def summarise(campaign: Campaign, results: AblationResults) -> None:
    """Print the verdicts and where everything lies."""
    console = Console(highlight=False, soft_wrap=True)
    for result in results.results:
        console.print(f"- {result.words}", markup=False)
    console.print(f"report: {campaign.folder / 'report.html'}", markup=False)
    submission = campaign.folder / "submission" / campaign.plan.name
    if submission.is_dir():
        console.print(f"submission: {submission}", markup=False)


def main(
    input: Annotated[
        Path, typer.Option(help="folder, clone or archive of submissions, or an evidence file")
    ] = EVIDENCE,
    output: Annotated[Path, typer.Option(help="folder that campaigns are written to")] = RESULTS,
    trainer: Annotated[str, typer.Option(help="model family: a registered trainer")] = "gpt",
    name: Annotated[str | None, typer.Option(help="campaign's name (default: made up)")] = None,
    resume_from: Annotated[
        Path | None, typer.Option(help="folder of a campaign to go on with, with its own options")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="scale of minutes, for a laptop")] = False,
    scale: Annotated[str | None, typer.Option(help="a scale of the trainer by name")] = None,
    max_cycles: Annotated[int, typer.Option(min=1, help="most cycles")] = 4,
    max_per_cycle: Annotated[int, typer.Option(min=1, help="contrasts screened a cycle")] = 2,
    max_confirm: Annotated[int, typer.Option(min=1, help="contrasts confirmed a cycle")] = 2,
    screen_design: Annotated[
        str, typer.Option(help="one-at-a-time, or factorial: a cycle's changes in one design")
    ] = "one-at-a-time",
    seeds: Annotated[str, typer.Option(help="fresh seeds that decide")] = CONFIRM_SEEDS,
    looks: Annotated[
        int, typer.Option(min=1, help="points of the fresh seeds at which what is clear may stop")
    ] = LOOKS,
    screen_seeds: Annotated[str, typer.Option(help="seeds that screen")] = SCREEN_SEEDS,
    screen_iterations: Annotated[int | None, typer.Option(help="steps of a run")] = None,
    screen_batch: Annotated[int | None, typer.Option(help="tokens per step")] = None,
    screen_layers: Annotated[int | None, typer.Option(help="layers of the control")] = None,
    matched_by: Annotated[str, typer.Option(help="flops, steps or wall_time")] = "flops",
    alpha: Annotated[float, typer.Option(help="bound on wrong confirmations")] = 0.05,
    mde: Annotated[float, typer.Option(help="smallest effect that matters, bpb")] = 0.005,
    data: Annotated[Path | None, typer.Option(help="folder of shards and tokenizer")] = None,
    platform: Annotated[str, typer.Option(help="auto, mlx, torch, cuda or cpu")] = "auto",
    workers: Annotated[int | None, typer.Option(help="worker processes", min=0)] = None,
    executor: Annotated[
        str, typer.Option(help="auto, in-process, processes (one a core or GPU) or ray")
    ] = AUTO,
    cooldown: Annotated[float, typer.Option(min=0, help="seconds of rest between runs")] = 0.0,
    minutes: Annotated[
        float | None, typer.Option(help="start no run that would end later; go on another time")
    ] = None,
    ledger: Annotated[str | None, typer.Option(help="path or database URL")] = None,
    validate: Annotated[
        bool, typer.Option("--validate", help="run what the campaign confirmed at full scale")
    ] = False,
    script: Annotated[Path | None, typer.Option(help="--validate: a train_gpt.py")] = None,
    record: Annotated[
        str | None, typer.Option(help="--validate: bpb or id to beat (default: the best)")
    ] = None,
    validation_seeds: Annotated[
        str, typer.Option(help="--validate: three or more fresh seeds")
    ] = VALIDATION_SEEDS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the plan and cost")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="print nothing but errors")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the results as JSON")] = False,
) -> None:
    """Run the whole campaign: README claims in, tested effects and a verified submission out."""
    if validate:
        if resume_from is None and name is None:
            raise InputError("needs a campaign", where="--validate", mend="give --resume-from")
        if script is None:
            raise InputError("needs a training script", where="--validate", mend="give --script")
        validate_at_scale(
            campaign=resume_from or output / str(name),
            script=script,
            data=data,
            record=record,
            validation_seeds=validation_seeds,
            platform=platform,
            ledger=ledger,
            dry_run=dry_run,
            quiet=quiet,
            as_json=as_json,
        )
        return
    budget = Budget(minutes)
    if resume_from is not None:
        plan, folder = resume(resume_from), resume_from
        family = load_trainer(plan.trainer)
        catalog = catalog_of(plan.trainer)
    else:
        family, catalog = load_trainer(trainer), catalog_of(trainer)
        scale = scale or ("fast" if fast else "standard")
        plan = make_plan(
            family,
            records=input,
            backend=choose_backend(family, platform),
            scale=scale,
            overrides=scale_overrides(
                family,
                scale,
                iterations=screen_iterations,
                batch_tokens=screen_batch,
                layers=screen_layers,
                vocab_size=open_dataset(data).vocab_size if data else None,
            ),
            data=str(data) if data else None,
            matched_by=matched_by,
            alpha=alpha,
            mde=mde,
            max_cycles=max_cycles,
            max_per_cycle=max_per_cycle,
            max_confirm=max_confirm,
            screen_seeds=parse_seeds(screen_seeds, "--screen-seeds"),
            confirm_seeds=parse_seeds(seeds, "--seeds"),
            screen_design=screen_design,
            looks=looks,
            name=name,
            own_controls=len({repr(one.control) for one in catalog.values() if one.control}),
        )
        folder = output / plan.name
    leaderboard = extract_leaderboard(Path(plan.records))
    where = ledger or folder.parent / "ledger.sqlite"
    if dry_run:
        kept = open_ledger(where) if "://" in str(where) or Path(where).is_file() else None
        graph = discover(leaderboard, kept, quiet=quiet)
        describe(plan, first_choice(family, plan, catalog, leaderboard, graph))
        return
    plan = settle(plan, folder)
    store = open_ledger(where)
    campaign = Campaign(plan, folder, family, catalog, store, quiet)
    try:
        with open_executor(family, store, plan.backend, workers, cooldown, executor) as engine:
            results = run_campaign(campaign, leaderboard, engine, budget)
    except OutOfTime as out:
        if not quiet:
            print(f"{out}; go on with --resume-from {folder}", file=sys.stderr)
        return
    finally:
        store.close()
    if as_json:
        print(results.model_dump_json(indent=1))
    elif not quiet:
        summarise(campaign, results)


if __name__ == "__main__":
    run_command(main)
