from itertools import combinations

import networkx as nx
import numpy as np
import pytest

from benchmarks.oracle import causes, true_pag
from benchmarks.worlds import CLASSES, draw_world


def marks(pag):
    return sorted(map(str, pag.edges))


def false_marks(pag, dag):
    known = causes(dag)
    ends = [(e.a, e.b, e.mark_a) for e in pag.edges] + [(e.b, e.a, e.mark_b) for e in pag.edges]
    return [
        (at, other)
        for at, other, mark in ends
        if (mark == "arrow" and (at, other) in known)
        or (mark == "tail" and (at, other) not in known)
    ]


def test_textbook_graphs():
    # A chain: nothing can be directed.
    assert marks(true_pag([("a", "b"), ("b", "c")], "abc")) == ["a o-o b", "b o-o c"]
    # A collider: arrowheads at it, circles beyond.
    assert marks(true_pag([("a", "c"), ("b", "c")], "abc")) == ["a o-> c", "b o-> c"]
    # Below a collider an effect is directed, and visibly so.
    pag = true_pag([("a", "c"), ("b", "c"), ("c", "d")], "abcd")
    assert marks(pag) == ["a o-> c", "b o-> c", "c --> d"]
    assert pag.visible("c", "d")
    # Two instruments on either side of a hidden cause give it away.
    hidden = [("u", "x"), ("u", "y"), ("a", "x"), ("b", "y")]
    assert marks(true_pag(hidden, "abxy")) == ["a o-> x", "b o-> y", "x <-> y"]


def test_a_discriminating_path_tells_cause_from_confounding():
    base = [("d", "a"), ("u", "a"), ("u", "b"), ("a", "c")]
    caused = true_pag([*base, ("b", "c")], "dabc")
    hidden = true_pag([*base, ("v", "b"), ("v", "c")], "dabc")
    assert (caused.mark("b", "c"), caused.mark("c", "b")) == ("tail", "arrow")
    assert (hidden.mark("b", "c"), hidden.mark("c", "b")) == ("arrow", "arrow")


def test_time_adds_arrowheads_and_never_a_tail_by_itself():
    dag = [("a", "b"), ("b", "c")]
    assert marks(true_pag(dag, "abc", {"a": 0, "b": 0, "c": 1})) == ["a o-o b", "b o-> c"]
    assert marks(true_pag(dag, "abc", {"a": 0, "b": 1, "c": 1})) == ["a o-> b", "b --> c"]


def test_adjacent_are_exactly_those_that_no_set_separates():
    rng = np.random.default_rng(0)
    names = [f"v{k}" for k in range(8)]
    for _ in range(40):
        dag = [pair for pair in combinations(names, 2) if rng.random() < 0.3]
        hidden = set(rng.choice(names[:6], 2, replace=False).tolist())
        observed = [name for name in names if name not in hidden]
        pag = true_pag(dag, observed)
        model = nx.DiGraph(dag)
        model.add_nodes_from(names)
        for a, b in combinations(observed, 2):
            others = [name for name in observed if name not in (a, b)]
            separable = any(
                nx.is_d_separator(model, {a}, {b}, set(given))
                for size in range(len(others) + 1)
                for given in combinations(others, size)
            )
            assert (pag.mark(a, b) is None) == separable


@pytest.mark.parametrize("name", CLASSES)
def test_no_mark_of_a_worlds_graph_is_false(name):
    for seed in range(4):
        world = draw_world(name, seed)
        plain = true_pag(world.dag, world.observed)
        timed = true_pag(world.dag, world.observed, world.tiers)
        assert not false_marks(plain, world.dag)
        assert not false_marks(timed, world.dag)
        assert [(e.a, e.b) for e in plain.edges] == [(e.a, e.b) for e in timed.edges]
        for edge in plain.edges:
            assert edge.mark_a in ("circle", timed.mark(edge.a, edge.b))
            assert edge.mark_b in ("circle", timed.mark(edge.b, edge.a))


def test_the_order_of_the_columns_plays_no_part():
    rng = np.random.default_rng(1)
    names = [f"v{k}" for k in range(9)]
    for _ in range(60):
        dag = [pair for pair in combinations(names, 2) if rng.random() < 0.35]
        observed = rng.permutation([*names[:1], *names[3:]]).tolist()
        pag = true_pag(dag, observed)
        again = true_pag(dag, sorted(observed))
        assert not false_marks(pag, dag)
        assert all(pag.mark(a, b) == again.mark(a, b) for a in observed for b in observed)
