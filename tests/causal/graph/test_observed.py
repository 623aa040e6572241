import dataclasses

import pytest

from scripts.causal.graph.design import build_design
from scripts.causal.graph.observed import adjusted_effects
from scripts.causal.graph.pag import make_pag


def pag(design, *edges):
    marks = {}
    for a, mark_a, mark_b, b in edges:
        marks[a, b], marks[b, a] = mark_a, mark_b
    return make_pag(design.columns, marks)


STRIDE = "sliding_window_eval"


def identified(design, graph):
    found, _ = adjusted_effects(design, graph)
    kept = {name: [one for one in group if one.identified] for name, group in found.items()}
    return {name: group for name, group in kept.items() if group}


def test_an_identified_effect_is_the_planted_one(planted):
    design = build_design(planted)
    graph = pag(design, ("date", "circle", "arrow", STRIDE), (STRIDE, "tail", "arrow", "bpb"))
    (estimate,) = identified(design, graph)[STRIDE]
    assert estimate.low < -0.03 < estimate.high
    assert estimate.high < -0.02
    assert estimate.n == 80
    assert (estimate.before, estimate.after) == (0, 64)
    assert estimate.detail.startswith("adjusted for date, 4 other variables; heavy-tailed")
    assert estimate.identified is True
    assert estimate.bounds is None


def test_a_numeric_effect_is_that_of_the_usual_change(planted):
    design = build_design(planted)
    graph = pag(
        design, ("date", "circle", "arrow", "vocab_size"), ("vocab_size", "tail", "arrow", "bpb")
    )
    (estimate,) = identified(design, graph)["vocab_size"]
    assert estimate.effect == pytest.approx(-0.05, abs=0.01)
    assert estimate.contrast.startswith("1024 → 8192")


def test_a_flag_is_compared_off_against_on(planted):
    design = build_design(planted)
    graph = pag(
        design, ("date", "circle", "arrow", "smear_gate"), ("smear_gate", "tail", "arrow", "bpb")
    )
    (estimate,) = identified(design, graph)["smear_gate"]
    assert estimate.contrast.startswith("without → with")
    assert estimate.low < 0 < estimate.high


@pytest.mark.parametrize(
    "edges",
    [
        [],
        [(STRIDE, "circle", "arrow", "bpb")],
        [(STRIDE, "arrow", "arrow", "bpb")],
        [(STRIDE, "tail", "arrow", "bpb")],  # directed, but a hidden common cause is possible
    ],
)
def test_without_identification_there_is_no_number(planted, edges):
    design = build_design(planted)
    assert identified(design, pag(design, *edges)) == {}


def test_too_few_clusters_give_no_number(planted):
    design = build_design(planted)
    few = dataclasses.replace(design, clusters=tuple(str(i % 4) for i in range(80)))
    graph = pag(design, ("date", "circle", "arrow", STRIDE), (STRIDE, "tail", "arrow", "bpb"))
    assert identified(few, graph) == {}


def test_kin_that_vary_together_widen_the_interval(planted):
    design = build_design(planted)
    # All users of the stride in four families, the rest in four others.
    used = design.table[STRIDE] > 0
    families = tuple(f"{on}{i % 4}" for i, on in enumerate(used))
    graph = pag(design, ("date", "circle", "arrow", STRIDE), (STRIDE, "tail", "arrow", "bpb"))
    (alone,) = identified(design, graph)[STRIDE]
    (kin,) = identified(dataclasses.replace(design, clusters=families), graph)[STRIDE]
    assert kin.effect == pytest.approx(alone.effect)
    assert kin.high - kin.low > alone.high - alone.low


def test_what_the_graph_leaves_open_has_bounds_and_is_no_effect(planted):
    design = build_design(planted)
    graph = pag(
        design,
        (STRIDE, "circle", "arrow", "bpb"),
        (STRIDE, "circle", "circle", "vocab_size"),
        ("vocab_size", "circle", "arrow", "bpb"),
    )
    found, _ = adjusted_effects(design, graph)
    (estimate,) = found[STRIDE]
    assert estimate.identified is False
    low, high = estimate.bounds
    assert low < estimate.effect <= high or low <= estimate.effect < high
    assert estimate.turned().bounds == (-high, -low)
    assert identified(design, graph) == {}
