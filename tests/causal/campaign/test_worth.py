"""What an intervention is worth: evidence moves the belief, and ignorance is worth exploring."""

import math

import numpy as np
import pytest

from interventions.catalog import Claim
from scripts.causal.campaign.schema import Contrast
from scripts.causal.campaign.worth import (
    TYPICAL_EFFECT_FLOOR,
    Belief,
    believe,
    typical_effect,
)
from scripts.causal.graph.schema import CausalDag, Edge, Estimate, FciSettings

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


def estimate(effect: float, half_width: float = 0.001, source: str = "reported") -> Estimate:
    return Estimate(
        source=source,
        before=0,
        after=1,
        effect=effect,
        low=effect - half_width,
        high=effect + half_width,
        n=5,
    )


def graph(**estimates: list[Estimate]) -> CausalDag:
    edges = tuple(
        Edge(
            source=variable,
            target="bpb",
            source_mark="circle",
            target_mark="arrow",
            origin="data",
            tag="uncertain",
            frequency=0.5,
            estimates=tuple(items),
        )
        for variable, items in estimates.items()
    )
    return CausalDag(
        outcome="bpb",
        nodes=(),
        edges=edges,
        fci=SETTINGS,
        set_aside=(),
        imputed={},
        statement="",
    )


def contrast(variable: str, before: float | str = 0, after: float | str = 1) -> Contrast:
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


def test_expected_improvement_is_the_mean_of_the_gain():
    belief = Belief(mean=0.002, sd=0.004, basis="")
    draws = np.random.default_rng(0).normal(0.002, 0.004, 400_000)
    assert belief.expected_improvement() == pytest.approx(np.maximum(0, -draws).mean(), rel=0.02)


def test_without_evidence_the_belief_is_as_wide_as_a_typical_effect():
    dag = graph(ema=[estimate(-0.004)], swa=[estimate(0.002)], qat=[estimate(-0.003)])
    assert typical_effect(dag) == pytest.approx(1.4826 * 0.003)
    belief = believe(contrast("activation"), (), dag)
    assert (belief.mean, belief.sd) == (0.0, pytest.approx(typical_effect(dag)))
    assert "cannot tell" in belief.basis


def test_an_estimate_moves_the_belief_towards_itself_but_not_all_the_way():
    dag = graph(ema=[estimate(-0.004)])
    belief = believe(contrast("ema"), (), dag)
    assert -0.004 < belief.mean < 0
    assert belief.sd < typical_effect(dag)
    assert "reported -0.0040" in belief.basis


def test_a_claim_counts_less_than_an_estimate():
    dag = graph(ema=[estimate(-0.004)])
    claimed = believe(contrast("swa"), [Claim("PR 1", -0.004)], dag)
    assert believe(contrast("ema"), (), dag).mean < claimed.mean < 0


def test_the_edge_counts_in_whichever_direction_it_is_written():
    forward = graph(ema=[estimate(-0.004)])
    edge = forward.edges[0].model_copy(update={"source": "bpb", "target": "ema"})
    backward = forward.model_copy(update={"edges": (edge,)})
    assert believe(contrast("ema"), (), backward) == believe(contrast("ema"), (), forward)


def test_an_empty_graph_still_gives_a_finite_worth():
    dag = graph()
    assert typical_effect(dag) == TYPICAL_EFFECT_FLOOR
    worth = believe(contrast("ema"), (), dag).expected_improvement()
    assert worth == pytest.approx(TYPICAL_EFFECT_FLOOR / math.sqrt(2 * math.pi))


def test_evidence_for_a_change_is_evidence_against_undoing_it():
    dag = graph(ema=[estimate(-0.004)])
    done, undone = believe(contrast("ema"), (), dag), believe(contrast("ema", 1, 0), (), dag)
    assert undone.mean == -done.mean > 0


def test_an_estimate_of_another_level_says_nothing():
    dag = graph(activation=[estimate(-0.004)])
    assert believe(contrast("activation", "relu_sq", "gelu"), (), dag).mean == 0.0
