"""Planned looks through the analysis that decides a campaign."""

import pytest
from test_statistical_analysis import CONFIRM, both, only, raw, runs

from scripts.causal.campaign.schema import VariancePrior
from scripts.causal.files import InputError
from scripts.causal.statistical_analysis import analyse, confirm

PRIOR = VariancePrior(scale=0.001, df=20, origin="test")
TERMS = {"alpha": 0.05, "mde": 0.002, "prior": PRIOR}
LOOKS = (2, 3)


def campaign(*parts, looks=LOOKS):
    return raw(*parts).model_copy(update={"looks": looks})


def first(part, count):
    return part.model_copy(update={"pairs": part.pairs[:count]})


def test_one_planned_look_decides_as_no_plan_does():
    parts = both("gelu", -0.0100) + both("silu", 0.0004)
    assert analyse(campaign(*parts, looks=(3,)), **TERMS) == analyse(raw(*parts), **TERMS)


def test_what_is_clear_stops_and_the_rest_goes_on():
    clear, unclear = both("gelu", -0.0100), both("silu", -0.0015)
    fresh = {"gelu": clear[1], "silu": unclear[1]}
    asked = []

    def run(names, seeds):
        asked.append((tuple(names), tuple(seeds)))
        return [first(fresh[name], len(seeds)) for name in names]

    terms = TERMS | {"cycles": 1}
    screens = campaign(clear[0], unclear[0])
    found = confirm(screens, ["gelu", "silu"], run, **terms)
    assert asked == [(("gelu", "silu"), CONFIRM[:2]), (("silu",), CONFIRM)]
    gelu, silu = analyse(found, **terms).results
    assert (gelu.verdict, gelu.seeds_used) == ("confirmed_better", CONFIRM[:2])
    assert (gelu.looks_taken, gelu.looks_planned) == (1, 2)
    assert "clear at look 1 of 2, which if anything overstates it" in gelu.words
    assert (silu.looks_taken, len(silu.seeds_used)) == (2, 3)


def test_an_early_stop_pays_with_its_level():
    part = both("gelu", -0.0100)
    early = only(analyse(campaign(part[0], first(part[1], 2)), **TERMS))
    late = only(analyse(campaign(*part), **TERMS))
    assert early.p_adjusted > early.p_moderated
    # The interval at an early look is at that look's level, far wider than two seeds' own.
    width = early.interval.high - early.interval.low
    assert width > 1.5 * (late.interval.high - late.interval.low)
    # Going on can only lower a sequential p-value.
    assert late.p_adjusted <= early.p_adjusted


def test_a_look_whose_sign_the_last_does_not_bear_out_counts_for_nothing():
    turned = runs("gelu", "confirm", [-0.0100, -0.0101, 0.0300])
    found = only(analyse(campaign(turned), **TERMS))
    assert found.effect > 0
    assert not found.verdict.startswith("confirmed_better")
    assert found.p_adjusted >= found.p_moderated


@pytest.mark.parametrize(
    ("looks", "message"),
    [((3, 2), "must grow"), ((2,), "must grow"), ((1, 3), "must grow"), ((2, 2, 3), "must grow")],
)
def test_looks_that_are_no_plan_are_refused(looks, message):
    with pytest.raises(InputError, match=message):
        analyse(campaign(*both("gelu", -0.01), looks=looks), **TERMS)


def test_a_contrast_that_stopped_between_looks_is_refused():
    part = runs("gelu", "confirm", [-0.01])
    with pytest.raises(InputError, match="not run on the seeds of a planned look"):
        analyse(campaign(part), **TERMS)


def test_seed_correlation_is_pooled_over_contrasts_that_differ_in_training():
    results = analyse(raw(*both("gelu", -0.010), *both("silu", 0.02)), alpha=0.05, mde=0.002)
    # Two contrasts, two screening and three fresh seeds each: (1 + 2) df twice.
    assert results.correlation_df == 6
    assert results.correlation > 0.99
    later = analyse(raw(*both("int6", 0.01, stage="quantize")), alpha=0.05, mde=0.002)
    assert (later.correlation, later.correlation_df) == (None, 0)


def test_what_the_seeds_could_show_stands_beside_the_verdict():
    result = only(analyse(raw(*both("gelu", -0.0100)), **TERMS))
    assert 0 < result.detectable < 0.004
    assert 0 < result.power < 1
