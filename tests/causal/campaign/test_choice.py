"""Ranking: most gain per cost, one question at a time, nothing that its parts would bring."""

import pytest

from scripts.causal.campaign.choice import rank
from scripts.causal.campaign.hierarchy import believe_jointly
from scripts.causal.campaign.joint import Candidate, Measurement
from scripts.causal.campaign.trial import Trial

TRIAL = Trial(noise=0.001, screen=2, confirm=4, alpha=0.01, mde=0.001)


def single(name, variable=None, mean=0.0, sd=0.004):
    """Nothing is told of it where the spread is the prior's."""
    return Candidate(name, (name,), (variable or name,), 0.0, mean, sd, 0.004)


def together(one, other, mean, sd):
    parts = one.parts + other.parts
    return Candidate("+".join(parts), parts, one.variables + other.variables, 0.0, mean, sd, sd)


def order(candidates, tested=None, costs=None, **options):
    joint = believe_jointly(candidates, tested)
    trials = {
        one.id: Trial(0.001, 2, 4, 0.01, 0.001, (costs or {}).get(one.id, 1.0))
        for one in candidates
    }
    return rank(candidates, joint, trials, tried=tested or {}, **options)


def names(choices):
    return [choice.candidate.id for choice in choices]


def test_believed_improvement_first_then_the_unknown_then_believed_harm():
    candidates = [
        single("harm", mean=0.004, sd=0.001),
        single("unknown"),
        single("gain", mean=-0.004, sd=0.001),
    ]
    assert names(order(candidates)) == ["gain", "unknown", "harm"]


def test_twice_the_cost_is_half_the_worth():
    candidates = [single("a"), single("b", mean=-0.003, sd=0.002)]
    assert names(order(candidates)) == ["b", "a"]
    ranked = order(candidates, costs={"b": 2.0})
    assert names(ranked) == ["a", "b"]
    assert ranked[1].worth == pytest.approx(ranked[1].gain / ranked[1].seeds / 2)


def test_equals_come_by_id_whatever_their_order():
    forward = [single(name) for name in "dbca"]
    assert names(order(forward)) == names(order(forward[::-1])) == list("abcd")


def test_a_second_contrast_of_a_variable_waits_for_the_first():
    candidates = [single("a1", "a"), single("a2", "a"), single("b")]
    assert names(order(candidates)) == ["a1", "b", "a2"]


def test_a_tested_effect_changes_the_order_of_its_kin():
    candidates = [single("a1", "a"), single("a2", "a"), single("b")]
    good = order(candidates, {"a1": Measurement(-0.004, 0.0004)})
    bad = order(candidates, {"a1": Measurement(+0.004, 0.0004)})
    assert names(good) == ["a2", "b"]
    assert names(bad) == ["b", "a2"]


def test_what_is_held_of_a_variable_must_be_beaten():
    candidates = [single("a1", "a"), single("a2", "a"), single("b")]
    tested = {"a1": Measurement(-0.004, 0.0004)}
    assert names(order(candidates, tested, held={"a": 0.004})) == ["b", "a2"]


def test_a_small_gain_counts_on_top_of_the_best_at_the_price_of_the_pair():
    candidates = [single("a"), single("b", mean=-0.004, sd=0.001), single("c")]
    tested = {"a": Measurement(-0.02, 0.0004)}
    free, last = (order(candidates, tested, held=held) for held in ({}, {"a": 0.02}))
    assert names(free) == names(last) == ["b", "c"]
    assert not free[0].stacked and last[0].stacked
    assert last[0].gain == free[0].gain
    assert last[0].worth < 0.7 * free[0].worth


def test_what_may_beat_the_best_that_is_held_is_judged_by_that():
    candidates = [single("a"), single("b", mean=-0.012, sd=0.003)]
    choice = order(candidates, {"a": Measurement(-0.0025, 0.0004)}, held={"a": 0.0025})[0]
    assert choice.candidate.id == "b"
    assert not choice.stacked


def test_two_confirmed_changes_are_worth_trying_together():
    a, b = single("a"), single("b")
    candidates = [a, b, single("c", sd=0.002), together(a, b, 0.0, 0.001)]
    tested = {"a": Measurement(-0.005, 0.0004), "b": Measurement(-0.004, 0.0004)}
    held = {"a": 0.005, "b": 0.004}
    choice = order(candidates, tested, held=held)[0]
    assert choice.candidate.id == "a+b"
    assert choice.gain == pytest.approx(0.004, rel=0.1)
    # Where they count together anyway, only an interaction is left to find.
    assert names(order(candidates, tested, held=held, additive=True))[0] == "c"


def test_a_combination_is_judged_beyond_what_its_parts_would_bring():
    a, b = single("a", mean=-0.003, sd=0.001), single("b", mean=-0.003, sd=0.001)
    candidates = [a, b, together(a, b, 0.0, 0.0001)]
    assert names(order(candidates, additive=True)) == ["a", "b", "a+b"]
    synergy = [a, b, together(a, b, -0.02, 0.001)]
    assert names(order(synergy, additive=True))[0] == "a+b"


def test_one_combination_of_a_variable_at_a_time():
    a, b, c = single("a"), single("b"), single("c")
    pairs = [together(a, b, -0.02, 0.001), together(a, c, -0.019, 0.001)]
    assert "a+c" not in names(order([a, b, c, *pairs]))


def test_the_limit_and_what_was_tried():
    candidates = [single(name) for name in "abc"]
    joint = believe_jointly(candidates)
    trials = dict.fromkeys("abc", TRIAL)
    assert names(rank(candidates, joint, trials, tried=["a"], limit=1)) == ["b"]
    assert rank(candidates, joint, trials, tried="abc") == []
