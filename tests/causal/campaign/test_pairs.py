"""Pairs are proposed where something speaks for them, and nowhere else."""

from scripts.causal.campaign.hierarchy import believe_jointly
from scripts.causal.campaign.joint import Candidate, Measurement
from scripts.causal.campaign.pairs import Synergy, propose_pairs


def single(name, variable=None, mean=0.0):
    return Candidate(
        name, (name,), (variable or name,), 0.0, mean, 0.004 if mean == 0 else 0.003, 0.004
    )


def proposals(singles, effects, synergies=None):
    tested = {name: Measurement(effect, 0.001) for name, effect in effects.items()}
    joint = believe_jointly(singles, tested)
    return {one.candidate.id: one for one in propose_pairs(singles, joint, tested, synergies)}


def test_two_that_lean_better_each_are_proposed_with_the_reason():
    found = proposals([single("b"), single("a"), single("c")], {"a": -0.004, "b": -0.003})
    assert list(found) == ["a+b"]
    pair = found["a+b"].candidate
    assert (pair.parts, pair.variables, pair.mean) == (("a", "b"), ("a", "b"), 0.0)
    assert 0 < pair.sd < 0.001
    assert "lean better each by itself" in found["a+b"].reason


def test_a_belief_that_was_never_tested_does_not_count():
    assert proposals([single("a", mean=-0.01), single("b", mean=-0.01)], {"a": -0.004}) == {}


def test_a_harm_or_a_coin_toss_is_no_partner():
    assert proposals([single("a"), single("b")], {"a": -0.004, "b": +0.004}) == {}
    assert proposals([single("a"), single("b")], {"a": -0.004, "b": -0.0001}) == {}


def test_two_values_of_one_variable_cannot_be_made_together():
    assert proposals([single("a1", "a"), single("a2", "a")], {"a1": -0.004, "a2": -0.004}) == {}


def test_a_reported_synergy_is_proposed_untested():
    told = {frozenset(("a", "b")): Synergy(-0.005, 0.002, "PR 7 reports more than the sum")}
    found = proposals([single("a"), single("b"), single("c")], {}, told)
    assert list(found) == ["a+b"]
    assert (found["a+b"].candidate.mean, found["a+b"].candidate.sd) == (-0.005, 0.002)
    assert found["a+b"].reason == "PR 7 reports more than the sum"
