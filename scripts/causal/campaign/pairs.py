"""Which two changes are worth trying together, though nobody has asked.

There are too many pairs to try them all, and most changes simply add up. A pair is proposed where
something speaks for it: both changes lean better in this campaign's own tests, or somebody
reports them together as more than the sum of what is known of each.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from scipy.special import ndtr

from scripts.causal.campaign.joint import Candidate, Joint

LEANS = 0.95
"""Probability of being better from which a tested change counts as leaning better: two that both
are make a pair at least nine times of ten."""
INTERACTION = 0.25
"""Sd of an unknown interaction as a share of the smaller effect: adding up is the rule (a
hierarchy that factorial experiments lean on: Wu & Hamada 2009, Experiments, section 4.6)."""
JOIN = "+"


@dataclass(frozen=True)
class Synergy:
    """What is reported of two changes made together, beyond the sum, bpb."""

    mean: float
    sd: float
    words: str


@dataclass(frozen=True)
class Proposal:
    """A pair with the reason for it, in words."""

    candidate: Candidate
    reason: str


def propose_pairs(
    singles: Sequence[Candidate],
    joint: Joint,
    tested: Collection[str],
    synergies: Mapping[frozenset[str], Synergy] | None = None,
) -> list[Proposal]:
    """Return the pairs that something speaks for, by id.

    Args:
        singles: single changes, in the order of `joint`.
        joint: belief over them after every test so far.
        tested: ids of those measured in this campaign.
        synergies: what is reported of pairs of changes, by their ids.
    """
    places = {name: place for place, name in enumerate(joint.ids)}
    known = synergies or {}
    better = {
        one.id: float(ndtr(-joint.mean[places[one.id]] / max(joint.sd(places[one.id]), 1e-12)))
        for one in singles
    }
    found: list[Proposal] = []
    for one, other in combinations(sorted(singles, key=lambda one: one.id), 2):
        variables = one.variables + other.variables
        if variables[0] == variables[1]:
            continue
        reported = known.get(frozenset((one.id, other.id)))
        mean, sd, reasons = 0.0, 0.0, []
        if {one.id, other.id} <= set(tested) and min(better[one.id], better[other.id]) >= LEANS:
            sizes = [abs(float(joint.mean[places[name]])) for name in (one.id, other.id)]
            sd = INTERACTION * min(sizes)
            reasons.append(
                f"{one.id} ({better[one.id]:.0%}) and {other.id} ({better[other.id]:.0%} sure to "
                "be better) lean better each by itself; nothing tells whether they add up"
            )
        if reported is not None:
            mean, sd = reported.mean, max(sd, reported.sd)
            reasons.append(reported.words)
        if reasons:
            candidate = Candidate(
                JOIN.join((one.id, other.id)), (one.id, other.id), variables, 0.0, mean, sd, sd
            )
            found.append(Proposal(candidate, "; ".join(reasons)))
    return found
