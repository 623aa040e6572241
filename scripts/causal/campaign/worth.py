"""What running an intervention is worth: its expected improvement under what is believed of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import norm

from interventions.catalog import Claim
from scripts.causal.campaign.direction import aligned
from scripts.causal.campaign.schema import Contrast
from scripts.causal.graph.schema import CausalDag, Estimate

TYPICAL_EFFECT_FLOOR = 0.001
"""bpb. Half the leaderboard's bar of 0.005 nats: what is smaller is not worth telling apart."""


@dataclass(frozen=True)
class Belief:
    """A normal belief about an effect in bpb (negative = better), and its basis in words."""

    mean: float
    sd: float
    basis: str

    def expected_improvement(self) -> float:
        """E[max(0, −effect)] in bpb (Mockus 1975, against the control's effect of zero)."""
        z = -self.mean / self.sd
        return float(self.sd * (norm.pdf(z) + z * norm.cdf(z)))


def typical_effect(dag: CausalDag) -> float:
    """Size in bpb of a typical reported change: 1.4826 × the median |effect|, at least a floor.

    This is how far the truth may lie from a belief that rests on nothing, and how far an effect
    may move when it is carried to another value of the variable or to another stack.
    """
    sizes = sorted(
        abs(estimate.effect)
        for edge in dag.edges
        for estimate in edge.estimates
        if estimate.source == "reported"
    )
    if not sizes:
        return TYPICAL_EFFECT_FLOOR
    middle = len(sizes) // 2
    median = sizes[middle] if len(sizes) % 2 else (sizes[middle - 1] + sizes[middle]) / 2
    return max(TYPICAL_EFFECT_FLOOR, 1.4826 * median)


def believe(contrast: Contrast, claims: Sequence[Claim], dag: CausalDag) -> Belief:
    """Combine, weighted by precision, what is known of a contrast's effect.

    The start is Normal(0, typical²). Estimates on the variable's edge to the outcome, turned to
    the contrast's direction, and the catalog's published claims enter with their own variance
    plus typical² between sources: an estimate at full scale on another stack is not one of this
    very contrast, and a claim is mostly one seed.
    """
    typical = typical_effect(dag)
    estimates = _estimates(contrast, dag)
    effects = [claim.delta_bpb for claim in claims if claim.delta_bpb is not None]
    evidence = [(item.effect, _variance(item) + typical**2) for item in estimates]
    evidence += [(effect, 2 * typical**2) for effect in effects]
    precision = 1 / typical**2 + sum(1 / variance for _, variance in evidence)
    mean = sum(effect / variance for effect, variance in evidence) / precision
    return Belief(mean, 1 / math.sqrt(precision), _basis(estimates, len(effects)))


def _estimates(contrast: Contrast, dag: CausalDag) -> list[Estimate]:
    ends = {contrast.variable, dag.outcome}
    values = contrast.control.get(contrast.variable), contrast.treatment.get(contrast.variable)
    found = (
        aligned(item, *values)
        for edge in dag.edges
        if {edge.source, edge.target} == ends
        for item in edge.estimates
    )
    return [item for item in found if item is not None]


def _variance(estimate: Estimate) -> float:
    """Variance of an estimate from its 95 % interval."""
    return ((estimate.high - estimate.low) / (2 * 1.96)) ** 2


def _basis(estimates: Sequence[Estimate], claims: int) -> str:
    parts = [
        f"{item.source} {item.effect:+.4f} [{item.low:+.4f}, {item.high:+.4f}] for "
        f"{item.contrast} (n={item.n})"
        for item in estimates
    ]
    if claims:
        parts.append(f"{claims} published claim{'s' if claims > 1 else ''}")
    return "; ".join(parts) or "no estimate: the data cannot tell"
