"""What full-scale runs say of an effect, beside the record rule: three seeds and a known noise.

The competition's own test asks whether a submission beats a score by a margin. Whether the change
does anything, and how much, is another question, which three seeds of their own can hardly
answer: the moderated paired t borrows the seed spread that the leaderboard's records show.
"""

from __future__ import annotations

from collections.abc import Sequence

from scripts.causal.campaign.measured import measure
from scripts.causal.campaign.schema import ContrastRuns, Interval, VariancePrior
from scripts.causal.campaign.validation import PairedEffect
from scripts.causal.stats import paired
from scripts.causal.stats.family import holm
from scripts.causal.stats.moderated import Prior, moderate
from scripts.causal.stats.paired import Estimate
from scripts.causal.stats.power import minimum_detectable_effect
from scripts.causal.stats.record import ALPHA


def paired_effects(
    runs: Sequence[ContrastRuns], prior: VariancePrior | None
) -> list[PairedEffect | None]:
    """The effect of each contrast against its control, one family under Holm."""
    estimates = [_estimate(each, prior) for each in runs]
    raw = [None if one is None else paired.p_value(one) for one in estimates]
    return [
        None if one is None or p is None or least is None else _effect(one, p, least, len(runs))
        for one, p, least in zip(estimates, raw, holm(raw), strict=True)
    ]


def _estimate(runs: ContrastRuns, prior: VariancePrior | None) -> Estimate | None:
    measured = measure(runs)
    plain = measured.estimate
    # A seed that failed is not left out, which would choose by outcome.
    if plain is None or plain.pairs < 2 or measured.identical or measured.discarded:
        return None
    return moderate(plain, None if prior is None else Prior(prior.scale**2, prior.df))


def _effect(estimate: Estimate, p: float, p_adjusted: float, family: int) -> PairedEffect | None:
    band = paired.interval(estimate, 1 - ALPHA)
    if band is None:
        return None
    return PairedEffect(
        effect=estimate.mean,
        interval=Interval(level=1 - ALPHA, low=band[0], high=band[1]),
        sd=estimate.sd,
        df=estimate.df,
        p=p,
        p_adjusted=p_adjusted,
        detectable=minimum_detectable_effect(
            sd=estimate.sd, pairs=estimate.pairs, df=estimate.df, alpha=ALPHA / family
        ),
    )


def detectable_effect(contrasts: int, seeds: int, prior: VariancePrior) -> float:
    """The true effect in bpb that will be confirmed with a chance of 80 %, before any run."""
    return minimum_detectable_effect(
        sd=prior.scale, pairs=seeds, df=prior.df + seeds - 1, alpha=ALPHA / contrasts
    )
