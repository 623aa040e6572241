"""Which contrasts of many are worth trying next, under what is believed of all together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from scripts.causal.campaign.joint import Candidate, Joint, Measurement
from scripts.causal.campaign.trial import Trial


@dataclass(frozen=True)
class Choice:
    """A candidate with what it was judged by.

    Attributes:
        mean, sd: belief when it was judged; the spread is what the choices before leave open.
        gain: expected improvement that may be adopted, bpb.
        seeds: expected number of paired seeds.
        worth: gain per cost.
        stacked: the gain is on top of the best that is held of other variables, and the cost
            holds the trial of both together, should this one be confirmed.
    """

    candidate: Candidate
    mean: float
    sd: float
    gain: float
    seeds: float
    worth: float
    stacked: bool = False


def rank(
    candidates: Sequence[Candidate],
    joint: Joint,
    trials: Mapping[str, Trial],
    *,
    tried: Collection[str] = (),
    held: Mapping[str, float] | None = None,
    additive: bool = False,
    limit: int | None = None,
) -> list[Choice]:
    """Return untried candidates, most gain per cost first; equal ones by id.

    Each is judged as if those before it were tried and came out as believed: what they would
    tell of it is no longer open, and what they would bring of the same variable is held already.

    Args:
        candidates: single changes and combinations, each under its own id.
        joint: belief over all candidates, in their order, after every test so far.
        trials: candidate → how it would be tried.
        held: variable → improvement in bpb that is confirmed of it already; ``v+w`` → that of
            a combination.
        additive: confirmed improvements of different variables count together without having
            been tried together, so that a combination is worth its interaction alone. Otherwise
            it is worth what it brings beyond the best that is held, and a single change either
            that or, tried together with that best later, what it brings by itself.
        tried: ids that are not to be ranked.
        limit: how many; all by default.

    Raises:
        KeyError: a candidate without a trial.
    """
    places = {one.id: place for place, one in enumerate(candidates)}
    left = {one.id: one for one in sorted(candidates, key=lambda one: one.id)}
    for name in tried:
        left.pop(name, None)
    brought = dict(held or {})
    best_held = max(brought.values(), default=0.0)
    ranked: list[Choice] = []
    while left and (limit is None or len(ranked) < limit):
        judged: dict[str, Choice] = {}
        for name in sorted(left, key=lambda name: len(left[name].parts)):
            one, place, trial = left[name], places[name], trials[name]
            mean, sd = float(joint.mean[place]), joint.sd(place)
            bar = _without(one, brought, judged, additive=additive)
            judged[name] = _judge(one, trial, mean, sd, bar)
            if len(one.parts) == 1 and not additive and best_held > bar:
                alone = _judge(one, trial, mean, sd, best_held)
                after = trial.chance(mean, sd, bar) * trial.of_pair().most
                stacked = _judge(one, trial, mean, sd, bar, after)
                judged[name] = max(alone, stacked, key=lambda choice: choice.worth)
        best = max(judged.values(), key=lambda choice: choice.worth)
        ranked.append(best)
        del left[best.candidate.id]
        joint = joint.given(
            {best.candidate.id: Measurement(best.mean, trials[best.candidate.id].se)}
        )
        if len(best.candidate.parts) == 1:
            variable = best.candidate.variables[0]
            brought[variable] = brought.get(variable, 0.0) + best.gain
        else:  # one combination of a variable at a time: the next depends on what it shows
            taken = set(best.candidate.variables)
            left = {
                name: one
                for name, one in left.items()
                if len(one.parts) == 1 or taken.isdisjoint(one.variables)
            }
    return ranked


def _judge(
    candidate: Candidate, trial: Trial, mean: float, sd: float, bar: float, after: float = 0.0
) -> Choice:
    """Return what a trial brings beyond `bar`, where `after` is the cost of what it leads to."""
    gain, price = trial.gain(mean, sd, bar), trial.price(mean, sd) + after
    return Choice(candidate, mean, sd, gain, trial.seeds(mean, sd), gain / price, after > 0)


def _without(
    candidate: Candidate,
    brought: Mapping[str, float],
    judged: Mapping[str, Choice],
    *,
    additive: bool,
) -> float:
    """Return the improvement in bpb that can be had without this candidate.

    Of a combination, what its parts bring by themselves (`judged`, before it) beside what is
    `brought` already; unless these add up, also the best that is held of anything else.
    """
    expected = (judged[part].gain if part in judged else 0.0 for part in candidate.parts)
    each = [
        brought.get(variable, 0.0) + (gain if len(candidate.parts) > 1 else 0.0)
        for variable, gain in zip(candidate.variables, expected, strict=True)
    ]
    if additive or len(each) == 1:
        return sum(each)
    return max(*each, *brought.values())
