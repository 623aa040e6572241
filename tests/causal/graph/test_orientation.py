"""The orientation rules against causal-learn's, on graphs that data seldom give."""

import contextlib
import io

import numpy as np
import pytest
from causallearn.graph.GeneralGraph import GeneralGraph
from causallearn.graph.GraphNode import GraphNode
from causallearn.search.ConstraintBased import FCI as rules
from fci_oracles import placed_nodes

from scripts.causal.graph.orientation import apply_knowledge, orient_colliders, propagate
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
    for seed in range(400):
        marks, separators = random_case(seed)
        expected = theirs(marks, separators, r4_at_once)
        orient_colliders(marks, separators)
        ours = propagate(marks, separators, separates, r4_at_once=r4_at_once, both_ways=False)
        assert np.array_equal(ours, expected), seed
        undirected += ((ours == TAIL) & (ours.T == TAIL)).any()
    assert undirected > 20  # R5 to R7 had work to do


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
