from functools import partial

import numpy as np
import pandas as pd
import pytest

from scripts.causal.graph import fci
from scripts.causal.graph.citest import WilksTest, encode_table


@pytest.fixture(params=["own", "causal-learn"])
def run_fci(request):
    """Every trap is closed in both engines."""
    return partial(fci.run_fci, engine=request.param)


def wilks(**columns):
    return WilksTest(encode_table(pd.DataFrame(columns)))


def texts(pag):
    return [str(edge) for edge in pag.edges]


def chain(rng, n=400):
    """x → z ← w, z → y."""
    x, w = rng.standard_normal((2, n))
    z = x + w + 0.5 * rng.standard_normal(n)
    y = z + 0.5 * rng.standard_normal(n)
    return {"x": x, "w": w, "z": z, "y": y}


def test_a_collider_and_what_follows_from_it(run_fci):
    pag = run_fci(wilks(**chain(np.random.default_rng(1))), alpha=0.01)
    assert texts(pag) == ["x o-> z", "w o-> z", "z --> y"]


def test_a_hidden_common_cause_shows_as_a_bidirected_edge(run_fci):
    rng = np.random.default_rng(2)
    n = 2000
    hidden, a, b = rng.standard_normal((3, n))
    x = a + hidden + 0.5 * rng.standard_normal(n)
    y = b + hidden + 0.5 * rng.standard_normal(n)
    pag = run_fci(wilks(a=a, x=x, y=y, b=b), alpha=0.01)
    assert "x <-> y" in texts(pag)


def test_a_tier_adds_an_arrowhead_and_keeps_the_circle(run_fci):
    # causal-learn#266: its own background knowledge would make this z --> y.
    rng = np.random.default_rng(3)
    z = rng.standard_normal(200)
    test = wilks(z=z, y=z + rng.standard_normal(200))
    assert texts(run_fci(test, alpha=0.05)) == ["z o-o y"]
    assert texts(run_fci(test, alpha=0.05, tiers={"z": 0, "y": 1})) == ["z o-> y"]


def test_tier_arrowheads_propagate(run_fci):
    # In z - y - x with z ⟂ x | y, an arrowhead at y from z makes y a cause of x.
    rng = np.random.default_rng(4)
    z = rng.standard_normal(500)
    y = z + rng.standard_normal(500)
    x = y + rng.standard_normal(500)
    test = wilks(z=z, y=y, x=x)
    assert texts(run_fci(test, alpha=0.01, tiers={"z": 0, "y": 1, "x": 1})) == [
        "z o-> y",
        "y --> x",
    ]


def test_colliders_stay_colliders_under_tiers(run_fci):
    # causal-learn#224: v-structures came out wrong under background knowledge.
    pag = run_fci(
        wilks(**chain(np.random.default_rng(5))),
        alpha=0.01,
        tiers={"x": 0, "w": 0, "z": 1, "y": 2},
    )
    assert texts(pag) == ["x o-> z", "w o-> z", "z --> y"]


def test_no_edge_ends_in_a_tail_at_the_outcome(run_fci):
    rng = np.random.default_rng(6)
    for _ in range(10):
        columns = {f"f{i}": rng.standard_normal(60) for i in range(5)}
        columns["bpb"] = sum(columns.values()) + rng.standard_normal(60)
        tiers = {name: int(name == "bpb") for name in columns}
        pag = run_fci(wilks(**columns), alpha=0.2, depth=2, tiers=tiers)
        assert all(pag.mark("bpb", other) == "arrow" for other in pag.neighbours("bpb"))


def test_the_future_is_not_conditioned_on(run_fci):
    # a and b are dependent; given their common effect they look independent (Simpson).
    rng = np.random.default_rng(7)
    n = 500
    a = rng.standard_normal(n)
    b = 0.5 * a + rng.standard_normal(n)
    effect = a - 2 * b + 0.05 * rng.standard_normal(n)
    pag = run_fci(wilks(a=a, b=b, effect=effect), alpha=0.05, tiers={"a": 0, "b": 0, "effect": 1})
    assert pag.mark("a", "b") is not None


def test_a_required_edge_survives_independent_data(run_fci):
    rng = np.random.default_rng(8)
    a, b, c = rng.standard_normal((3, 300))
    test = wilks(a=a, b=b, c=c)
    assert texts(run_fci(test, alpha=0.01)) == []
    assert texts(run_fci(test, alpha=0.01, required=[("a", "b")])) == ["a --> b"]
    assert texts(run_fci(test, alpha=0.01, required=[("c", "b")])) == ["b <-- c"]


def test_a_required_edge_survives_the_possible_d_sep_search(run_fci):
    rng = np.random.default_rng(9)
    columns = chain(rng)
    pag = run_fci(wilks(**columns), alpha=0.01, required=[("x", "y")])
    assert (pag.mark("x", "y"), pag.mark("y", "x")) == ("tail", "arrow")


@pytest.mark.parametrize("name", ["X", "X10", "x1", "X1$"])
def test_names_match_exactly_or_are_refused(run_fci, name):
    rng = np.random.default_rng(10)
    test = wilks(X1=rng.standard_normal(50), X2=rng.standard_normal(50))
    with pytest.raises(ValueError, match="no columns"):
        run_fci(test, alpha=0.05, required=[(name, "X2")])
    with pytest.raises(ValueError, match="no columns"):
        run_fci(test, alpha=0.05, tiers={"X1": 0, "X2": 1, name: 1})


def test_a_rule_for_x1_leaves_x10_alone(run_fci):
    rng = np.random.default_rng(11)
    columns = {name: rng.standard_normal(200) for name in ("X1", "X10", "y")}
    pag = run_fci(wilks(**columns), alpha=0.001, required=[("X1", "y")])
    assert texts(pag) == ["X1 --> y"]


def test_a_column_without_a_tier_is_refused(run_fci):
    rng = np.random.default_rng(12)
    test = wilks(a=rng.standard_normal(50), b=rng.standard_normal(50))
    with pytest.raises(ValueError, match=r"\['b'\] have no tier"):
        run_fci(test, alpha=0.05, tiers={"a": 0})


def test_a_required_edge_against_the_tiers_is_refused(run_fci):
    rng = np.random.default_rng(13)
    test = wilks(a=rng.standard_normal(50), b=rng.standard_normal(50))
    with pytest.raises(ValueError, match="against the tiers"):
        run_fci(test, alpha=0.05, tiers={"a": 0, "b": 1}, required=[("b", "a")])


def test_a_column_constant_under_the_weights_is_refused(run_fci):
    rng = np.random.default_rng(14)
    table = encode_table(pd.DataFrame({"a": ["x"] * 20 + ["y"] * 20, "b": rng.random(40)}))
    weights = np.array([1.0] * 20 + [0.0] * 20)
    with pytest.raises(ValueError, match=r"\['a'\] are constant"):
        run_fci(WilksTest(table, weights), alpha=0.05)


def test_duplicated_and_collinear_columns_are_refused(run_fci):
    rng = np.random.default_rng(15)
    a = rng.standard_normal(40)
    with pytest.raises(ValueError, match=r"\['copy'\] are collinear"):
        run_fci(wilks(a=a, copy=3 * a, c=rng.standard_normal(40)), alpha=0.05)
    level = rng.integers(3, size=60)
    dummies = np.eye(3)[level]
    with pytest.raises(ValueError, match=r"\['c'\] are collinear"):
        run_fci(wilks(a=dummies[:, 0], b=dummies[:, 1], c=dummies[:, 2]), alpha=0.05)


def test_one_node_per_factor_is_tied_to_the_outcome(run_fci):
    rng = np.random.default_rng(16)
    level = rng.integers(3, size=60)
    bpb = np.array([1.2, 1.15, 1.1])[level] + 0.01 * rng.standard_normal(60)
    noise = rng.standard_normal(60)
    pag = run_fci(wilks(quant=[f"int{v}" for v in level], noise=noise, bpb=bpb), alpha=0.01)
    assert texts(pag) == ["quant o-o bpb"]


def test_nothing_is_printed(run_fci, capfd):
    run_fci(wilks(**chain(np.random.default_rng(17))), alpha=0.05, tiers=dict.fromkeys("xwzy", 0))
    assert capfd.readouterr() == ("", "")


def marks(run_fci, columns, order, **settings):
    pag = run_fci(wilks(**{name: columns[name] for name in order}), alpha=0.05, **settings)
    return {(a, b): pag.mark(a, b) for a in columns for b in pag.neighbours(a)}


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_columns_does_not_matter(run_fci, seed):
    # causal-learn#82. With a hidden cause, so that every stage has work to do.
    rng = np.random.default_rng(200 + seed)
    columns = world(rng, 150, 6)
    first = marks(run_fci, columns, list(columns), depth=2)
    assert first
    for _ in range(4):
        assert marks(run_fci, columns, rng.permutation(list(columns)), depth=2) == first


@pytest.mark.parametrize("seed", range(5))
def test_the_names_of_the_columns_do_not_matter(run_fci, seed):
    # Names decide Python's string hashes, and those the order in which a set is walked.
    rng = np.random.default_rng(300 + seed)
    columns = list(world(rng, 80, 8).values())

    def by_place(names):
        pag = run_fci(wilks(**dict(zip(names, columns, strict=True))), alpha=0.1, depth=2)
        return [(names.index(e.a), names.index(e.b), e.mark_a, e.mark_b) for e in pag.edges]

    first = by_place([f"v{i}" for i in range(8)])
    assert first
    assert all(by_place([f"{rng.integers(10**9)}" for _ in range(8)]) == first for _ in range(8))


def world(rng, n, size):
    """A random linear world with one hidden cause of two variables."""
    values = []
    hidden = rng.standard_normal(n)
    for place in range(size):
        parents = [one for one in values if rng.random() < 0.4]
        noise = rng.standard_normal(n) + (1.2 * hidden if place in (1, size - 1) else 0)
        values.append(sum(rng.uniform(0.5, 1.0) * one for one in parents) + noise)
    return {f"v{place}": value for place, value in enumerate(values)}


def test_the_search_stops_at_the_stated_depth(monkeypatch):
    sizes = []
    p_values = WilksTest.p_values
    monkeypatch.setattr(
        WilksTest,
        "p_values",
        lambda self, x, y, given: sizes.append(given.shape[1]) or p_values(self, x, y, given),
    )
    test = wilks(**world(np.random.default_rng(19), 300, 8))
    fci.run_fci(test, alpha=0.05, depth=2)
    assert max(sizes) == 2
    # Rule R4 tests along its discriminating path, whatever the depth; no other test may.
    assert sum(len(given) > 2 for _, _, given in test.cache) <= 4


def test_a_weak_chain_is_no_collider():
    # a causes bpb through x, too weakly to be seen beside the noise: a ⟂ bpb passes
    # with no set, and better given x.
    rng = np.random.default_rng(23)
    tiers = {"a": 0, "x": 0, "bpb": 1}
    seen = 0
    for _ in range(40):
        a = rng.standard_normal(300)
        x = 0.4 * a + rng.standard_normal(300)
        test = wilks(a=a, x=x, bpb=0.25 * x + rng.standard_normal(300))
        plain = fci.run_fci(test, alpha=0.05, tiers=tiers, procedure=fci.ONE_SET)
        settled = fci.run_fci(test, alpha=0.05, tiers=tiers)
        seen += plain.mark("x", "bpb") == "arrow"
        assert settled.mark("x", "bpb") != "arrow"
    assert seen >= 5


def test_a_hidden_cause_of_two_tiers_shows_where_the_evidence_is_strong():
    rng = np.random.default_rng(24)
    hidden, cause, bpb = rng.standard_normal((3, 2000))
    x = cause + hidden + 0.3 * rng.standard_normal(2000)
    test = wilks(cause=cause, x=x, bpb=bpb + hidden)
    pag = fci.run_fci(test, alpha=0.01, tiers={"cause": 0, "x": 0, "bpb": 1})
    assert texts(pag) == ["cause o-> x", "x <-> bpb"]
