"""Beliefs about all contrasts together: a test moves its kin, and what evidence is worth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.causal.campaign.hierarchy import KIN, believe_jointly
from scripts.causal.campaign.joint import Candidate, Measurement

PRIOR = 0.004


def single(name, variable=None, mean=0.0, sd=PRIOR, step=0.0):
    return Candidate(name, (name,), (variable or name,), step, mean, sd, PRIOR)


def pair(one, other, mean=0.0, sd=0.0):
    parts = one.parts + other.parts
    return Candidate("+".join(parts), parts, one.variables + other.variables, 0.0, mean, sd, sd)


def means(joint):
    return dict(zip(joint.ids, joint.mean, strict=True))


def test_what_nobody_tells_of_is_as_wide_as_a_typical_effect():
    joint = believe_jointly([single("a"), single("b")])
    assert list(joint.mean) == [0.0, 0.0]
    assert joint.sd(0) == pytest.approx(PRIOR, rel=0.1)
    assert joint.covariance[0, 1] == 0.0


def test_a_measured_effect_is_shrunk_less_the_larger_it_is():
    kept = [
        means(believe_jointly([single("a")], {"a": Measurement(effect, 0.004)}))["a"] / effect
        for effect in (-0.002, -0.01, -0.03)
    ]
    assert 0.2 < kept[0] < kept[1] < kept[2] < 1


def test_a_test_moves_its_kin_and_nobody_else():
    candidates = [single("gelu", "activation"), single("silu", "activation"), single("ema")]
    after = means(believe_jointly(candidates, {"gelu": Measurement(-0.01, 1e-6)}))
    assert after["silu"] == pytest.approx(KIN * -0.01)
    assert after["ema"] == 0.0


def test_a_number_moved_the_other_way_is_expected_to_do_the_opposite():
    candidates = [
        single("less", "softcap", step=-10.0),
        single("more", "softcap", step=20.0),
        single("much_more", "softcap", step=40.0),
    ]
    after = means(believe_jointly(candidates, {"more": Measurement(-0.01, 1e-6)}))
    assert after["much_more"] == pytest.approx(-after["less"]) == pytest.approx(KIN * -0.01)


def test_what_showed_nothing_is_hardly_worth_a_second_contrast():
    candidates = [single("gelu", "activation"), single("silu", "activation"), single("ema")]
    nothing = believe_jointly(candidates, {"gelu": Measurement(-0.0001, 0.0005)})
    much = believe_jointly(candidates, {"gelu": Measurement(-0.02, 0.0005)})
    assert nothing.sd(1) < 0.6 * nothing.sd(2)
    assert much.sd(1) > much.sd(2)


def test_evidence_that_misleads_is_read_the_other_way_round():
    told = [single(f"c{k}", mean=-0.006, sd=0.002) for k in range(6)]
    candidates = [*told, single("unheard")]
    assert means(believe_jointly(candidates))["c5"] < -0.002
    after = believe_jointly(candidates, {f"c{k}": Measurement(+0.006, 0.0005) for k in range(5)})
    assert means(after)["c5"] > 0.003
    assert means(after)["unheard"] == 0.0


def test_evidence_that_holds_is_trusted_more():
    told = [single(f"c{k}", mean=-0.006, sd=0.002) for k in range(6)]
    joint = believe_jointly(told)
    after = believe_jointly(told, {f"c{k}": Measurement(-0.006, 0.0005) for k in range(5)})
    assert means(after)["c5"] < 1.3 * means(joint)["c5"]
    assert after.sd(5) < 0.7 * joint.sd(5)


def test_a_few_that_are_praised_in_vain_do_not_speak_against_every_report():
    told = [single(f"c{k}", mean=-0.006, sd=0.002) for k in range(6)]
    tests = {f"c{k}": Measurement(-0.006, 0.0005) for k in range(3)}
    vain = {f"c{k}": Measurement(+0.0005, 0.0005) for k in range(3, 5)}
    assert means(believe_jointly(told, tests | vain))["c5"] < -0.002


def test_the_sizes_of_what_was_tested_move_what_is_expected_of_the_rest():
    candidates = [single(f"c{k}") for k in range(5)]
    large = {f"c{k}": Measurement((-1) ** k * 0.03, 0.001) for k in range(4)}
    small = {f"c{k}": Measurement((-1) ** k * 0.0001, 0.001) for k in range(4)}
    before = believe_jointly(candidates).sd(4)
    assert believe_jointly(candidates, large).sd(4) > 1.2 * before
    # Where most changes do nothing, the few that matter are not ruled out.
    assert 0.5 * before < believe_jointly(candidates, small).sd(4) < 0.8 * before


def test_a_combination_is_its_parts_and_their_interaction():
    a, b = single("a"), single("b")
    candidates = [a, b, pair(a, b, mean=-0.003, sd=0.002)]
    assert believe_jointly(candidates).mean[2] == pytest.approx(-0.003)
    exact = {"a": Measurement(-0.005, 1e-6), "b": Measurement(-0.001, 1e-6)}
    after = believe_jointly(candidates, exact)
    assert after.mean[2] == pytest.approx(-0.009, abs=1e-6)
    assert after.sd(2) == pytest.approx(0.002, rel=1e-3)
    together = believe_jointly(candidates, exact | {"a+b": Measurement(-0.02, 1e-6)})
    assert together.mean[2] == pytest.approx(-0.02, abs=1e-6)


def test_a_combination_that_adds_up_exactly_can_be_tested_beside_its_parts():
    a, b = single("a"), single("b")
    tested = {name: Measurement(-0.004, 0.0) for name in ("a", "b", "a+b")}
    assert np.isfinite(believe_jointly([a, b, pair(a, b)], tested).mean).all()


def test_a_combination_of_what_cannot_be_run_is_refused():
    with pytest.raises(ValueError, match="not a candidate"):
        believe_jointly([pair(single("a"), single("b"))])


def test_no_candidates_are_no_belief():
    assert believe_jointly([]).mean.shape == (0,)


numbers = st.floats(-0.02, 0.02)
widths = st.floats(0.0005, PRIOR)


@given(
    st.lists(
        st.tuples(st.sampled_from("uvw"), numbers, widths, st.sampled_from((-1.0, 0.0, 2.0))),
        min_size=1,
        max_size=9,
    ),
    st.data(),
)
def test_whatever_was_said_and_measured_the_belief_is_one(rows, data):
    candidates = [
        single(f"c{place}", variable, mean, sd, step)
        for place, (variable, mean, sd, step) in enumerate(rows)
    ]
    names = data.draw(st.lists(st.sampled_from([one.id for one in candidates]), unique=True))
    tested = {name: Measurement(data.draw(numbers), 0.001) for name in names}
    after = believe_jointly(candidates, tested)
    assert np.isfinite(after.mean).all()
    assert np.linalg.eigvalsh(after.covariance).min() > -1e-10
