"""What the leaderboard lets one believe of a contrast before this campaign has tested anything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.causal.campaign.schema import Contrast
from scripts.causal.graph.carry import evidence_about
from scripts.causal.graph.combine import combine_evidence
from scripts.causal.graph.schema import QUANTILE, CausalDag, CombinedEffect, Estimate, SourceWeight
from scripts.causal.graph.spreads import SMALLEST_TYPICAL, SourceSpreads

NOTHING = "nothing is reported or observed: the leaderboard cannot tell"


@dataclass(frozen=True)
class Belief:
    """A normal belief about an effect in bpb (negative = better), and its basis in words.

    Attributes:
        prior: standard deviation in bpb, about zero, of the belief before the evidence.
    """

    mean: float
    sd: float
    basis: str
    prior: float


def typical_effect(dag: CausalDag) -> float:
    """Return the standard deviation in bpb of effects of which nothing is known.

    That is the prior's smallest spread among the graph's effects: it is wider where one turned
    out large.
    """
    sizes = [part.between for one in dag.effects for part in one.weights if part.source == "prior"]
    return min(sizes, default=SMALLEST_TYPICAL)


def believe(contrast: Contrast, dag: CausalDag) -> Belief:
    """Return what reports and observations say of a contrast; own tests are left out.

    Own tests enter by `scripts.causal.campaign.hierarchy`, with what they say of other contrasts.
    Here they count only in how much an association is taken to be worth that lies far from them,
    and in the spreads of sources, which the graph has learnt with them. A contrast that the graph
    holds no effect of is read off its variable's others, by the rules and at the cost of
    `scripts.causal.graph.carry.evidence_about`; without any it is Normal(0, typical²).
    """
    typical = typical_effect(dag)
    before = contrast.control.get(contrast.variable)
    after = contrast.treatment.get(contrast.variable)
    if before is None or after is None:
        return Belief(0.0, typical, NOTHING, typical)
    told = (_untested(one) for one in dag.effects if one.variable == contrast.variable)
    known = [estimate for estimate in told if estimate is not None]
    found = evidence_about(known, before, after, typical)
    if not found:
        return Belief(0.0, typical, NOTHING, typical)
    spreads = SourceSpreads(typical, between={"reported": 0.0})  # it is in the estimate already
    belief = combine_evidence(contrast.variable, before, after, found, spreads)
    basis = found[0].estimate.detail + (
        ", carried over from another value" if found[0].extra else ""
    )
    prior = next(part.between for part in belief.weights if part.source == "prior")
    return Belief(belief.mean, belief.sd, basis, prior)


def _untested(effect: CombinedEffect) -> Estimate | None:
    """Return what all but own tests and the prior say of it on one stack, as one estimate."""
    parts = [part for part in effect.weights if part.source in ("reported", "observed")]
    weight = sum(part.weight for part in parts)
    if weight <= 0:
        return None
    mean = sum(part.weight * part.effect for part in parts) / weight
    tested = any(part.source == "tested" for part in effect.weights)
    other_stacks = 0.0 if tested else effect.tau  # beside own runs it is in the weights
    half = QUANTILE * math.hypot(effect.sd / math.sqrt(weight), other_stacks)
    return Estimate(
        source="reported",  # one kind, so that all are weighed as one body of evidence
        before=effect.before,
        after=effect.after,
        effect=mean,
        low=mean - half,
        high=mean + half,
        n=len(parts),
        detail=_words(parts),
    )


def _words(parts: Sequence[SourceWeight]) -> str:
    return "; ".join(
        f"{part.source} {part.effect:+.4f} ± {math.hypot(part.se, part.between):.4f}"
        + (f" ({words})" if (words := part.words.strip(", ")) else "")
        for part in parts
    )
