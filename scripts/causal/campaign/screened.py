"""What screening gives a campaign: noise to borrow, and the contrasts worth fresh seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from scripts.causal.campaign.factorial_screen import screen_effects, screen_prior
from scripts.causal.campaign.measured import Measured, measure, shared_noise
from scripts.causal.campaign.schema import (
    Contrast,
    ContrastRuns,
    FactorialRuns,
    VariancePrior,
)
from scripts.causal.files import InputError
from scripts.causal.stats import moderated, paired, screening
from scripts.causal.stats.paired import Estimate


def choose_for_confirmation(
    screen_runs: Sequence[ContrastRuns],
    *,
    mde: float,
    max_confirm: int,
    threshold: float = screening.THRESHOLD,
    factorial: FactorialRuns | None = None,
) -> list[str]:
    """Ids of the contrasts to run on fresh seeds, best first, at most `max_confirm`.

    Possible improvements go first, then clear harms (rule in `scripts.causal.stats.screening`).

    Raises:
        InputError: `mde`, `max_confirm` or `threshold` out of range, or malformed runs.
    """
    if max_confirm < 0:
        raise InputError(f"cannot confirm {max_confirm} contrasts")
    screens = {runs.contrast.id: measure(runs) for runs in screen_runs}
    prior = fit_prior(screen_runs)
    return worth_confirming(screens, prior, mde, threshold, factorial)[:max_confirm]


def fit_prior(
    screen_runs: Sequence[ContrastRuns], factorials: Sequence[FactorialRuns] = ()
) -> VariancePrior | None:
    """What the moderated t may borrow, from the screening pairs of the campaign's contrasts.

    Only contrasts that differ in training lend and borrow: later stages run on the same
    checkpoints, where noise is an order of magnitude smaller. None with fewer than three that
    have two complete, differing pairs. Discounted for the choice that screening makes. A
    factorial screen lends instead what it leaves unexplained.
    """
    if lent := screen_prior(factorials):
        return lent
    lenders = [
        measured
        for measured in (measure(runs) for runs in screen_runs if runs.phase == "screen")
        if borrows(measured.contrast) and len(measured.pairs) > 1 and not measured.identical
    ]
    estimates = [paired.plain_estimate(measured.differences) for measured in lenders]
    prior = moderated.fit_prior(
        [estimate.sd**2 for estimate in estimates],
        [estimate.df for estimate in estimates],
        shared_noise(lenders),
    )
    if prior is None:
        return None
    prior = moderated.discount(prior)
    return VariancePrior(
        scale=math.sqrt(prior.variance),
        df=prior.df,
        origin=f"screening pairs of {len(lenders)} contrasts that differ in training",
        pooled=math.sqrt(
            sum(one.df * one.sd**2 for one in estimates) / sum(one.df for one in estimates)
        ),
    )


def borrows(contrast: Contrast) -> bool:
    """Whether its noise is that of bpb after training, which contrasts lend one another."""
    return contrast.stage == "train" and contrast.of_bpb


def moderated_estimate(
    measured: Measured, prior: VariancePrior | None, earlier: Measured | None = None
) -> Estimate | None:
    """The estimate with the spread of the contrast's earlier phase and the prior's put in."""
    if measured.estimate is None:
        return None
    estimate = moderated.pool(measured.estimate, None if earlier is None else earlier.estimate)
    if prior is None or not borrows(measured.contrast):
        return estimate
    return moderated.moderate(estimate, moderated.Prior(prior.scale**2, prior.df))


def worth_confirming(
    screens: Mapping[str, Measured],
    prior: VariancePrior | None,
    mde: float,
    threshold: float,
    factorial: FactorialRuns | None = None,
) -> list[str]:
    """Ids of the screened contrasts that fresh seeds may decide, best first.

    Raises:
        InputError: `mde` or `threshold` out of range.
    """
    together = {} if factorial is None else screen_effects(factorial)
    estimates = together | {
        name: estimate
        for name, measured in screens.items()
        if not measured.identical
        and not measured.treatment_failures
        and (estimate := moderated_estimate(measured, prior)) is not None
    }
    try:
        return screening.worth_confirming(estimates, mde=mde, threshold=threshold)
    except ValueError as error:
        raise InputError(str(error)) from error
