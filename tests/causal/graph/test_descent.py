import numpy as np
import pandas as pd
import pytest

from scripts.causal.graph.bootstrap import edge_frequencies
from scripts.causal.graph.citest import WilksTest, encode_table
from scripts.causal.graph.descent import descent_of, suiting_test
from scripts.causal.graph.estimate import estimate_data_graph
from scripts.causal.leaderboard.schema import Leaderboard


def copies(seed, n=300, cause=0.0, share=0.15):
    """Rows that copy one of the sixty before them and draw a few of their values anew.

    `y` answers to `x` with weight `cause` whenever it is drawn; `track` is always handed down.
    """
    rng = np.random.default_rng(seed)
    x, y, track = np.zeros((3, n))
    parents = []
    for row in range(n):
        parent = None if row < 6 else int(rng.integers(max(0, row - 60), row))
        parents.append(parent)
        if parent is None:
            x[row], y[row], track[row] = *rng.standard_normal(2), row % 2
            continue
        x[row], y[row], track[row] = x[parent], y[parent], track[parent]
        if rng.random() < share:
            x[row] = rng.standard_normal()
        if rng.random() < share:
            y[row] = cause * x[row] + rng.standard_normal()
    return pd.DataFrame({"track": track, "x": x, "y": y}), parents


def p_values(frame, parents, *pair):
    """Return the p-value of a pair, over the rows as they are and beyond their parents."""
    encoded = encode_table(frame[list(pair)])
    tests = WilksTest(encoded), descent_of(encoded, parents).test({})
    return [one.p_value(0, 1) for one in tests]


def test_what_lines_have_in_common_is_no_association():
    found = np.array([p_values(*copies(seed), "x", "y") for seed in range(40)])
    plain, beyond = (found < 0.05).mean(axis=0)
    assert plain > 0.4
    assert beyond <= 0.15  # 0.05 in truth: more than six of forty come once in seventy runs


def test_an_answer_to_another_variable_is_seen():
    found = [p_values(*copies(seed, cause=1.5), "x", "y")[1] for seed in range(10)]
    assert max(found) < 0.05


def test_only_the_later_of_two_can_have_answered():
    frame, parents = copies(3, cause=0.3)
    encoded = encode_table(frame[["x", "y"]])
    within = descent_of(encoded, parents).test({"x": 0, "y": 0}).p_value(0, 1)
    later = descent_of(encoded, parents).test({"x": 0, "y": 1}).p_value(0, 1)
    earlier = descent_of(encoded, parents).test({"x": 1, "y": 0}).p_value(0, 1)
    assert within == pytest.approx(min(1.0, 2 * min(later, earlier)))
    assert later != earlier


def test_what_is_only_handed_down_is_still_asked_about():
    found = [p_values(*copies(seed), "track", "y") for seed in range(20)]
    plain, beyond = (np.array(found) < 0.05).mean(axis=0)
    assert plain > 0.3
    assert beyond <= 0.2


def test_many_tests_at_once_give_what_single_ones_give():
    frame, parents = copies(5, cause=0.5)
    test = descent_of(encode_table(frame), parents).test({})
    x, y, given = np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([[2], [1], [0]])
    singly = [test.p_value(*one) for one in zip(x, y, given, strict=True)]
    assert test.p_values(x, y, given) == pytest.approx(singly)


def test_without_most_parents_rows_are_taken_as_they_are():
    frame, parents = copies(2)
    few = [parent if row % 3 == 0 else None for row, parent in enumerate(parents)]
    encoded = encode_table(frame)
    assert descent_of(encoded, few) is None
    plain, tiers = suiting_test(encoded, None, {"x": 0, "y": 1, "track": 0})
    assert plain.p_value(0, 1) == WilksTest(encoded).p_value(0, 1)
    assert tiers == {"x": 0, "y": 1, "track": 0}


def test_a_variable_that_no_child_changes_is_left_out():
    frame, parents = copies(2)
    frame["track"] = [float(parent is None) for parent in parents]
    encoded = encode_table(frame)
    test, tiers = suiting_test(encoded, descent_of(encoded, parents), {"track": 0, "x": 1, "y": 2})
    assert test.encoded.names == ("x", "y")
    assert tiers == {"x": 1, "y": 2}


def test_copies_make_no_edge_firm():
    settings = {"alpha": 0.05, "depth": 1, "bootstraps": 20, "seed": 0}
    plain, beyond = [], []
    for seed in range(6):
        frame, parents = copies(seed, share=0.05)
        encoded = encode_table(frame[["x", "y"]])
        families = [str(parent) for parent in parents]
        tiers = {"x": 0, "y": 1}
        for into, descent in ((plain, None), (beyond, descent_of(encoded, parents))):
            found = edge_frequencies(encoded, families, tiers=tiers, descent=descent, **settings)
            into.append(sum(one.frequency for one in found))
    assert np.mean(plain) > 0.3
    assert np.mean(beyond) < 0.15


def test_the_graph_says_which_test_it_used_and_what_that_cannot_speak_of(submission):
    rng = np.random.default_rng(0)
    rows, layers, ema = [], [], []
    for number in range(120):
        parent = int(rng.integers(max(0, number - 15), number)) if number >= 8 else None
        fresh = parent is None or rng.random() < 0.3
        layers.append(int(rng.choice([9, 10, 11])) if fresh else layers[parent])
        fresh = parent is None or rng.random() < 0.3
        ema.append(float(rng.choice([0.0, 0.997])) if fresh else ema[parent])
        rows.append(
            submission(
                number,
                1.2 - 0.03 * layers[-1] + 0.004 * float(rng.standard_normal()),
                track="root" if number < 8 else "rest",
                parent_prs=() if parent is None else (1000 + parent,),
                techniques={"num_layers": layers[-1], "ema": ema[-1]},
            )
        )
    graph = estimate_data_graph(Leaderboard(source="line", submissions=tuple(rows)), bootstraps=3)
    assert graph.fci.test.endswith("beyond their parents")
    assert ("num_layers", "bpb") in {(one.source, one.target) for one in graph.edges}
    aside = {one.variable: one.reason for one in graph.set_aside}
    assert "whose parent is known" in aside["track"]
    assert "track" not in {node.id for node in graph.nodes}
