import numpy as np
import pytest

from scripts.causal.graph.carry import evidence_about
from scripts.causal.graph.combine import combine, combine_evidence, judge
from scripts.causal.graph.schema import QUANTILE, Estimate
from scripts.causal.graph.spreads import SourceSpreads, learn_spreads

SPREADS = SourceSpreads(
    typical=0.005, between={"reported": 0.001, "differences": 0.001, "associated": 0.003}
)


def estimate(source, effect, se=0.0005, before=False, after=True, **more):
    half = QUANTILE * se
    return Estimate(
        source=source,
        before=before,
        after=after,
        effect=effect,
        low=effect - half,
        high=effect + half,
        n=9,
        **more,
    )


def association(effect, **more):
    return estimate("observed", effect, method="adjusted", identified=False, **more)


def weight(found, source):
    return sum(part.weight for part in found.weights if part.source == source)


def test_a_lone_estimate_is_shrunk_by_its_precision():
    found = combine([estimate("tested", -0.002, se=0.005)], SPREADS)
    assert found.mean == pytest.approx(-0.001, rel=0.01)
    assert found.sd == pytest.approx(0.005 / 2**0.5, rel=0.01)
    assert found.low == pytest.approx(found.mean - QUANTILE * found.sd)
    assert sum(part.weight for part in found.weights) == pytest.approx(1)


def test_tested_evidence_dominates():
    found = combine([estimate("tested", 0.004), estimate("reported", -0.004)], SPREADS)
    assert weight(found, "tested") > 0.7
    assert found.mean > 0.002
    assert found.belief == "contradicted"
    assert "at the scale of the own runs" in found.words


def test_an_association_counts_less_than_what_is_identified():
    sure = estimate("observed", -0.01, method="adjusted", identified=True)
    one = combine([estimate("reported", 0.0), sure], SPREADS)
    other = combine([estimate("reported", 0.0), association(-0.01)], SPREADS)
    assert weight(other, "observed") < weight(one, "observed") / 3


def test_an_association_far_from_the_rest_is_taken_for_confounded():
    near, far = (
        combine([estimate("reported", 0.0), association(effect)], SPREADS)
        for effect in (-0.001, -0.05)
    )
    assert weight(far, "observed") < weight(near, "observed") / 5
    assert far.mean > -0.003
    alone = combine([association(-0.05)], SPREADS)
    assert alone.mean < -0.03  # nothing speaks against it


def test_a_large_clear_effect_is_not_shrunk_to_a_typical_one():
    found = combine([estimate("tested", -0.2, se=0.01)], SPREADS)
    assert found.mean < -0.19


def test_heterogeneous_reports_say_less_of_this_stack():
    own = estimate("tested", 0.004, se=0.002)
    alike, scattered = (
        combine([estimate("reported", -0.004, tau=tau), own], SPREADS) for tau in (0.0, 0.01)
    )
    assert weight(alike, "reported") > 0.5 > weight(scattered, "reported")
    assert alike.mean < 0 < scattered.mean


def test_heterogeneous_reports_say_as_much_of_the_mean_over_stacks():
    alike, scattered = (
        combine([estimate("reported", -0.004, tau=tau)], SPREADS) for tau in (0.0, 0.01)
    )
    assert (scattered.mean, scattered.sd) == (alike.mean, alike.sd)
    assert (alike.tau, scattered.tau) == (0.0, 0.01)


def test_one_stack_refutes_no_claim_that_holds_on_some_and_not_on_others():
    own = estimate("tested", 0.004)
    alike, scattered = (
        combine([own, estimate("reported", -0.004, tau=tau)], SPREADS) for tau in (0.0, 0.01)
    )
    assert (alike.belief, scattered.belief) == ("contradicted", "cannot_tell")


def test_both_directions_give_one_posterior_turned():
    there = combine([estimate("tested", -0.004), estimate("reported", 0.001).turned()], SPREADS)
    back = combine([estimate("reported", 0.001).turned(), estimate("tested", -0.004)], SPREADS)
    assert there.mean == pytest.approx(-back.mean)
    assert there.belief == back.belief == "contradicted"


def test_estimates_of_different_contrasts_are_refused():
    with pytest.raises(ValueError, match="does not compare"):
        combine([estimate("tested", 0.1), estimate("tested", 0.1, after=2.0)], SPREADS)
    with pytest.raises(ValueError, match="at least one"):
        combine([], SPREADS)


def test_a_number_is_carried_along_a_line_at_a_price():
    known = [estimate("tested", -0.01, before=9.0, after=11.0)]
    (same,) = evidence_about(known, 9.0, 11.0, 0.005)
    (half,) = evidence_about(known, 10.0, 9.0, 0.005)
    assert same.extra == 0
    assert half.estimate.effect == pytest.approx(0.005)
    assert half.extra == pytest.approx(0.5 * 0.5 * (0.005 + 0.005))
    assert evidence_about(known, 2.0, 3.0, 0.005) == ()  # no overlap


def test_what_stacks_differ_by_is_carried_over_with_the_effect():
    line = [estimate("reported", -0.01, before=9.0, after=11.0, tau=0.003)]
    (half,) = evidence_about(line, 10.0, 9.0, 0.005)
    assert half.tau == pytest.approx(0.0015)
    levels = [
        estimate("reported", -0.01, before="none", after="lora", tau=0.003),
        estimate("reported", -0.03, before="none", after="slow", tau=0.004),
    ]
    (between,) = evidence_about(levels, "lora", "slow", 0.005)
    assert between.tau == pytest.approx(0.005)


def test_what_is_carried_over_says_so_plainly():
    (carried,) = evidence_about(
        [estimate("reported", -0.01, before=9.0, after=11.0)], 9.0, 10.0, 0
    )
    found = combine_evidence("num_layers", 9.0, 10.0, [carried], SPREADS)
    assert found.weights[0].words == "carried over from another value"


def test_two_levels_are_compared_through_their_common_control():
    known = [
        estimate("observed", -0.01, before="none", after="lora", method="differences"),
        estimate("observed", -0.03, before="none", after="slow", method="differences"),
    ]
    (found,) = evidence_about(known, "lora", "slow", 0.005)
    assert found.estimate.effect == pytest.approx(-0.02)
    assert found.estimate.se == pytest.approx(0.0005 * 2**0.5)


def test_use_at_whatever_value_speaks_of_one_value_and_never_of_another_level():
    known = [estimate("reported", -0.02, before=0, after=True)]
    (found,) = evidence_about(known, 0.0, 64.0, 0.004)
    assert found.estimate.effect == -0.02
    assert found.extra == 0.002
    (back,) = evidence_about(known, 64.0, 0.0, 0.004)
    assert back.estimate.effect == 0.02
    assert evidence_about(known, 64.0, 128.0, 0.004) == ()
    lora = [estimate("reported", -0.02, before="none", after="lora")]
    assert evidence_about(lora, "none", "slow", 0.004) == ()


@pytest.mark.parametrize(
    ("published", "mean", "sd", "belief"),
    [
        (-0.01, -0.004, 0.001, "supported"),
        (0.01, 0.004, 0.001, "supported"),
        (-0.01, 0.004, 0.001, "contradicted"),
        (-0.01, 0.0, 0.002, "contradicted"),  # less than half of it
        (-0.01, -0.001, 0.004, "cannot_tell"),
        (-0.001, 0.0, 0.002, "cannot_tell"),
    ],
)
def test_a_published_effect_is_judged_by_the_other_evidence(published, mean, sd, belief):
    assert judge(published, mean, sd) == belief


def test_what_nobody_published_has_no_verdict():
    found = combine([estimate("tested", -0.01)], SPREADS)
    assert (found.belief, found.words) == (None, "nobody reports it")
    told = combine([estimate("reported", -0.01)], SPREADS)
    assert told.belief == "cannot_tell"
    assert "nothing observed or tested" in told.words


def many(rng, bias, count=60):
    """Reports that are right, and associations that a hidden cause moves by `bias` (sd)."""
    found = {}
    for number in range(count):
        truth = rng.normal(0, 0.006)
        found[f"v{number}"] = (
            estimate("reported", truth + rng.normal(0, 0.0005), before=0.0, after=2.0),
            association(truth + rng.normal(0, np.hypot(0.0005, bias)), before=0.0, after=2.0),
        )
    return found


def test_spreads_are_learnt_from_how_far_sources_lie_apart():
    rng = np.random.default_rng(5)
    sound, biased = learn_spreads(many(rng, 0.0)), learn_spreads(many(rng, 0.004))
    assert sound.of("associated") < 0.001
    assert 0.003 < biased.of("associated") < 0.006
    assert 0.004 < biased.typical < 0.008
    assert biased.learnt_from["associated"] == 60


def test_where_sources_never_meet_their_spread_is_a_share_of_the_typical_effect():
    rng = np.random.default_rng(6)
    alone = {name: (both[1],) for name, both in many(rng, 0.0).items()}
    spreads = learn_spreads(alone)
    assert spreads.of("associated") == pytest.approx(spreads.typical / 2)
    assert learn_spreads({}).typical == 0.001


def test_intervals_hold_the_truth():
    rng = np.random.default_rng(8)
    held = []
    for _ in range(8):
        truths, estimates = {}, {}
        for number in range(50):
            name, truth = f"v{number}", rng.normal(0, 0.006)
            truths[name] = truth
            estimates[name] = (
                estimate("reported", truth + rng.normal(0, 0.0015), se=0.001),
                association(truth + rng.normal(0, 0.003)),
            )
        spreads = learn_spreads(estimates)
        for name, truth in truths.items():
            found = combine(estimates[name], spreads)
            held.append(found.low <= truth <= found.high)
    assert np.mean(held) > 0.93
