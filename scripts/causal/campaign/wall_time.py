"""Arms matched by wall time: how long a step of each takes, measured where the runs will be.

Both arms of a contrast run a few steps side by side on the same executor, warm: the model is
compiled and warmed before a trainer's clock starts, and the first pair only warms the workers. The
short runs are in the ledger like any other, so a campaign that is resumed reads the same clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from scripts.causal.campaign.contrast import SCHEDULE, STEPS, with_equal_cost
from scripts.causal.campaign.schema import Contrast, ContrastRuns, Platform, Value
from scripts.causal.files import InputError, digest
from trainers.api import Config, Trainer

PROBE_STEPS = 20
WARM_PAIRS, TIMED_PAIRS = 1, 3
LEAST = 0.02  # ratios nearer to 1 are the clock's own scatter: steps stay equal

Run = Callable[[Sequence[Contrast], Sequence[int]], tuple[ContrastRuns, ...]]
"""Runs contrasts on seeds, as `experiment_runner.run_contrasts` does."""


def match_by_wall_time(
    contrasts: Sequence[Contrast], platform: Platform, trainer: Trainer, run: Run
) -> tuple[Contrast, ...]:
    """Time the arms that train differently, and give treatments as many steps as take as long.

    Contrasts that are matched by something else stay as they are.
    A contrast whose short runs fail keeps its steps: its runs will tell why.

    Args:
        run: on the executor that the contrasts will run on.

    Raises:
        InputError: the trainer does not tell how long training took.
    """
    timed = [
        each for each in contrasts if each.matched_by == "wall_time" and _trains_differently(each)
    ]
    if not timed:
        return tuple(contrasts)
    short = [_shortened(each, trainer, platform.scale) for each in timed]
    runs = run(short, _seeds(platform))
    matched = {
        each.id: _matched(each, found, trainer, platform.scale)
        for each, found in zip(timed, runs, strict=True)
    }
    return tuple(matched.get(each.id, each) for each in contrasts)


def _trains_differently(contrast: Contrast) -> bool:
    return contrast.stage == "train" and contrast.control != contrast.treatment


def _seeds(platform: Platform) -> tuple[int, ...]:
    # The machine's own: in a ledger that machines share none reads another's clock.
    first = int(digest("wall time", platform.machine)[:12], 16)
    return tuple(first + number for number in range(WARM_PAIRS + TIMED_PAIRS))


def _shortened(contrast: Contrast, trainer: Trainer, scale: str) -> Contrast:
    arms = {
        "control": _short(contrast.control, trainer, scale),
        "treatment": _short(contrast.treatment, trainer, scale),
    }
    return contrast.model_copy(update={**arms, "matched_by": "steps"})


def _short(config: Config, trainer: Trainer, scale: str) -> dict[str, Value]:
    """A run of few steps with the schedule in proportion: what varies over it, varies here."""
    steps = int(config[STEPS])
    few = min(PROBE_STEPS, steps)
    points: dict[str, Value] = {
        name: round(int(config[name]) * few / steps) for name in SCHEDULE if name in config
    }
    if "val_points" in config:
        points["val_points"] = 1  # validation is off the clock, and costs nonetheless
    return trainer.resolve(scale, {**config, STEPS: few, **points})


def _matched(contrast: Contrast, runs: ContrastRuns, trainer: Trainer, scale: str) -> Contrast:
    pairs = runs.pairs[WARM_PAIRS:]
    if failed := [arm.failure for pair in pairs for arm in (pair.control, pair.treatment)]:
        failures = [failure for failure in failed if failure]
        if failures:
            return _with(
                contrast, f"Not matched by wall time: a short run failed ({failures[0]})."
            )
    steps = int(runs.contrast.control[STEPS])
    clocks = [
        tuple(arm.metrics.get("seconds", 0.0) / steps for arm in (pair.control, pair.treatment))
        for pair in pairs
    ]
    if not all(seconds > 0 for clock in clocks for seconds in clock):
        raise InputError(
            f"trainer {trainer.name!r} does not tell the seconds of a run", mend="match by steps"
        )
    ours, theirs = (median(each) for each in zip(*clocks, strict=True))
    ratios = [treatment / control for control, treatment in clocks]
    one_sided = min(ratios) > 1 or max(ratios) < 1
    ratio = median(ratios) if one_sided and abs(median(ratios) - 1) >= LEAST else 1.0
    treatment = with_equal_cost(trainer, scale, contrast.control, contrast.treatment, (1.0, ratio))
    told = (
        f"Matched by wall time: a step takes {1e3 * theirs:.3g} ms against the control's "
        f"{1e3 * ours:.3g} ms (medians of {TIMED_PAIRS} warm runs each)"
    )
    if treatment[STEPS] == contrast.control[STEPS]:
        outcome = f", too alike to change the {int(contrast.control[STEPS]):,} steps."
    else:
        outcome = (
            f"; {int(treatment[STEPS]):,} steps against {int(contrast.control[STEPS]):,}, the "
            "schedule in proportion."
        )
    return _with(contrast, told + outcome, treatment=treatment, step_seconds=(ours, theirs))


def _with(contrast: Contrast, words: str, **changes: object) -> Contrast:
    reason = " ".join(part for part in (contrast.reason, words) if part)
    return contrast.model_copy(update={**changes, "reason": reason})
