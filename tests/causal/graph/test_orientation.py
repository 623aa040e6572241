"""The orientation rules against causal-learn's, on graphs that data seldom give."""

import contextlib
import io

import numpy as np
import pytest
from causallearn.graph.GeneralGraph import GeneralGraph
from causallearn.graph.GraphNode import GraphNode
from causallearn.search.ConstraintBased import FCI as rules
from fci_oracles import placed_nodes

from scripts.causal.graph.orientation import (
    Evidence,
    apply_knowledge,
    orient_clear_colliders,
    orient_colliders,
    propagate,
)
from scripts.causal.graph.skeleton import ARROW, CIRCLE, NONE, TAIL


def random_case(seed):
    """A random skeleton with random separating sets: selection and conflict, whatever comes."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(5, 11))
    adjacent = np.triu(rng.random((count, count)) < rng.uniform(0.2, 0.6), 1)
    marks = np.where(adjacent | adjacent.T, CIRCLE, NONE).astype(np.int8)
    share = rng.choice([0.5, 0.8, 1.0])  # 1.0: no colliders, so circle paths stay
    separators = {}
    for x, y in np.argwhere(np.triu(marks == NONE, 1)).tolist():
        found = set(np.flatnonzero(rng.random(count) < share).tolist()) - {x, y}
        separators[x, y] = separators[y, x] = found
    return marks, separators


def separates(x, y, given):
    """A verdict out of the air, the same for the same question."""
    return np.random.default_rng([x, y, *given]).random() < 0.3


def theirs(marks, separators, r4_at_once):
    """causal-learn's rules, called as its driver calls them."""
    nodes = [GraphNode(f"X{place + 1}") for place in range(len(marks))]

    def p_value(x, y, given):
        return float(separates(x, y, given))

    with placed_nodes(), contextlib.redirect_stdout(io.StringIO()):
        graph = GeneralGraph(nodes)
        graph.graph = marks.astype(int)
        rules.rule0(graph, nodes, separators, None, False)
        changed, at_once = True, r4_at_once
        while changed:
            changed = rules.rulesR1R2cycle(graph, None, False)
            changed = rules.ruleR3(graph, separators, None, changed)
            if changed or at_once:
                data = np.empty((0, len(marks)))
                changed = rules.ruleR4B(graph, -1, data, p_value, 0.5, separators, changed, None)
            at_once = False
            for rule in (rules.ruleR5, rules.ruleR6, rules.ruleR7):
                changed = rule(graph, changed)
            changed = rules.rule8(graph, nodes, changed)
            changed = rules.rule9(graph, nodes, changed)
            changed = rules.rule10(graph, changed)
    return graph.graph


@pytest.mark.parametrize("r4_at_once", [False, True])
def test_any_skeleton_is_oriented_as_by_causal_learn(r4_at_once):
    undirected = 0
    for seed in range(250):
        marks, separators = random_case(seed)
        expected = theirs(marks, separators, r4_at_once)
        orient_colliders(marks, separators)
        ours = propagate(marks, separators, separates, r4_at_once=r4_at_once, both_ways=False)
        assert np.array_equal(ours, expected), seed
        undirected += ((ours == TAIL) & (ours.T == TAIL)).any()
    assert undirected > 12  # R5 to R7 had work to do


def graph_of(count, *edges):
    """Marks from (node, mark at it, mark at the other, other)."""
    marks = np.zeros((count, count), dtype=np.int8)
    for first, mark, other_mark, second in edges:
        marks[first, second], marks[second, first] = mark, other_mark
    return marks


@pytest.mark.parametrize("a, b, c", [(0, 1, 2), (2, 1, 0)])
def test_a_chain_of_causes_is_closed_whatever_the_order_of_the_columns(a, b, c):
    # R8: a → b → c makes a o→ c a cause. causal-learn looks only where a stands before c.
    marks = graph_of(3, (a, TAIL, ARROW, b), (b, TAIL, ARROW, c), (a, CIRCLE, ARROW, c))
    ours = propagate(marks, {}, separates)
    assert (ours[a, c], ours[c, a]) == (TAIL, ARROW)
    one_way = propagate(marks, {}, separates, both_ways=False)
    assert (one_way[a, c] == TAIL) == (a < c)


@pytest.mark.parametrize("b, d", [(1, 2), (2, 1)])
def test_two_paths_may_start_in_either_order(b, d):
    # R10: a o→ c with b → c ← d; a may cause b by 4 and d by 5, and 4 and 5 are not adjacent.
    # Both are next to c, so that R9 has nothing to say.
    a, c = 0, 3
    marks = graph_of(
        6,
        (a, CIRCLE, ARROW, c),
        (b, TAIL, ARROW, c),
        (d, TAIL, ARROW, c),
        (a, CIRCLE, ARROW, 4),
        (a, CIRCLE, ARROW, 5),
        (4, TAIL, ARROW, b),
        (5, TAIL, ARROW, d),
        (4, ARROW, ARROW, c),
        (5, ARROW, ARROW, c),
    )
    assert propagate(marks, {}, separates)[a, c] == TAIL
    one_way = propagate(marks, {}, separates, both_ways=False)
    assert (one_way[a, c] == TAIL) == (b < d)


def test_knowledge_leaves_the_mark_at_the_earlier_end():
    marks = graph_of(3, (0, CIRCLE, CIRCLE, 1), (1, ARROW, CIRCLE, 2))
    apply_knowledge(marks, [0, 1, 1], [])
    assert marks.tolist() == [[0, CIRCLE, 0], [ARROW, 0, ARROW], [0, CIRCLE, 0]]
    apply_knowledge(marks, [0, 1, 1], [(0, 2)])
    assert (marks[0, 2], marks[2, 0]) == (TAIL, ARROW)


def evidence(count, p_values, **settings):
    """From (a, b, c) → the best p-value without b, and with it."""
    without, holding = np.zeros((2, count, count, count))
    for (a, b, c), (free, held) in p_values.items():
        without[a, c, b] = without[c, a, b] = free
        holding[a, c, b] = holding[c, a, b] = held
    separators = settings.pop("separators", {})
    return Evidence(without, holding, separators, 0.05, margin=3.0, strong_margin=1e6, **settings)


@pytest.mark.parametrize(
    "without, holding, expected",
    [
        (0.7, 0.2, (ARROW, CIRCLE)),  # a collider
        (0.7, 0.3, (CIRCLE, CIRCLE)),  # neither is three times the other
        (0.2, 0.7, (CIRCLE, CIRCLE)),
        (0.7, 1e-7, (ARROW, ARROW)),
    ],
)
def test_an_arrowhead_against_time_takes_strong_evidence(without, holding, expected):
    marks = graph_of(3, (0, CIRCLE, CIRCLE, 1), (1, CIRCLE, CIRCLE, 2))
    orient_clear_colliders(marks, evidence(3, {(0, 1, 2): (without, holding)}), [0, 0, 1])
    assert (marks[1, 0], marks[1, 2]) == expected


@pytest.mark.parametrize("holding, expected", [(0.9, TAIL), (0.5, CIRCLE)])
def test_only_a_clear_separator_passes_an_arrowhead_on(holding, expected):
    # R1: 0 → 1 o-o 2.
    marks = graph_of(3, (0, CIRCLE, ARROW, 1), (1, CIRCLE, CIRCLE, 2))
    ours = propagate(marks, {}, separates, evidence=evidence(3, {(0, 1, 2): (0.2, holding)}))
    assert ours[1, 2] == expected


@pytest.mark.parametrize("held, expected", [(0.9, ARROW), (0.5, CIRCLE)])
def test_only_a_clear_separator_closes_a_double_triangle(held, expected):
    # R3: 0 → 1 ← 2, both 0 and 2 o-o 3, 3 o-o 1.
    marks = graph_of(
        4,
        (0, CIRCLE, ARROW, 1),
        (2, CIRCLE, ARROW, 1),
        (0, CIRCLE, CIRCLE, 3),
        (2, CIRCLE, CIRCLE, 3),
        (3, CIRCLE, CIRCLE, 1),
    )
    told = evidence(4, {(0, 1, 2): (0.9, 0.0), (0, 3, 2): (0.2, held)})
    assert propagate(marks, {}, separates, evidence=told)[1, 3] == expected


@pytest.mark.parametrize(
    "without, holding, expected",
    [(0.0, 0.9, TAIL), (0.9, 0.0, ARROW), (0.1, 0.9, CIRCLE), (0.9, 0.1, CIRCLE)],
)
def test_a_discriminating_path_takes_strong_evidence(without, holding, expected):
    # R4: 0 → 1 ↔ 2 o-> 3 with 1 → 3.
    marks = graph_of(
        4,
        (0, CIRCLE, ARROW, 1),
        (1, ARROW, ARROW, 2),
        (2, CIRCLE, ARROW, 3),
        (1, TAIL, ARROW, 3),
    )
    told = evidence(4, {(0, 2, 3): (without, holding)})
    assert propagate(marks, {}, separates, evidence=told)[2, 3] == expected


def test_the_recorded_set_decides_where_no_set_separates():
    told = evidence(3, {(0, 1, 2): (0.04, 0.001)}, separators={(0, 2): {1}})
    assert told.separates(0, 1, 2) and not told.collides(0, 1, 2)
    assert told.separates(2, 1, 0)
    nothing = evidence(3, {(0, 1, 2): (0.04, 0.001)})
    assert not nothing.separates(0, 1, 2) and not nothing.collides(0, 1, 2)


def test_without_selection_a_ring_stays_open():
    ring = [(one, CIRCLE, CIRCLE, (one + 1) % 4) for one in range(4)]
    assert (propagate(graph_of(4, *ring), {}, separates)[0, [1, 3]] == TAIL).all()
    ours = propagate(graph_of(4, *ring), {}, separates, selection=False)
    assert np.array_equal(ours, graph_of(4, *ring))
