from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from fci_oracles import d_separation, fisher_z, linear_data, random_dag

from scripts.causal.graph import causal_learn, determinants, skeleton
from scripts.causal.graph.citest import WilksTest, encode_table
from scripts.causal.graph.orientation import orient_colliders
from scripts.causal.graph.skeleton import (
    ARROW,
    CIRCLE,
    NONE,
    _semi_directed,
    _subsets,
    adjacency_search,
    possible_d_sep_search,
    possible_d_sep_sets,
    separating_p_values,
)


def verdicts(test, alpha=0.05):
    return lambda x, y, given: test.p_values(x, y, given) > alpha


def circles(adjacent):
    return np.where(adjacent, CIRCLE, NONE).astype(np.int8)


def pairs(adjacent):
    return set(map(tuple, np.argwhere(np.triu(adjacent)).tolist()))


@pytest.mark.parametrize("block", [1, 4, 1000])
@pytest.mark.parametrize("size", range(7))
def test_subsets_come_in_order_and_in_blocks(size, block):
    found = [tuple(row) for part in _subsets([9, 7, 5, 3, 1, 0], size, block) for row in part]
    assert found == list(combinations([9, 7, 5, 3, 1, 0], size))


def test_a_chain_loses_its_ends_to_its_middle():
    adjacent, separators = adjacency_search(3, verdicts(d_separation({0: {}, 1: {0}, 2: {1}})), -1)
    assert pairs(adjacent) == {(0, 1), (1, 2)}
    assert separators == {(0, 2): {1}, (2, 0): {1}}


def test_every_set_that_separates_is_recorded():
    # 0 → 1 → 2 → 3: either inner node separates the ends.
    chain = d_separation({0: {}, 1: {0}, 2: {1}, 3: {2}})
    _, separators = adjacency_search(4, verdicts(chain), -1)
    assert separators[0, 3] == {1, 2}


def test_the_depth_bounds_the_sets():
    # 0 and 3 have two common causes.
    fork = d_separation({0: {1, 2}, 1: {}, 2: {}, 3: {1, 2}})
    assert (0, 3) in pairs(adjacency_search(4, verdicts(fork), 1)[0])
    assert (0, 3) not in pairs(adjacency_search(4, verdicts(fork), 2)[0])


def test_possible_d_sep_finds_what_no_neighbours_separate():
    # The example of Spirtes, Glymour & Scheines (2000, ch. 6): 0 and 4 are apart given 1, 2 and 3,
    # of which 2 is next to neither once its hidden causes (5, 6) are taken for edges.
    parents = {0: {5}, 1: {5, 2}, 2: set(), 3: {6, 2}, 4: {6}, 5: set(), 6: set()}
    parents[4] = {6, 1}
    parents[0] = {5, 3}
    test = d_separation(parents)
    assert test.p_value(0, 4, [1, 2, 3]) == 1.0
    adjacent, separators = adjacency_search(5, verdicts(test), -1)
    assert (0, 4) in pairs(adjacent)
    marks = circles(adjacent)
    orient_colliders(marks, separators)
    assert possible_d_sep_search(marks, verdicts(test), 2) == {}
    assert possible_d_sep_search(marks, verdicts(test), 3) == {(0, 4): {1, 2, 3}}


def test_possible_d_sep_sets_are_those_of_a_plain_search(monkeypatch):
    monkeypatch.setattr(skeleton, "SETS_AT_ONCE", 7)
    beyond = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        count = int(rng.integers(4, 12))
        adjacent = np.triu(rng.random((count, count)) < 0.4, 1)
        marks = circles(adjacent | adjacent.T)
        marks[(marks != NONE) & (rng.random((count, count)) < 0.5)] = ARROW
        x_of, y_of = np.nonzero(marks)
        found = possible_d_sep_sets(marks, x_of, y_of)
        for x, y, mine in zip(x_of.tolist(), y_of.tolist(), found, strict=True):
            plain = causal_learn._possible_d_sep(marks, _semi_directed(marks), x, y)
            assert np.flatnonzero(mine).tolist() == plain
            beyond += bool(set(plain) - set(np.flatnonzero(marks[x]).tolist()))
    assert beyond > 50


def test_the_possible_d_sep_search_has_work_to_do_in_the_worlds_of_the_tests():
    removed = 0
    for seed in range(15):
        rng = np.random.default_rng(seed)
        parents = random_dag(rng, 10, 2, 3.0)
        independent = verdicts(fisher_z(linear_data(rng, parents, 10, 300)))
        adjacent, separators = adjacency_search(10, independent, 2)
        marks = circles(adjacent)
        orient_colliders(marks, separators)
        removed += len(possible_d_sep_search(marks, independent, 3))
    assert removed >= 3


def test_sets_too_many_to_keep_are_computed_each_time(monkeypatch):
    rng = np.random.default_rng(3)
    table = encode_table(pd.DataFrame({f"v{i}": rng.standard_normal(50) for i in range(6)}))
    asked = np.array([(0, 1, 2, 3), (4, 5, 0, 1), (0, 1, 2, 3)])

    def answer():
        return WilksTest(table).p_values(asked[:, 0], asked[:, 1], asked[:, 2:])

    kept = answer()
    monkeypatch.setattr(determinants, "LARGEST_TABLE", 0)
    monkeypatch.setattr(determinants, "LARGEST_STACK", 1)
    assert answer().tolist() == kept.tolist()
    assert kept[0] == kept[2] != kept[1]


@pytest.mark.parametrize("depth", [1, 2, -1])
def test_separating_p_values_are_those_of_every_set_of_neighbours(depth):
    rng = np.random.default_rng(8)
    test = fisher_z(linear_data(rng, random_dag(rng, 8, 2, 3.0), 8, 100))
    adjacent, separators = adjacency_search(8, verdicts(test), 2)
    without, holding = separating_p_values(adjacent, test.p_values, separators, depth)
    told = 0
    for a, c in np.argwhere(~adjacent & ~np.eye(8, dtype=bool)).tolist():
        if not (adjacent[a] & adjacent[c]).any():
            assert without[a, c].max() == holding[a, c].max() == 0
            continue
        sets = {
            chosen
            for side in (a, c)
            for size in range((8 if depth < 0 else depth) + 1)
            for chosen in combinations(np.flatnonzero(adjacent[side]).tolist(), size)
        }
        recorded = tuple(sorted(separators[a, c]))
        if depth < 0 or len(recorded) <= depth:
            sets.add(recorded)
        for b in set(range(8)) - {a, c}:
            free = [test.p_value(a, c, one) for one in sets if b not in one]
            held = [test.p_value(a, c, one) for one in sets if b in one]
            assert without[a, c, b] == max(free)
            assert holding[a, c, b] == max(held, default=0.0)
            told += bool(held)
    assert told > 20
