"""Screening many changes together: which can share a design, its runs, and what they say.

Matched by FLOPs, every run of the design takes as many steps as cost what the control does, with
all its changes made: a run with two dear changes takes fewer steps than one with either. A main
effect is then what a change brings, at equal compute, on average over the other changes made and
not made. Matched by steps, the runs differ in cost as their changes do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from interventions.catalog import Intervention
from scripts.causal.campaign.contrast import build_contrast, run_flops, together
from scripts.causal.campaign.schema import (
    Contrast,
    ContrastResult,
    FactorialRuns,
    Interval,
    MainEffect,
    RawRuns,
    Value,
    VariancePrior,
)
from scripts.causal.files import InputError
from scripts.causal.stats import factorial, moderated, paired
from scripts.causal.stats.paired import Estimate
from trainers.api import Trainer

LEVEL = 0.95


@dataclass(frozen=True)
class Design:
    """A screen that can be run.

    Attributes:
        factors: the changes, each as the contrast it is by itself.
        levels: of each mirrored pair's treatment, 1 made and 0 not; its control is the mirror.
        pairs: the mirrored pairs as contrasts, with the seeds of each.
    """

    factors: tuple[Contrast, ...]
    levels: tuple[tuple[int, ...], ...]
    pairs: tuple[tuple[Contrast, tuple[int, ...]], ...]

    @property
    def asked(self) -> list[tuple[Contrast, int]]:
        """Every mirrored pair at every one of its seeds, in the design's order."""
        return [(contrast, seed) for contrast, seeds in self.pairs for seed in seeds]


def plan_screen(
    contrasts: Sequence[Contrast],
    catalog: Mapping[str, Intervention],
    trainer: Trainer,
    scale: str,
    overrides: Mapping[str, Value],
    seeds: Sequence[int],
) -> tuple[Design | None, tuple[Contrast, ...]]:
    """Return a design for the contrasts that can share one, and those left to be run alone.

    Contrasts are taken in order, each if it differs in training (what only evaluates is free of
    a run's noise and needs no design), is a single change, and goes with all taken before it: of
    another variable, changing no field that they do, excluded by none of them. From the last on,
    what cannot be built together is left out again. Fewer than three are no design.
    """
    taken: list[Contrast] = []
    for contrast in contrasts:
        changes = [catalog[each.id] for each in (*taken, contrast) if each.id in catalog]
        if contrast.stage != "train" or contrast.parts or len(changes) <= len(taken):
            continue
        if not contrast.of_bpb:
            continue
        try:
            together(*changes)
        except InputError:
            continue
        taken.append(contrast)
    while len(taken) >= factorial.MIN_FACTORS:
        changes = [catalog[each.id] for each in taken]
        try:
            design = _build(taken, changes, trainer, scale, overrides, seeds)
        except InputError:
            taken.pop()
            continue
        return design, tuple(each for each in contrasts if each not in taken)
    return None, tuple(contrasts)


def _build(
    factors: Sequence[Contrast],
    changes: Sequence[Intervention],
    trainer: Trainer,
    scale: str,
    overrides: Mapping[str, Value],
    seeds: Sequence[int],
) -> Design:
    matched_by = factors[0].matched_by

    def cell(made: Sequence[int]) -> tuple[str, str, dict[str, Value]]:
        chosen = [change for change, level in zip(changes, made, strict=True) if level]
        if not chosen:
            return "control", "control", factors[0].control
        change = chosen[0] if len(chosen) == 1 else together(*chosen)
        contrast = build_contrast(change, scale, trainer, matched_by, control_overrides=overrides)
        return change.id, change.label, contrast.treatment

    levels = [[int(level > 0) for level in row] for row in factorial.folded_design(len(factors))]
    pairs = []
    shares = factorial.seeds_of_pairs(len(levels), tuple(seeds))
    for row, share in zip(levels, shares, strict=True):
        name, label, treatment = cell(row)
        other, against, control = cell([1 - level for level in row])
        pair = Contrast(
            id=f"{name} against {other}",
            variable="+".join(each.variable for each in factors),
            label=f"{label} against {against}",
            changes={n: v for n, v in treatment.items() if v != control.get(n)},
            control=control,
            treatment=treatment,
            stage="train",
            matched_by=matched_by,
            flops_per_pair=run_flops(trainer, control) + run_flops(trainer, treatment),
            reason="A mirrored pair of the screening design.",
        )
        pairs.append((pair, share))
    return Design(tuple(factors), tuple(map(tuple, levels)), tuple(pairs))


def screen_effects(runs: FactorialRuns) -> dict[str, Estimate]:
    """Main effects by contrast id; none where too many runs failed to tell them apart."""
    levels, outcomes, seeds = [], [], []
    for row, mirrored in zip(runs.levels, runs.runs, strict=True):
        signs = [2 * level - 1 for level in row]
        for pair in mirrored.pairs:
            for arm, sign in ((pair.treatment, 1), (pair.control, -1)):
                if arm.failure is None and "val_bpb" in arm.metrics:
                    levels.append([sign * level for level in signs])
                    outcomes.append(arm.metrics["val_bpb"])
                    seeds.append(pair.seed)
    try:
        found = factorial.main_effects(
            np.array(levels, dtype=np.int64).reshape(-1, len(runs.factors)),
            np.array(outcomes, dtype=np.float64),
            seeds,
        )
    except ValueError:
        return {}
    return {each.id: effect for each, effect in zip(runs.factors, found, strict=True)}


def screen_prior(screens: Iterable[FactorialRuns]) -> VariancePrior | None:
    """What the moderated t may borrow from screens: the variance of a difference, discounted.

    The error that least squares leaves, pooled over the screens.
    """
    held, total = 0.0, 0.0
    for screen in screens:
        for estimate in list(screen_effects(screen).values())[:1]:  # all have one error
            held, total = held + estimate.df, total + estimate.df * estimate.sd**2
    if not held or not total:
        return None
    prior = moderated.discount(moderated.Prior(total / held, held))
    return VariancePrior(
        scale=prior.variance**0.5, df=prior.df, origin="what factorial screens leave unexplained"
    )


def with_main_effects(
    results: Iterable[ContrastResult], raw: RawRuns, mde: float
) -> tuple[ContrastResult, ...]:
    """Add the main effect to each result that a screen chose, and a result for each other factor.

    A factor that is not taken to fresh seeds is screened out; without a result, it failed.
    """
    screen = raw.factorial
    if screen is None:
        return tuple(results)
    effects = screen_effects(screen)
    told = {name: _main_effect(screen, effect) for name, effect in effects.items()}
    merged = [
        result.model_copy(
            update={
                "main_effect": told[result.contrast.id],
                "screen_effect": told[result.contrast.id].effect,
            }
        )
        if result.contrast.id in told
        else result
        for result in results
    ]
    seen = {result.contrast.id for result in merged}
    merged += [
        _only_screened(contrast, raw, told.get(contrast.id), effects.get(contrast.id), mde)
        for contrast in screen.factors
        if contrast.id not in seen
    ]
    return tuple(merged)


def _main_effect(screen: FactorialRuns, effect: Estimate) -> MainEffect:
    band = paired.interval(effect, LEVEL)
    return MainEffect(
        effect=effect.mean,
        standard_error=effect.standard_error,
        df=effect.df,
        interval=band and Interval(level=LEVEL, low=band[0], high=band[1]),
        runs=2 * sum(len(each.pairs) for each in screen.runs),
        changes=len(screen.factors),
        resolution=factorial.RESOLUTION,
    )


def _only_screened(
    contrast: Contrast,
    raw: RawRuns,
    told: MainEffect | None,
    estimate: Estimate | None,
    mde: float,
) -> ContrastResult:
    effect = None if told is None else told.effect
    return ContrastResult(
        contrast=contrast,
        cycle=raw.cycle,
        verdict="failed" if told is None else "screened_out",
        phase="screen",
        effect=effect,
        interval=None,
        p_moderated=None,
        p_plain=None,
        p_sign_flip=None,
        p_adjusted=None,
        p_equivalence=None,
        df=None if estimate is None else estimate.df,
        sd=None if estimate is None else estimate.sd,
        power=None,
        mde=mde,
        seeds_used=() if told is None else raw.screen_seeds,
        seeds_discarded={},
        screen_effect=effect,
        stage_effects=None,
        correlation=None,
        trend="unknown",
        transfer="Screened only; there is no finding here to carry to a larger scale.",
        words=_words(contrast.label, told),
        main_effect=told,
    )


def _words(label: str, told: MainEffect | None) -> str:
    if told is None:
        return f"{label}: failed, too many runs of its screen have no result."
    return (
        f"{label}: screened out ({told.effect:+.5f} bpb on average over {told.changes - 1} other "
        f"changes made and not made, standard error {told.standard_error:.5f}, {told.runs} runs); "
        "screening picks and proves nothing."
    )
