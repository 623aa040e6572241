"""What the leaderboard lets one believe: evidence moves it, own tests enter elsewhere."""

import pytest

from scripts.causal.campaign.schema import Contrast
from scripts.causal.campaign.worth import believe, typical_effect
from scripts.causal.graph.combine import combine, combine_evidence
from scripts.causal.graph.schema import CausalDag, Estimate, FciSettings
from scripts.causal.graph.spreads import SMALLEST_TYPICAL, SourceSpreads

SPREADS = SourceSpreads(typical=0.004, between={"reported": 0.002})
SETTINGS = FciSettings(
    test="wilks",
    alpha=0.05,
    depth=2,
    bootstraps=10,
    cluster="lineage",
    submissions=50,
    clusters=20,
    seed=0,
)


def estimate(effect, before=0, after=1, source="reported", half_width=0.001, tau=None):
    return Estimate(
        source=source,
        before=before,
        after=after,
        effect=effect,
        low=effect - half_width,
        high=effect + half_width,
        n=5,
        tau=tau,
    )


def graph(**estimates):
    effects = [combine(items, SPREADS, variable) for variable, items in estimates.items()]
    if effects:
        effects.append(combine_evidence("swa", False, True, (), SPREADS))  # the prior alone
    return CausalDag(
        outcome="bpb",
        nodes=(),
        edges=(),
        fci=SETTINGS,
        set_aside=(),
        imputed={},
        effects=tuple(effects),
        statement="",
    )


def contrast(variable, before=0, after=1):
    return Contrast(
        id="x",
        variable=variable,
        label="X",
        changes={variable: after},
        control={variable: before},
        treatment={variable: after},
        stage="train",
        matched_by="flops",
        flops_per_pair=1.0,
        reason="",
    )


def test_without_evidence_the_belief_is_as_wide_as_a_typical_effect():
    dag = graph(ema=[estimate(-0.1)])
    assert typical_effect(dag) == 0.004
    belief = believe(contrast("activation", "relu_sq", "gelu"), dag)
    assert (belief.mean, belief.sd) == (0.0, 0.004)
    assert "cannot tell" in belief.basis


def test_an_empty_graph_still_gives_a_belief():
    assert typical_effect(graph()) == SMALLEST_TYPICAL
    assert believe(contrast("ema"), graph()).sd == SMALLEST_TYPICAL


def test_evidence_enters_with_the_graph_s_own_weights():
    dag = graph(ema=[estimate(-0.004)])
    belief = believe(contrast("ema"), dag)
    assert belief.mean == pytest.approx(dag.effects[0].mean)
    assert belief.sd == pytest.approx(dag.effects[0].sd)
    assert -0.004 < belief.mean < 0
    assert "reported -0.0040 ±" in belief.basis


def test_own_tests_are_left_out():
    tested = estimate(+0.01, source="tested", half_width=0.0001)
    alone, beside = graph(ema=[estimate(-0.004)]), graph(ema=[tested, estimate(-0.004)])
    assert beside.effects[0].mean > 0.008
    assert believe(contrast("ema"), beside).mean == pytest.approx(
        believe(contrast("ema"), alone).mean
    )
    assert believe(contrast("ema"), graph(ema=[tested])).mean == 0.0


def test_evidence_for_a_change_is_evidence_against_undoing_it():
    dag = graph(ema=[estimate(-0.004)])
    done, undone = believe(contrast("ema"), dag), believe(contrast("ema", 1, 0), dag)
    assert undone.mean == -done.mean > 0


def test_a_number_between_is_read_off_the_line_at_a_price():
    dag = graph(num_layers=[estimate(-0.004, 9, 11)])
    exact, half = (
        believe(contrast("num_layers", 9, 11), dag),
        believe(contrast("num_layers", 9, 10), dag),
    )
    assert exact.mean < half.mean < 0
    assert half.sd / abs(half.mean) > exact.sd / abs(exact.mean)
    assert "carried over" in half.basis


def test_an_estimate_of_another_category_says_nothing():
    dag = graph(activation=[estimate(-0.004, "relu_sq", "silu")])
    assert believe(contrast("activation", "relu_sq", "gelu"), dag).mean == 0.0


def test_what_differs_from_stack_to_stack_is_less_sure_on_one():
    alike, scattered = (graph(ema=[estimate(-0.004, tau=tau)]) for tau in (0.0, 0.01))
    assert scattered.effects[0].sd == alike.effects[0].sd  # of the mean over stacks
    one, other = (believe(contrast("ema"), dag) for dag in (alike, scattered))
    assert other.sd > 1.5 * one.sd
    assert one.mean < other.mean < 0
