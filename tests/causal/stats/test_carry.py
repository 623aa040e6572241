import math
from dataclasses import replace

import pytest

from scripts.causal.stats.carry import Rung, combined, decide
from scripts.causal.stats.paired import Estimate
from scripts.causal.stats.transfer import Transfer


def estimate(mean, sd=0.001, df=8.0, pairs=3):
    return Estimate(mean, sd, df, pairs)


def rung(scale, parameters, effect, **changes):
    given = {
        "tokens_per_parameter": 80.0,
        "stages": {"training": estimate(effect), "quantization": estimate(0.0, 1e-5)},
        "trend": "steady",
        "floor": estimate(0.0002),
        "penalty": 0.002,
    }
    return Rung(scale, parameters, effect=estimate(effect), **{**given, **changes})


SMALL, TOP = rung("small", 5e4, -0.010), rung("medium", 8e4, -0.011)


def failing(*rungs, **known):
    decision = decide(rungs, **known)
    assert (decision.direction is None) == bool(decision.reasons)
    return [rule.name for rule in decision.rules if not rule.holds]


def test_an_effect_that_every_rule_lets_through_is_committed():
    assert decide([TOP, SMALL]).direction == "better"
    worse = [rung("small", 5e4, 0.01), rung("medium", 8e4, 0.011)]
    assert decide(worse).direction == "worse"


@pytest.mark.parametrize(
    ("rungs", "rules"),
    [
        ([TOP], ["ladder", "size"]),
        ([replace(SMALL, tokens_per_parameter=4.0), TOP], ["horizon"]),
        ([rung("small", 5e4, 0.010), TOP], ["ladder", "noise", "stages"]),
        ([SMALL, replace(TOP, floor=None)], ["floor"]),
        ([SMALL, replace(TOP, floor=estimate(0.008, 0.008))], ["floor"]),
        ([SMALL, replace(TOP, trend="may_flip")], ["trend"]),
        # Between the two sizes more than half of it was lost: one size further it is gone.
        ([rung("small", 5e4, -0.025), TOP], ["size"]),
    ],
)
def test_each_rule_alone_can_keep_it_silent(rungs, rules):
    assert failing(*rungs) == rules


def test_an_effect_within_its_noise_is_not_claimed():
    faint = [rung("small", 5e4, -0.0004), rung("medium", 8e4, -0.0005)]
    assert "noise" in failing(*faint)


def test_a_stage_that_pulls_the_other_way_keeps_it_silent():
    torn = {"training": estimate(-0.014), "quantization": estimate(0.003, 0.0005)}
    assert failing(SMALL, replace(TOP, stages=torn)) == ["stages"]


def test_rounding_is_dearer_at_full_scale():
    # +0.0007 ± a little of rounding, where the control pays 0.0005: 14 times that at full scale.
    stages = {"training": estimate(-0.012), "quantization": estimate(0.0007, 0.001)}
    assert failing(SMALL, replace(TOP, stages=stages, penalty=0.0005)) == ["stages"]
    assert failing(SMALL, replace(TOP, stages=stages, penalty=0.0072)) == []


def test_the_transfer_from_rung_to_rung_must_agree():
    def onward(coefficient, low, high, spread=0.0):
        return Transfer(coefficient, low, high, spread, contrasts=7, same_sign=7)

    assert failing(SMALL, TOP, onward=onward(0.9, 0.6, 1.2)) == []
    assert failing(SMALL, TOP, onward=onward(0.9, -0.1, 1.9)) == ["transfer"]
    assert failing(SMALL, TOP, onward=onward(0.9, 0.6, 1.2, spread=0.02)) == ["transfer"]
    assert failing(SMALL, TOP, onward=onward(-0.9, -1.2, -0.6)) == ["transfer"]
    assert failing(SMALL, TOP, onward=onward(0.9, -math.inf, math.inf)) == ["transfer"]


def test_bit_identical_arms_claim_nothing():
    nothing = Estimate(0.0, 0.0, 2, 3)
    same = replace(TOP, effect=nothing, stages={})
    assert decide([replace(SMALL, effect=nothing, stages={}), same]).direction is None


def test_the_rungs_count_by_their_precision():
    vague = replace(SMALL, effect=estimate(0.02, sd=0.01))
    mean, half = combined([vague, TOP])
    assert mean == pytest.approx((0.02 - 0.011 * 100) / 101)
    assert half < combined([TOP])[1]


def test_no_rung_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        decide([])


def test_many_contrasts_share_the_error():
    faint = [rung("small", 5e4, -0.0012), rung("medium", 8e4, -0.0012)]
    assert "noise" not in failing(*faint)
    assert "noise" in failing(*faint, family=50)
