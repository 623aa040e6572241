"""Verdicts in plain words: what was found, and what that does and does not say at full scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scripts.causal.stats.paired import Estimate
from scripts.causal.stats.trend import HORIZON, Answer
from scripts.causal.stats.verdict import Verdict

ENOUGH_TOKENS_PER_PARAMETER = 20.0
"""Below it our small runs ranked changes unlike 8×H100 runs, whatever the number of seeds."""


@dataclass(frozen=True)
class Finding:
    """The numbers that a finding puts into words.

    Attributes:
        label: what was changed.
        verdict: as decided.
        effect: mean difference in bpb on the deciding seeds.
        interval: level, low, high.
        fresh_seeds: complete pairs on fresh seeds; 0 when only screened.
        screen: estimate from the screening seeds.
        p_adjusted: Holm-adjusted p of the moderated t.
        power: probability of confirming a true effect of `mde`.
        mde: smallest effect of interest, bpb.
        identical: every difference is exactly 0.
        discarded: seeds of the deciding phase without a complete pair, with the reason.
        trend: whether the effect may change sign with longer training.
        stopped: the look that decided, of how many planned; None where it was the last.
        outcome: what the effect is a difference of, in bpb.
    """

    label: str
    verdict: Verdict
    effect: float | None
    interval: tuple[float, float, float] | None
    fresh_seeds: int
    screen: Estimate | None
    p_adjusted: float | None
    power: float | None
    mde: float
    identical: bool
    discarded: Mapping[int, str]
    trend: Answer
    stopped: tuple[int, int] | None = None
    outcome: str = "validation bpb"


def finding(found: Finding) -> str:
    """One sentence: effect, interval, seeds, verdict."""
    lost = "".join(f"; seed {seed} discarded: {why}" for seed, why in found.discarded.items())
    if found.verdict == "failed" or found.effect is None:
        return f"{found.label}: failed, no seed has a result in both arms{lost}."
    if found.fresh_seeds == 0:
        return f"{found.label}: {_screened(found)}{lost}; screening picks and proves nothing."
    seeds = _seeds(found.fresh_seeds, "fresh")
    if found.identical and found.verdict == "equivalent":
        return f"{found.label}: identical, every paired difference is exactly 0 on {seeds}."
    band = "no interval"
    if found.interval is not None:
        level, low, high = found.interval
        band = f"{100 * level:.4g} % interval {low:+.5f} to {high:+.5f}"
    p = "" if found.p_adjusted is None else f"; adjusted p {found.p_adjusted:.2g}"
    stopped = ""
    if found.stopped is not None and found.verdict != "inconclusive":
        look, planned = found.stopped
        stopped = f"; clear at look {look} of {planned}, which if anything overstates it"
    return (
        f"{found.label}: {found.outcome} {found.effect:+.5f} ({band}; {seeds}{p}{lost}{stopped}), "
        f"{_conclusion(found)}."
    )


def _screened(found: Finding) -> str:
    outcome = (
        "screened out"
        if found.verdict == "screened_out"
        else "inconclusive, but promising enough to be run on fresh seeds"
    )
    if found.screen is None:
        return outcome
    error = found.screen.standard_error
    spread = f", standard error {error:.5f}" if found.screen.testable else ""
    seeds = _seeds(found.screen.pairs, "screening")
    return f"{outcome} ({found.screen.mean:+.5f} bpb{spread}, {seeds})"


def _conclusion(found: Finding) -> str:
    if found.verdict == "equivalent":
        return f"equivalent: any true effect is smaller than {found.mde:g} either way"
    if found.verdict == "inconclusive" and found.power is not None:
        chance = f"{100 * found.power:.0f} %"
        return f"inconclusive: a true effect of {found.mde:g} had a chance of {chance} to be seen"
    caution = ", but may flip with longer training" if found.trend == "may_flip" else ""
    return found.verdict.replace("_", " ") + caution


def transfer(
    *,
    verdict: Verdict,
    scale: str,
    backend: str,
    size: tuple[float, float] | None,
    trend: Answer,
    carried: str | None = None,
) -> str:
    """What the verdict says about full scale, and what it does not.

    A verdict at one scale never speaks for another without a measured transfer between them.

    Args:
        verdict: as decided.
        scale: name of the reduction that was run.
        backend: where it was run.
        size: parameters of the control and its training tokens per parameter.
        trend: whether the effect may change sign with longer training.
        carried: what a ladder of scales lets claim, in a sentence; None where only this was run.
    """
    extent = (
        "training tokens per parameter not recorded"
        if size is None
        else f"{size[0] / 1e6:.3g} M parameters, {size[1]:.3g} tokens per parameter"
    )
    if carried is not None and verdict != "failed":
        return f"Tested at scale {scale} ({extent}) on {backend} and along a ladder. {carried}"
    parts = [f"Tested at scale {scale} ({extent}) on {backend} only"]
    if verdict in ("failed", "screened_out", "inconclusive"):
        parts.append("there is no finding here to carry to a larger scale")
        return "; ".join(parts) + "."
    parts.append(
        "nothing about 8×H100 follows until the same contrast has been measured at both scales"
    )
    if size is not None and size[1] < ENOUGH_TOKENS_PER_PARAMETER:
        parts.append(
            f"below {ENOUGH_TOKENS_PER_PARAMETER:.0f} tokens per parameter even the sign is often "
            "another one at full scale"
        )
    parts.append(
        {
            "steady": f"the effect keeps its sign when its trend is drawn to {HORIZON:g}× the "
            "training tokens",
            "may_flip": "the effect may flip: its trend points through zero within "
            f"{HORIZON:g}× the training tokens, or it changed sign in the second half of the run",
            "unknown": "whether the effect keeps its sign with longer training cannot be told "
            "from these runs",
        }[trend]
    )
    return "; ".join(parts) + "."


def _seeds(count: int, kind: str) -> str:
    return f"{count} {kind} seed{'s' if count != 1 else ''}"
