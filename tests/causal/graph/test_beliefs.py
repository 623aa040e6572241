import pytest

from interventions.catalog import Claim, Intervention
from interventions.vocabulary import load_variables
from scripts.causal.graph.beliefs import believed_effects, catalog_claims
from scripts.causal.graph.design import build_design
from scripts.causal.graph.effects import EffectsTable, estimate_effects
from scripts.causal.graph.pag import Pag
from scripts.causal.graph.schema import Estimate
from scripts.causal.graph.spreads import SourceSpreads

VARIABLES = {name: load_variables()[name] for name in ("activation", "num_layers", "qat")}


def claimed(variable, size, **change):
    return Intervention(
        id=f"{variable} claim",
        variable=variable,
        label="",
        stage="train",
        claims=(Claim("a paper", size), Claim("a note without a number")),
        **change,
    )


CATALOG = {
    "a": claimed("activation", -0.002, set={"activation": "leaky_relu_sq"}),
    "b": claimed("num_layers", -0.003, add={"num_layers": 1}),
    "c": claimed("qat", None, set={"qat": True}),
}


def own_runs(before, after, effect):
    return Estimate(
        source="tested",
        before=before,
        after=after,
        effect=effect,
        low=effect - 0.001,
        high=effect + 0.001,
        n=4,
    )


def test_the_catalogs_claims_are_contrasts_with_the_baseline():
    assert catalog_claims(VARIABLES, CATALOG) == {
        "activation": {("relu_sq", "leaky_relu_sq"): [-0.002]},
        "num_layers": {(9, 10): [-0.003]},
    }


def test_a_claim_is_judged_by_our_own_runs_in_either_direction():
    estimates = {"activation": (own_runs("leaky_relu_sq", "relu_sq", -0.004),)}
    table = EffectsTable(estimates, SourceSpreads(typical=0.004), {})
    activation, layers = believed_effects(table, VARIABLES, CATALOG)
    assert activation.belief == "contradicted"
    assert activation.mean < 0  # of leaky_relu_sq → relu_sq
    assert (layers.variable, layers.before, layers.after) == ("num_layers", 9, 10)
    assert layers.belief == "cannot_tell"
    assert sum(one.weight for one in layers.weights) == pytest.approx(1)


def test_leaving_reports_out_leaves_what_scores_say(planted):
    variables = load_variables()
    design = build_design(planted, variables=variables)
    table = estimate_effects(planted, design, Pag((), ()), variables, use_reported=False)
    effect = table.effect("sliding_window_eval", 0.0, 64.0)
    assert effect.low < -0.03 < effect.high
    assert effect.mean < -0.02
    assert {one.source for one in effect.weights} == {"observed", "prior"}
    assert "cannot" in table.refused["ttt"] or "too few" in table.refused["ttt"]
    unknown = table.effect("ttt", "none", "lora")
    assert [one.source for one in unknown.weights] == ["prior"]
