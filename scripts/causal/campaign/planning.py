"""From options to a plan: what a campaign will do and cost at most, before it runs anything."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scripts.causal.campaign.contrast import SCHEDULE, run_flops
from scripts.causal.campaign.plan import CampaignPlan
from scripts.causal.campaign.schema import Value
from scripts.causal.files import InputError, canonical_json, digest
from scripts.causal.stats import factorial
from trainers.api import Config, Trainer


def parse_seeds(text: str, option: str = "--seeds") -> tuple[int, ...]:
    """Return the seeds of a list such as ``42,1337,2024`` (commas or spaces).

    Raises:
        InputError: not whole numbers from 0 to 2⁶³ − 1, fewer than two, or one given twice.
    """
    try:
        seeds = tuple(int(word) for word in text.replace(",", " ").split())
    except ValueError:
        seeds = ()
    if not seeds:
        raise InputError(f"seeds must be whole numbers, but got {text!r}", where=option)
    if outside := [seed for seed in seeds if not 0 <= seed < 2**63]:
        raise InputError(f"`0 <= seed < 2**63` must hold, but got {outside[0]}", where=option)
    if twice := [seed for seed in seeds if seeds.count(seed) > 1]:
        raise InputError(f"seed {twice[0]} is given twice", where=option)
    if len(seeds) < 2:
        raise InputError(
            f"one seed ({seeds[0]}) cannot tell an effect from noise",
            where=option,
            mend=f"give two or more, as in {option} 42,1337",
        )
    return seeds


def scale_overrides(
    trainer: Trainer,
    scale: str,
    *,
    iterations: int | None,
    batch_tokens: int | None,
    layers: int | None,
    vocab_size: int | None = None,
) -> dict[str, Value]:
    """Return the fields that replace the scale's own; schedules keep their share of the steps.

    Raises:
        InputError: a number below 1, or a configuration the trainer refuses.
    """
    given: dict[str, int | None] = {
        "iterations": iterations,
        "train_batch_tokens": batch_tokens,
        "num_layers": layers,
        "vocab_size": vocab_size,
    }
    overrides: dict[str, Value] = {name: n for name, n in given.items() if n is not None}
    if below := [name for name, n in given.items() if n is not None and n < 1]:
        raise InputError(f"{below[0]} must be at least 1, got {given[below[0]]}")
    if iterations is not None:
        overrides |= rescaled_schedule(trainer.resolve(scale, {}), iterations)
    trainer.resolve(scale, overrides)
    return overrides


def rescaled_schedule(config: Config, iterations: int) -> dict[str, Value]:
    """Return the fields counted in steps, in the same proportion to the new number of steps."""
    share = iterations / int(config["iterations"])
    return {name: round(int(config[name]) * share) for name in SCHEDULE if name in config}


def make_plan(
    trainer: Trainer,
    *,
    records: Path,
    backend: str,
    scale: str,
    overrides: dict[str, Value],
    data: str | None,
    matched_by: str,
    alpha: float,
    mde: float,
    max_cycles: int,
    max_per_cycle: int,
    max_confirm: int,
    screen_seeds: tuple[int, ...],
    confirm_seeds: tuple[int, ...],
    screen_design: str = "one-at-a-time",
    looks: int = 1,
    name: str | None = None,
    own_controls: int = 0,
) -> CampaignPlan:
    """Return the plan of a campaign; without a name it gets one from what it depends on.

    Its cost is the most it can come to: every cycle full, controls shared, each run as dear as
    the control (FLOPs matching makes that so; matched by steps it is an approximation).

    Args:
        own_controls: how many controls beside the campaign's the catalog's changes have.

    Raises:
        InputError: an option out of range, or a seed that would both screen and confirm.
    """
    if shared := sorted(set(screen_seeds) & set(confirm_seeds)):
        raise InputError(
            f"seed {shared[0]} is both a screening and a confirmation seed",
            mend="claims come only from seeds that took no part in the choice",
        )
    if screen_design == "factorial":
        _require_factorial(max_per_cycle, matched_by)
    screen, confirm = len(screen_seeds), len(confirm_seeds)
    runs = screen * (1 + max_cycles * max_per_cycle) + confirm * (1 + max_cycles * max_confirm)
    if screen_design == "factorial":
        runs = max_cycles * most_screened(max_per_cycle, screen)
        runs += confirm * (1 + max_cycles * max_confirm)
    # Later cycles decide on seeds of their own: a control for each, and for a pair two runs more.
    runs += confirm * (max_cycles - 1) * (1 + 2 * max_confirm)
    runs += screen * min(own_controls, max_cycles * max_per_cycle)
    runs += confirm * max_cycles * min(own_controls, max_confirm)
    options: dict[str, Any] = {
        "records": str(records),
        "trainer": trainer.name,
        "backend": backend,
        "scale": scale,
        "overrides": overrides,
        "data": data,
        "matched_by": matched_by,
        "alpha": alpha,
        "mde": mde,
        "max_cycles": max_cycles,
        "max_per_cycle": max_per_cycle,
        "max_confirm": max_confirm,
        "screen_seeds": screen_seeds,
        "confirm_seeds": confirm_seeds,
        "screen_design": screen_design,
        "looks": looks,
        "planned_runs": runs,
        "planned_flops": runs * run_flops(trainer, trainer.resolve(scale, overrides)),
        "created": datetime.now(UTC).date(),
        "code_version": version("causal-golf"),
    }
    try:
        plan = CampaignPlan.model_validate({"name": name or scale, **options})
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise InputError(f"{first['msg']}, got {first['input']!r}", where=option) from error
    if name is not None:
        return plan
    return plan.model_copy(
        update={"name": f"{scale}-{digest(canonical_json(decisive(plan)))[:8]}"}
    )


def _require_factorial(changes: int, matched_by: str) -> None:
    if not factorial.MIN_FACTORS <= changes <= factorial.MAX_FACTORS:
        raise InputError(
            f"a factorial screen takes {factorial.MIN_FACTORS} to {factorial.MAX_FACTORS} changes "
            f"a cycle, but at most {changes} may be chosen",
            where="--screen-design",
            mend="--max-per-cycle 8",
        )
    if matched_by == "wall_time":
        raise InputError(
            "wall time is measured for single changes, not for all that a factorial screen makes "
            "together",
            where="--screen-design",
            mend="--matched-by flops",
        )


def most_screened(changes: int, seeds: int) -> int:
    """Return the most runs that a factorial screen takes, however many changes go together.

    Those that do not are screened one at a time, against a control of their own.
    """
    times = factorial.replicates(seeds)
    designed = range(factorial.MIN_FACTORS, changes + 1)
    alone = seeds * (1 + changes)
    sizes = (
        factorial.folded(n, times, 1.0).runs + (seeds * (1 + changes - n) if n < changes else 0)
        for n in designed
    )
    return max(alone, *sizes)


def screen_costs(plan: CampaignPlan, sd: float) -> list[str]:
    """Return in words what screening a cycle's changes takes by either design.

    Args:
        sd: standard deviation of one paired difference, bpb.
    """
    changes, seeds = plan.max_per_cycle, len(plan.screen_seeds)
    if not factorial.MIN_FACTORS <= changes <= factorial.MAX_FACTORS:
        return []
    alone = factorial.one_at_a_time(changes, seeds, sd)
    together = factorial.folded(changes, factorial.replicates(seeds), sd)
    matching = factorial.runs_to_reach(together.standard_error, changes, sd)[0]
    wanted = plan.mde / 4
    reached = factorial.runs_to_reach(wanted, changes, sd)
    return [
        f"screening {changes} changes on {seeds} seeds, where one paired difference scatters by "
        f"{sd:g} bpb (sd): one at a time {alone.runs} runs, each effect to "
        f"{alone.standard_error:.2g} bpb (standard error); factorial {together.runs} runs, "
        f"{together.standard_error:.2g} bpb, which one at a time takes {matching.runs} runs",
        f"for {wanted:.2g} bpb, a quarter of the MDE: one at a time {reached[0].runs} runs, "
        f"factorial {reached[1].runs}; factorial effects are averages over the other changes, "
        f"clear of interactions of two (resolution {factorial.RESOLUTION}), not of three",
    ]


def fresh_seeds(plan: CampaignPlan, cycle: int) -> tuple[int, ...]:
    """Return the seeds that decide a cycle: the plan's in the first, as many others in each after.

    A later cycle's contrasts are chosen for what earlier ones showed on their fresh seeds. A
    control that is unlucky there flatters all of them, the kin of what looked good the most; two
    changes that are tried together for looking good there look better than they are, and their
    interaction worse.
    """
    if cycle == 1:
        return plan.confirm_seeds
    taken = {*plan.screen_seeds, *plan.confirm_seeds}
    others = (seed for seed in itertools.count() if seed not in taken)
    size = len(plan.confirm_seeds)
    return tuple(itertools.islice(others, (cycle - 2) * size, (cycle - 1) * size))


def decisive(plan: CampaignPlan) -> dict[str, Any]:
    """Return what a campaign's outcome depends on: all of the plan but its name and its cost."""
    costs = {"planned_runs", "planned_flops", "seconds_estimate"}
    return plan.model_dump(mode="json", exclude={"name", "created", "code_version", *costs})
