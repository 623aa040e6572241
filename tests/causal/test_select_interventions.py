"""Selection: most worth per FLOP first, learning from own tests, and a reason for each."""

import re

import pytest
from literal_results import literal_result

from interventions.catalog import load_catalog
from scripts.causal.campaign.contrast import build_contrast
from scripts.causal.campaign.pairs import Synergy
from scripts.causal.campaign.schema import (
    AblationResults,
    Platform,
    VariancePrior,
)
from scripts.causal.files import InputError
from scripts.causal.graph.combine import combine, combine_evidence
from scripts.causal.graph.schema import (
    CausalDag,
    Estimate,
    FciSettings,
    IdentifiabilityReport,
    Level,
)
from scripts.causal.graph.spreads import SourceSpreads
from scripts.causal.select_interventions import Setting, paired_noise, published_noise, select
from trainers.api import load_trainer

REPORT = IdentifiabilityReport(outcome="bpb", variables=())
EVERYTHING = load_catalog()
# A part of the catalog, so that what comes first or tenth stays so when the catalog grows.
VARIED = {
    *("activation", "logit_softcap", "model_dim", "num_layers", "mlp_mult", "num_kv_heads"),
    *("rope_base", "unet_skips", "muon_momentum"),
}
CATALOG = {
    name: entry
    for name, entry in EVERYTHING.items()
    if entry.variable in VARIED and not name.startswith(("mlp_dml", "mlp_fan", "mlp_causal"))
}
PLATFORM = Platform(trainer="gpt", backend="b", scale="tiny", data="d", machine="m")


def graph(**effects: tuple[Level, Level, float]) -> CausalDag:
    """A graph in which each variable has one narrow reported estimate: its levels and effect."""
    spreads = SourceSpreads(typical=0.01, between={"reported": 0.002})
    told = [combine_evidence("ema", False, True, (), spreads)]  # only the prior
    for variable, (before, after, effect) in effects.items():
        estimate = Estimate(
            source="reported",
            before=before,
            after=after,
            effect=effect,
            low=effect - 0.0001,
            high=effect + 0.0001,
            n=9,
        )
        told.append(combine([estimate], spreads, variable))
    settings = FciSettings(
        test="t",
        alpha=0.05,
        depth=2,
        bootstraps=1,
        cluster="lineage",
        submissions=9,
        clusters=9,
        seed=0,
    )
    return CausalDag(
        outcome="bpb",
        nodes=(),
        edges=(),
        fci=settings,
        set_aside=(),
        imputed={},
        effects=tuple(told),
        statement="",
    )


def decided(setting, **effects: tuple[str, float]) -> AblationResults:
    """Results of one cycle on four seeds each: catalog id → verdict and effect."""
    results = [
        literal_result(
            build_contrast(CATALOG[name], setting.scale, setting.trainer),
            verdict,
            effect,
            phase="screen" if verdict == "screened_out" else "confirm",
            df=6.0,
            sd=0.002,
            seeds_used=(42, 1337, 2024, 7),
        )
        for name, (verdict, effect) in effects.items()
    ]
    return AblationResults(
        alpha=0.05,
        alpha_spent=0.0125,
        alpha_left=0.0375,
        mde=0.005,
        platform=PLATFORM,
        prior=None,
        results=tuple(results),
    )


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting(load_trainer("gpt"), "tiny", "flops", {})


def names(selection) -> list[str]:
    return [contrast.id for contrast in selection.contrasts]


def test_what_the_evidence_favours_comes_first(setting):
    dag = graph(activation=("relu_sq", "gelu", -0.02), logit_softcap=(30, 20, 0.02))
    chosen = select(dag, REPORT, CATALOG, setting, limit=1)
    assert names(chosen) == ["activation_gelu"]
    assert "reported -0.0200" in chosen.contrasts[0].reason
    assert "TFLOP in all" in chosen.contrasts[0].reason


def test_believed_harm_comes_last_and_says_so(setting):
    dag = graph(activation=("relu_sq", "gelu", -0.02), logit_softcap=(30, 20, 0.02))
    everything = names(select(dag, REPORT, CATALOG, setting, limit=len(CATALOG)))
    others = [name for name in everything if not name.startswith("activation")]
    assert others[-1] == "softcap_20"
    chosen = select(dag, REPORT, CATALOG, setting, limit=1)
    assert "worth less per FLOP than those chosen" in chosen.passed_over["softcap_20"]
    assert "believed effect +0.00" in chosen.passed_over["softcap_20"]


def test_what_nobody_can_tell_goes_before_what_is_known_to_do_little(setting):
    dag = graph(activation=("relu_sq", "gelu", -0.0001), logit_softcap=(30, 20, -0.0001))
    everything = names(select(dag, REPORT, CATALOG, setting, limit=len(CATALOG)))
    assert everything.index("unet_skips_off") < everything.index("activation_gelu")
    assert everything.index("unet_skips_off") < everything.index("softcap_20")


def test_every_variable_has_its_turn_where_nothing_is_known(setting):
    chosen = select(graph(), REPORT, CATALOG, setting, limit=6)
    assert len({contrast.variable for contrast in chosen.contrasts}) == 6


def test_nothing_is_chosen_twice_and_everything_left_out_has_its_reason(setting):
    results = decided(
        setting, softcap_20=("screened_out", 0.001), mlp_3x=("confirmed_worse", 0.01)
    )
    chosen = select(graph(), REPORT, CATALOG, setting, limit=3, decided=[results])
    assert not {"softcap_20", "mlp_3x"} & set(names(chosen))
    assert set(names(chosen)) | set(chosen.passed_over) == set(CATALOG)
    assert chosen.passed_over["softcap_20"] == "already tested in cycle 1: screened_out"
    assert all(chosen.passed_over.values())


def place_of(variable, setting, **effects):
    """Where the first contrast of a variable ranks once these were tested."""
    results = [decided(setting, **effects)]
    chosen = select(graph(), REPORT, CATALOG, setting, limit=99, decided=results)
    return [contrast.variable for contrast in chosen.contrasts].index(variable)


def test_a_tested_effect_changes_what_its_kin_are_worth(setting):
    good = place_of("activation", setting, activation_sin_sq=("inconclusive", -0.02))
    bad = place_of("activation", setting, activation_sin_sq=("inconclusive", +0.02))
    assert good == 0
    assert bad > 10


def test_a_number_moved_the_other_way_gains_from_a_harm(setting):
    harm = place_of("logit_softcap", setting, softcap_20=("confirmed_worse", +0.02))
    gain = place_of("logit_softcap", setting, softcap_20=("inconclusive", -0.02))
    assert harm == 0
    assert gain > 10


def test_evidence_that_does_not_hold_here_loses_its_say(setting):
    dag = graph(
        activation=("relu_sq", "gelu", -0.01),
        rope_base=(10000, 200000, -0.01),
        muon_momentum=(0.95, 0.98, -0.01),
    )
    first = select(dag, REPORT, CATALOG, setting, limit=3)
    assert set(names(first)) == {"activation_gelu", "rope_base_200000", "muon_momentum_0.98"}
    results = decided(
        setting,
        activation_gelu=("confirmed_worse", 0.02),
        **{"muon_momentum_0.98": ("confirmed_worse", 0.02)},
    )
    then = select(dag, REPORT, CATALOG, setting, limit=99, decided=[results])
    assert names(then).index("rope_base_200000") > 10
    kin = select(dag, REPORT, CATALOG, setting, limit=1, decided=[results]).contrasts[0]
    assert "Own tests of other contrasts moved it there from" in kin.reason


def test_two_confirmed_changes_are_proposed_together_as_one_contrast(setting):
    results = decided(
        setting,
        activation_gelu=("confirmed_better", -0.02),
        softcap_20=("confirmed_better", -0.015),
    )
    chosen = select(graph(), REPORT, CATALOG, setting, limit=1, decided=[results])
    (pair,) = chosen.contrasts
    assert (pair.id, pair.variable) == (
        "activation_gelu+softcap_20",
        "activation+logit_softcap",
    )
    assert pair.changes == {"activation": "gelu", "logit_softcap": 20.0}
    assert "lean better each by itself" in pair.reason
    seeds, flops = re.search(r"about ([\d.]+) seeds, ([\d.]+) TFLOP", pair.reason).groups()
    priced = 2 + 2 * (float(seeds) - 2)  # its parts run alone beside it on the fresh ones
    assert float(flops) == pytest.approx(priced * pair.flops_per_pair / 1e12, rel=0.02)
    again = decided(setting, activation_gelu=("confirmed_better", -0.02))
    tried = again.results[0].model_copy(update={"contrast": pair, "effect": -0.03})
    then = select(
        graph(),
        REPORT,
        CATALOG,
        setting,
        limit=99,
        decided=[results, again.model_copy(update={"results": (tried,)})],
    )
    assert pair.id not in names(then)
    assert then.passed_over[pair.id].startswith("already tested")


def test_a_small_gain_says_that_it_counts_on_top_of_what_is_confirmed(setting):
    results = decided(setting, softcap_20=("confirmed_better", -0.04))
    dag = graph(activation=("relu_sq", "gelu", -0.02))
    (chosen,) = select(dag, REPORT, CATALOG, setting, limit=1, decided=[results]).contrasts
    assert chosen.id == "activation_gelu"
    assert "on top of the best that is confirmed" in chosen.reason
    (first,) = select(dag, REPORT, CATALOG, setting, limit=1).contrasts
    assert "on top of" not in first.reason


def test_a_pair_reported_as_more_than_its_sum_is_proposed_untested(setting):
    told = {frozenset(("mlp_3x", "softcap_20")): Synergy(-0.03, 0.005, "PR 7: more than the sum")}
    chosen = select(graph(), REPORT, CATALOG, setting, limit=1, synergies=told).contrasts[0]
    assert chosen.changes == {"mlp_mult": 3.0, "logit_softcap": 20.0}
    assert "PR 7: more than the sum" in chosen.reason


def test_the_noise_is_the_campaign_s_own_as_soon_as_there_is_one(setting):
    assert paired_noise([]) == published_noise()
    results = decided(setting, softcap_20=("screened_out", 0.001))
    assert paired_noise([results]) == pytest.approx(0.002)
    prior = VariancePrior(scale=0.003, df=4.0, origin="")
    assert paired_noise([results, results.model_copy(update={"prior": prior})]) == 0.003


def test_the_same_input_gives_the_same_choice_whatever_the_catalog_s_order(setting):
    backwards = dict(reversed(CATALOG.items()))
    dag = graph(activation=("relu_sq", "gelu", -0.01))
    one, other = (
        select(dag, REPORT, each, setting, limit=5).contrasts for each in (CATALOG, backwards)
    )
    assert [c.id for c in one] == [c.id for c in other]
    assert [c.reason for c in one] == [c.reason for c in other]


def test_arms_differ_in_what_the_intervention_names_and_cost_the_same(setting):
    everything = select(graph(), REPORT, EVERYTHING, setting, limit=len(EVERYTHING))
    for contrast in everything.contrasts:
        differing = {
            name for name in contrast.control if contrast.control[name] != contrast.treatment[name]
        }
        schedule = {"iterations", "warmdown_iters", "muon_momentum_warmup_steps"}
        assert differing - schedule == set(contrast.changes) - schedule
        cost = [
            setting.trainer.flops_per_step(arm) * arm["iterations"]
            for arm in (contrast.control, contrast.treatment)
        ]
        assert cost[1] == pytest.approx(cost[0], rel=0.05)


def test_a_cycle_of_no_contrasts_is_refused(setting):
    with pytest.raises(InputError, match="at least one contrast"):
        select(graph(), REPORT, CATALOG, setting, limit=0)


def test_a_pair_that_the_catalog_excludes_is_passed_over_with_the_reason(setting):
    told = {frozenset(("adamw", "muon_momentum_0.98")): Synergy(-0.03, 0.005, "PR 7")}
    chosen = select(graph(), REPORT, EVERYTHING, setting, limit=1, synergies=told)
    reason = chosen.passed_over["adamw+muon_momentum_0.98"]
    assert "'adamw' excludes 'muon_momentum', which 'muon_momentum_0.98' changes" in reason


def test_what_buys_bytes_is_passed_over_and_says_so(setting):
    chosen = select(graph(), REPORT, EVERYTHING, setting, limit=len(EVERYTHING))
    assert "buys bytes" in chosen.passed_over["quant_int5"]
    assert "quant_int5" not in names(chosen)
