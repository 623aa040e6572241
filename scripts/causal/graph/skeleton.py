"""Which variables are adjacent: the two searches of FCI, in batches of tests.

A test is settled by a function `independent(x, y, given)` of arrays: positions (k,), (k,) and
conditioning sets of one size (k, size) give k verdicts. `marks` is the matrix of end marks:
marks[a, b] is the mark at a on the edge between a and b, NONE where there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, combinations, islice
from math import comb

import numpy as np
from numpy.typing import NDArray

from scripts.causal.graph.determinants import Places

NONE, ARROW, CIRCLE, TAIL = 0, 1, 2, -1  # causal-learn's numbers
BATCH = 1 << 17  # tests settled together
SETS_AT_ONCE = 256  # pairs whose possible-d-sep sets are found together
FIRST_BATCH = 64  # where the first success ends the search

Marks = NDArray[np.int8]
Separators = dict[tuple[int, int], set[int]]
Independent = Callable[[Places, Places, Places], NDArray[np.bool_]]
PValues = Callable[[Places, Places, Places], NDArray[np.float64]]
Tests = tuple[int, int, Places]  # one pair, many sets


@lru_cache(maxsize=256)
def _every_subset(count: int, size: int) -> Places:
    found = list(combinations(range(count), size))
    return np.array(found, dtype=np.intp).reshape(len(found), size)


def _subsets(items: Sequence[int] | Places, size: int, block: int = BATCH) -> Iterator[Places]:
    """Yield the subsets of one size in lexicographic order, (k, size) at a time."""
    chosen = np.asarray(items, dtype=np.intp)
    if comb(len(chosen), size) <= block:
        yield chosen[_every_subset(len(chosen), size)]
        return
    remaining = combinations(range(len(chosen)), size)
    while part := list(islice(remaining, block)):
        yield chosen[np.array(part, dtype=np.intp)]


def _batches(tests: Iterable[Tests]) -> Iterator[tuple[Places, Places, Places]]:
    """Yield x (k,), y (k,) and sets (k, size) of many tests together; all of one size."""
    waiting: list[Tests] = []
    count = 0
    for one in tests:
        waiting.append(one)
        count += len(one[2])
        if count >= BATCH:
            yield _together(waiting)
            waiting, count = [], 0
    if waiting:
        yield _together(waiting)


def _together(tests: Sequence[Tests]) -> tuple[Places, Places, Places]:
    counts = [len(sets) for _, _, sets in tests]
    x = np.repeat([x for x, _, _ in tests], counts)
    y = np.repeat([y for _, y, _ in tests], counts)
    return x, y, np.concatenate([sets for _, _, sets in tests])


def _separating(tests: Iterable[Tests], independent: Independent) -> Separators:
    """Return for each pair the union of the sets that separate it; no pair that none does."""
    found: Separators = {}
    for x, y, given in _batches(tests):
        for hit in np.flatnonzero(independent(x, y, given)):
            found.setdefault((int(x[hit]), int(y[hit])), set()).update(given[hit].tolist())
    return found


def adjacency_search(
    count: int, independent: Independent, depth: int
) -> tuple[NDArray[np.bool_], Separators]:
    """Return the adjacencies (count, count) and, for each pair removed, its separating nodes.

    The stable variant (Colombo & Maathuis 2014, JMLR 15) as in causal-learn's `fas`: at each size
    the neighbours are those at its start, every set is tested, and a pair's separating set is the
    union of all sets of that size that separate it.

    Args:
        count: of variables.
        independent: settles tests.
        depth: largest conditioning set; -1 for no bound.
    """
    adjacent = ~np.eye(count, dtype=bool)
    separators: Separators = {}
    size = 0
    while adjacent.sum(axis=1).max(initial=0) > size and (depth < 0 or size <= depth):
        for (x, y), found in _separating(_neighbour_tests(adjacent, size), independent).items():
            adjacent[x, y] = adjacent[y, x] = False
            separators[x, y] = separators[y, x] = found
        size += 1
    return adjacent, separators


def _neighbour_tests(adjacent: NDArray[np.bool_], size: int) -> Iterator[Tests]:
    """Yield, for each adjacent pair, the sets of neighbours of either, each set once."""
    return _sets_around(adjacent, np.argwhere(np.triu(adjacent)).tolist(), size)


def _sets_around(
    adjacent: NDArray[np.bool_], pairs: Sequence[Sequence[int]], size: int
) -> Iterator[Tests]:
    around = [np.flatnonzero(row) for row in adjacent]
    for x, y in pairs:
        for sets in _subsets(around[x][around[x] != y], size):
            yield x, y, sets
        for sets in _subsets(around[y][around[y] != x], size):
            yield x, y, sets[~adjacent[x, sets].all(axis=1)]


def separating_p_values(
    adjacent: NDArray[np.bool_], p_values: PValues, separators: Separators, depth: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how well each pair is separated without, and with, each third variable.

    Tested are, for every pair with a common neighbour that is not adjacent itself, the sets of up
    to `depth` neighbours of either, and the set that the searches recorded if it is no larger.

    Args:
        adjacent: adjacencies after both searches, (k, k).
        p_values: settles tests.
        separators: pair → the nodes recorded.
        depth: largest set; -1 for no bound.

    Returns:
        (k, k, k) twice, at [a, c, b] the largest p-value of a ⟂ c given a set without b, and
        given one that holds b; 0 where there is none.
    """
    count, widest = len(adjacent), int(adjacent.sum(axis=1).max(initial=0))
    paths = adjacent.astype(np.intp)
    pairs = np.argwhere(np.triu(~adjacent, 1) & (paths @ paths > 0)).tolist()
    recorded: dict[int, list[Tests]] = {}
    for first, second in pairs:
        nodes = sorted(separators.get((first, second), separators.get((second, first), set())))
        if depth < 0 or len(nodes) <= depth:
            test = (first, second, np.array([nodes], dtype=np.intp))
            recorded.setdefault(len(nodes), []).append(test)
    longest = widest if depth < 0 else min(depth, widest)
    kinds = [_sets_around(adjacent, pairs, size) for size in range(longest + 1)]
    without, holding = np.zeros((2, count, count, count))
    for x, y, given in chain.from_iterable(map(_batches, [*kinds, *recorded.values()])):
        found = p_values(x, y, given)
        np.maximum.at(holding, (x[:, None], y[:, None], given), found[:, None])
        for b in range(count):
            free = (given != b).all(axis=1)
            np.maximum.at(without[:, :, b], (x[free], y[free]), found[free])
    for table in (without, holding):  # of pairs in ascending order until here
        np.maximum(table, table.transpose(1, 0, 2), out=table)
    return without, holding


def _semi_directed(marks: Marks) -> NDArray[np.bool_]:
    """Return whether a path leads from a to b that leaves every node by a tail or a circle."""
    reach: NDArray[np.bool_] = (marks != NONE) & (marks != ARROW)
    for middle in range(len(reach)):
        reach |= np.outer(reach[:, middle], reach[middle])
    return reach


def possible_d_sep_sets(marks: Marks, x: Places, y: Places) -> NDArray[np.bool_]:
    """Return the nodes that may be needed to separate each x from its y, as seen from x.

    Those reached from x on paths, not through y, whose every inner node is a collider or the
    middle of a triangle; of the ones not adjacent to x, those of which some node before them on a
    path may be an ancestor, or of x.

    Args:
        marks: of the graph, (nodes, nodes).
        x, y: positions, (k,).

    Returns:
        Membership, (k, nodes).
    """
    adjacent, arrow = marks != NONE, marks == ARROW
    reach = _semi_directed(marks)
    # [here, before, after]: whether a path that came from before may go on to after.
    steps = adjacent[:, :, None] & adjacent[:, None, :]
    steps &= adjacent[None] | arrow[:, :, None] & arrow[:, None, :]
    steps &= ~np.eye(len(marks), dtype=bool)[None]
    onward = steps.astype(np.float32)  # products of floats are far quicker than of truth values
    result = np.zeros((len(x), len(marks)), dtype=bool)
    for start in range(0, len(x), SETS_AT_ONCE):
        part = slice(start, start + SETS_AT_ONCE)
        outside = np.ones((len(x[part]), len(marks)), dtype=bool)
        pair = np.arange(len(outside))
        outside[pair, x[part]] = outside[pair, y[part]] = False
        near = adjacent[x[part]] & outside
        taken = np.zeros((len(outside), len(marks), len(marks)), dtype=bool)
        taken[pair, x[part]] = near  # [pair, before, here]: steps that some path takes
        fresh = taken
        while fresh.any():
            ahead = np.matmul(fresh.transpose(2, 0, 1).astype(np.float32), onward) > 0
            fresh = ahead.transpose(1, 0, 2) & outside[:, None] & ~taken
            taken = taken | fresh
        # [pair, here, after]: whether some path comes to here, and not from after.
        comes = taken.sum(axis=1)[:, :, None] > taken.transpose(0, 2, 1)
        ancestor = reach[:, x[part]].T[:, :, None] | reach[None]
        after = (adjacent[None] & comes & ancestor).any(axis=1)
        result[part] = near | after & taken.any(axis=1) & outside
    return result


def possible_d_sep_search(marks: Marks, independent: Independent, depth: int) -> Separators:
    """Return the pairs that a set of 2 to `depth` possible-d-sep nodes separates, with its nodes.

    All sets are read off the graph as it is at the start, and a pair's separating set is the
    union of those of the smallest size that separate it, so that the order of the columns plays
    no part. Sets within one node's neighbours were tested before and are left out.

    Args:
        marks: after the colliders of the adjacency search; not changed.
        independent: settles tests.
        depth: largest set; -1 for no bound.
    """
    adjacent = marks != NONE
    x, y = np.nonzero(np.triu(adjacent))
    sides = {
        pair: (np.flatnonzero(from_x).tolist(), np.flatnonzero(from_y).tolist())
        for pair, from_x, from_y in zip(
            zip(x.tolist(), y.tolist(), strict=True),
            possible_d_sep_sets(marks, x, y),
            possible_d_sep_sets(marks, y, x),
            strict=True,
        )
    }
    found: Separators = {}
    longest = max((len(side) for pair in sides.values() for side in pair), default=0)
    for size in range(2, (longest if depth < 0 else min(depth, longest)) + 1):
        tests = _possible_d_sep_tests(adjacent, sides, size)
        separated = _separating(tests, independent)
        found.update(separated)
        for pair in separated:
            del sides[pair]
    return found


def _possible_d_sep_tests(
    adjacent: NDArray[np.bool_],
    sides: dict[tuple[int, int], tuple[list[int], list[int]]],
    size: int,
) -> Iterator[Tests]:
    for (x, y), (from_x, from_y) in sides.items():
        in_first = np.zeros(len(adjacent), dtype=bool)
        in_first[from_x] = True
        for side in (from_x, from_y):
            for sets in _subsets(side, size):
                near = adjacent[x, sets].all(axis=1) | adjacent[y, sets].all(axis=1)
                if side is from_y:
                    near |= in_first[sets].all(axis=1)
                yield x, y, sets[~near]


def remove_as_causal_learn(
    marks: Marks,
    independent: Independent,
    separators: Separators,
    names: Sequence[str],
    depth: int,
) -> None:
    """Remove edges and record separating sets as causal-learn's `removeByPossibleDsep` does.

    One edge after the other, each on the graph that those before it left; the sets in the order
    of the names, backwards; the first that separates is taken, and recorded for one order of the
    pair only, so that a collider may go unseen. Its possible-d-sep sets end two steps from x.
    Where causal-learn follows the hashes of the names, this follows those of the positions.

    Args:
        marks: after the colliders of the adjacency search; changed in place.
        independent: settles tests.
        separators: added to.
        names: of the variables.
        depth: largest set; -1 for no bound, as there.
    """
    for first, second in np.argwhere(np.triu(marks != NONE)).tolist():
        points_left = marks[first, second] == ARROW and marks[second, first] != ARROW
        x, y = (second, first) if points_left else (first, second)
        around = marks[[x, y]] != NONE
        for nodes in (_near_possible_d_sep(marks, x, y), _near_possible_d_sep(marks, y, x)):
            ordered = sorted(nodes, key=lambda node: names[node], reverse=True)
            chosen = _first_separating(x, y, ordered, around, independent, depth)
            if chosen is not None:
                separators[x, y] = chosen
                marks[x, y] = marks[y, x] = NONE
                break


def _first_separating(
    x: int,
    y: int,
    nodes: Sequence[int],
    around: NDArray[np.bool_],
    independent: Independent,
    depth: int,
) -> set[int] | None:
    for size in range(2, (len(nodes) if depth < 0 else min(depth, len(nodes))) + 1):
        block = FIRST_BATCH
        remaining = combinations(nodes, size)
        if comb(len(nodes), size) > 1:
            next(remaining)  # there, its place is overwritten by the second before it is read
        while part := list(islice(remaining, block)):
            sets = np.array(part, dtype=np.intp)
            sets = sets[~around[:, sets].all(axis=2).any(axis=0)]
            hits = independent(np.full(len(sets), x), np.full(len(sets), y), sets)
            if hits.any():
                return set(sets[int(hits.argmax())].tolist())
            block = min(4 * block, BATCH)
    return None


def _near_possible_d_sep(marks: Marks, x: int, y: int) -> set[int]:
    """Return causal-learn's possible-d-sep set, by its `getPossibleDsep`."""
    adjacent = [np.flatnonzero(row).tolist() for row in marks]
    reach = _semi_directed(marks)
    start = set(adjacent[x])  # a set, for its order
    waiting = [node for node in start if node != y]
    found, seen = set(waiting), set(waiting)
    earlier: dict[int, set[int]] = {}
    for here in waiting:  # grows
        before = earlier.get(here, set()) - {x}
        if any(reach[one, x] or reach[one, here] for one in before):
            found.add(here)
        for after in adjacent[here]:
            if after in (x, y):
                continue
            earlier.setdefault(after, set()).add(here)
            collider = marks[here, x] == ARROW and marks[here, after] == ARROW
            if (collider or marks[x, after] != NONE) and after not in seen:
                seen.add(after)
                waiting.append(after)
    return found
