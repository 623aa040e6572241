"""Rules that pick the next contrasts of a campaign, to be raced by selection.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from selection_campaign import PER_CYCLE, TRIAL, Campaign, Measure
from selection_worlds import TYPICAL, Truth

from scripts.causal.campaign.choice import rank
from scripts.causal.campaign.hierarchy import believe_jointly
from scripts.causal.campaign.joint import Candidate
from scripts.causal.campaign.pairs import Synergy, propose_pairs

Rule = Callable[[Campaign, Sequence[str], Measure, np.random.Generator], list[str]]


def uniform(
    campaign: Campaign, left: Sequence[str], measure: Measure, rng: np.random.Generator
) -> list[str]:
    """Any of those left."""
    return [left[place] for place in rng.permutation(len(left))[:PER_CYCLE]]


def prototype(
    campaign: Campaign, left: Sequence[str], measure: Measure, rng: np.random.Generator
) -> list[str]:
    """Largest |naive difference| first."""
    world = campaign.world

    def size(name: str) -> float:
        told = (world.bundles if name in world.bundles else world.changes)[name].naive
        return -abs(told or 0.0)

    return sorted(left, key=lambda name: (size(name), name))[:PER_CYCLE]


def truth(
    campaign: Campaign, left: Sequence[str], measure: Measure, rng: np.random.Generator
) -> list[str]:
    """Largest true improvement first."""
    return sorted(left, key=lambda name: (campaign.world.effect(name.split("+")), name))[
        :PER_CYCLE
    ]


def belief(
    campaign: Campaign, left: Sequence[str], measure: Measure, rng: np.random.Generator
) -> list[str]:
    """Largest improvement by the evidence, not learning from what was tried."""
    candidates = candidates_of(campaign.world)
    joint = believe_jointly(candidates)
    mean = dict(zip(joint.ids, joint.mean, strict=True))
    return sorted(left, key=lambda name: (mean[name], name))[:PER_CYCLE]


def ours(
    campaign: Campaign, left: Sequence[str], measure: Measure, rng: np.random.Generator
) -> list[str]:
    """The rule of the pipeline; it alone may propose pairs that nobody reported."""
    singles = [one for one in candidates_of(campaign.world) if len(one.parts) == 1]
    tested = {name: outcome.tested for name, outcome in campaign.outcomes.items()}
    known = {
        frozenset(bundle.parts): Synergy(*bundle.said, "reported")
        for bundle in campaign.world.bundles.values()
        if bundle.said
    }
    pairs = propose_pairs(singles, believe_jointly(singles, tested), tested, known)
    candidates = [*singles, *(pair.candidate for pair in pairs)]
    choices = rank(
        candidates,
        believe_jointly(candidates, tested),
        {one.id: TRIAL.of_pair() if len(one.parts) > 1 else TRIAL for one in candidates},
        tried=campaign.outcomes,
        held={variable: -effect for variable, (effect, _) in campaign.adopted.items()},
        additive=measure == "all",
        limit=PER_CYCLE,
    )
    return [choice.candidate.id for choice in choices]


def candidates_of(world: Truth) -> list[Candidate]:
    """Return every contrast with the belief that its evidence gives."""
    found = []
    for change in world.changes.values():
        precision = 1 / TYPICAL**2 + sum(1 / se**2 for _, se in change.said)
        mean = sum(effect / se**2 for effect, se in change.said) / precision
        found.append(
            Candidate(
                change.id,
                (change.id,),
                (change.variable,),
                change.step,
                mean,
                precision**-0.5,
                TYPICAL,
            )
        )
    for bundle in world.bundles.values():
        said, se = bundle.said or (0.0, TYPICAL)
        precision = 1 / TYPICAL**2 + 1 / se**2
        found.append(
            Candidate(
                bundle.id,
                bundle.parts,
                world.variables(bundle.parts),
                0.0,
                said / se**2 / precision,
                precision**-0.5,
                TYPICAL,
            )
        )
    return found


RULES: dict[str, Rule] = {
    "uniform": uniform,
    "prototype": prototype,
    "belief": belief,
    "ours": ours,
    "truth": truth,
}
