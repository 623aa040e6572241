"""Which contrasts of many are worth trying next, under what is believed of all together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from scripts.causal.campaign.joint import Candidate, Joint, Tested
from scripts.causal.campaign.trial import Trial


@dataclass(frozen=True)
class Choice:
    """A candidate with what it was judged by.

    Attributes:
        mean, sd: belief when it was judged; the spread is what the choices before leave open.
        gain: expected improvement that may be adopted, bpb.
        seeds: expected number of paired seeds.
        worth: gain per cost.
    """

    candidate: Candidate
    mean: float
    sd: float
    gain: float
    seeds: float
    worth: float


def rank(
    candidates: Sequence[Candidate],
    joint: Joint,
    costs: Mapping[str, float],
    trial: Trial,
    *,
    tried: Collection[str] = (),
    held: Mapping[str, float] | None = None,
    limit: int | None = None,
) -> list[Choice]:
    """Return untried candidates, most gain per cost first; equal ones by id.

    Each is judged as if those before it were tried and came out as believed: what they would
    tell of it is no longer open, and what they would bring of the same variable is held already.

    Args:
        joint: belief over all candidates, in their order, after every test so far.
        costs: candidate → cost of one paired seed.
        held: variable → improvement in bpb that is confirmed of it already.
        limit: how many; all by default.
    """
    places = {one.id: place for place, one in enumerate(candidates)}
    left = {one.id: one for one in sorted(candidates, key=lambda one: one.id)}
    for name in tried:
        left.pop(name, None)
    brought = dict(held or {})
    ranked: list[Choice] = []
    while left and (limit is None or len(ranked) < limit):
        judged: dict[str, Choice] = {}
        for name in sorted(left, key=lambda name: len(left[name].parts)):
            one, place = left[name], places[name]
            mean, sd = float(joint.mean[place]), joint.sd(place)
            bar = sum(brought.get(variable, 0.0) for variable in one.variables)
            if len(one.parts) > 1:  # its parts would bring this without it
                bar += sum(judged[part].gain for part in one.parts if part in judged)
            gain, seeds = trial.gain(mean, sd, bar), trial.seeds(mean, sd)
            judged[name] = Choice(one, mean, sd, gain, seeds, gain / (seeds * costs[name]))
        best = max(judged.values(), key=lambda choice: choice.worth)
        ranked.append(best)
        del left[best.candidate.id]
        joint = joint.given({best.candidate.id: Tested(best.mean, trial.se)})
        if len(best.candidate.parts) == 1:
            variable = best.candidate.variables[0]
            brought[variable] = brought.get(variable, 0.0) + best.gain
    return ranked
