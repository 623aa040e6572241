"""One cycle of a campaign: the chosen contrasts screened, the promising ones on fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from interventions.catalog import Intervention
from scripts.causal.campaign.budget import Budget
from scripts.causal.campaign.contrast import aa_contrast, build_contrast
from scripts.causal.campaign.executor import Executor
from scripts.causal.campaign.factorial_screen import plan_screen
from scripts.causal.campaign.ledger import Ledger
from scripts.causal.campaign.plan import CampaignPlan
from scripts.causal.campaign.planning import fresh_seeds
from scripts.causal.campaign.schema import (
    Contrast,
    ContrastRuns,
    FactorialRuns,
    Phase,
    Platform,
    RawRuns,
    Selection,
    VariancePrior,
)
from scripts.causal.campaign.screened import choose_for_confirmation, fit_prior
from scripts.causal.cli import progress_bar
from scripts.causal.experiment_runner import run_contrasts, run_pairs, timed_contrasts
from scripts.causal.statistical_analysis import confirm
from scripts.causal.stats.looks import planned_looks
from trainers.api import Trainer


@dataclass(frozen=True)
class Campaign:
    """A plan with what is needed to carry it out."""

    plan: CampaignPlan
    folder: Path
    trainer: Trainer
    catalog: Mapping[str, Intervention]
    ledger: Ledger
    quiet: bool


def timed(
    campaign: Campaign,
    executor: Executor,
    selection: Selection,
    platform: Platform,
    budget: Budget | None = None,
) -> Selection:
    """Return the selection with its arms matched by wall time, which is measured on both.

    Raises:
        OutOfTime: the budget is spent before the arms are timed.
    """
    with progress_bar("clocks", quiet=campaign.quiet) as progress:
        contrasts = timed_contrasts(
            selection.contrasts, platform, campaign.ledger, executor, progress, budget
        )
    return selection.model_copy(update={"contrasts": contrasts})


def experiment(
    campaign: Campaign,
    executor: Executor,
    selection: Selection,
    platform: Platform,
    cycle: int,
    budget: Budget | None = None,
    earlier: Sequence[RawRuns] = (),
) -> RawRuns:
    """Screen every chosen contrast, then take the promising ones to fresh seeds.

    At every planned look those that are clear stop; the seeds after it go to the others.

    Args:
        earlier: the runs of the cycles before.

    Raises:
        OutOfTime: the budget is spent before every run is done.
    """
    plan = campaign.plan

    def run(
        contrasts: Sequence[Contrast], seeds: Sequence[int], phase: Phase
    ) -> tuple[ContrastRuns, ...]:
        if not contrasts:
            return ()
        with progress_bar(f"cycle {cycle}: {phase}", quiet=campaign.quiet) as progress:
            return run_contrasts(
                contrasts, seeds, phase, platform, campaign.ledger, executor, progress, budget
            )

    together, rest = factorial_screen(campaign, executor, selection, platform, cycle, budget)
    screened = run(rest, plan.screen_seeds, "screen")
    names = choose_for_confirmation(
        screened, mde=plan.mde, max_confirm=plan.max_confirm, factorial=together
    )
    if not screened and not names:  # a submission is made of some run: the control's
        screened = run([control_itself(campaign)], plan.screen_seeds, "screen")
    fresh = fresh_seeds(plan, cycle)

    def run_fresh(names: Sequence[str], seeds: Sequence[int]) -> tuple[ContrastRuns, ...]:
        return run([one for one in selection.contrasts if one.id in names], seeds, "confirm")

    raw = RawRuns(
        cycle=cycle,
        platform=platform,
        screen_seeds=plan.screen_seeds,
        confirm_seeds=fresh,
        factorial=together,
        looks=planned_looks(len(fresh), plan.looks),
        runs=screened,
    )
    raw = confirm(
        raw,
        names,
        run_fresh,
        alpha=plan.alpha,
        mde=plan.mde,
        cycles=plan.max_cycles,
        prior=screened_prior([*earlier, raw]),
    )
    pairs = [one for one in raw.runs if one.phase == "confirm" and one.contrast.parts]
    seeds = fresh[: max((len(one.pairs) for one in pairs), default=0)]
    asked = alone(campaign, executor, [one.contrast for one in pairs], platform, budget)
    return raw.model_copy(update={"parts": run(asked, seeds, "confirm")})


def screened_prior(raws: Sequence[RawRuns]) -> VariancePrior | None:
    """Return what the moderated t borrows from all screening of these cycles."""
    return fit_prior(
        [runs for raw in raws for runs in raw.runs if runs.phase == "screen"],
        [raw.factorial for raw in raws if raw.factorial],
    )


def factorial_screen(
    campaign: Campaign,
    executor: Executor,
    selection: Selection,
    platform: Platform,
    cycle: int,
    budget: Budget | None = None,
) -> tuple[FactorialRuns | None, Sequence[Contrast]]:
    """Screen the contrasts that go together in one design, and return those that do not.

    Raises:
        OutOfTime: the budget is spent before every run is done.
    """
    plan = campaign.plan
    if plan.screen_design != "factorial":
        return None, selection.contrasts
    design, rest = plan_screen(
        selection.contrasts,
        campaign.catalog,
        campaign.trainer,
        plan.scale,
        plan.overrides,
        plan.screen_seeds,
    )
    if design is None:
        return None, rest
    with progress_bar(f"cycle {cycle}: factorial screen", quiet=campaign.quiet) as progress:
        done = iter(run_pairs(design.asked, platform, campaign.ledger, executor, progress, budget))
    runs = tuple(
        ContrastRuns(contrast=pair, phase="screen", pairs=tuple(next(done) for _ in seeds))
        for pair, seeds in design.pairs
    )
    return FactorialRuns(factors=design.factors, levels=design.levels, runs=runs), rest


def control_itself(campaign: Campaign) -> Contrast:
    """Return the control against itself."""
    plan = campaign.plan
    reason = (
        "Nothing of the factorial screen is worth fresh seeds; a submission needs the control."
    )
    return aa_contrast(plan.scale, campaign.trainer, reason, plan.overrides)


def alone(
    campaign: Campaign,
    executor: Executor,
    pairs: Sequence[Contrast],
    platform: Platform,
    budget: Budget | None = None,
) -> Sequence[Contrast]:
    """Return the contrasts of the changes that the pairs are made of, each once.

    Raises:
        OutOfTime: the budget is spent before the arms are timed, where wall time matches them.
    """
    plan = campaign.plan
    contrasts = [
        build_contrast(
            campaign.catalog[part],
            plan.scale,
            campaign.trainer,
            plan.matched_by,
            control_overrides=plan.overrides,
        )
        for part in dict.fromkeys(part for pair in pairs for part in pair.parts)
    ]
    return timed_contrasts(contrasts, platform, campaign.ledger, executor, budget=budget)
