"""The one wall behind which causal-learn stays: its own search and rules, for who wants them.

`run_fci` calls this for `engine="causal-learn"`. causal-learn's adjacency search and orientation
rules are used as they are; its driver is not, since it does with background knowledge what no PAG
may suffer (release 0.1.4.8): a forbidden direction becomes a full ``-->``, and required edges are
lost. Names never reach it, and what it prints is dropped.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Collection, Sequence
from itertools import combinations
from typing import cast

import numpy as np
from causallearn.graph.Edge import Edge
from causallearn.graph.Endpoint import Endpoint
from causallearn.graph.GeneralGraph import GeneralGraph
from causallearn.graph.GraphNode import GraphNode
from causallearn.search.ConstraintBased import FCI as rules
from causallearn.utils.cit import CIT, CIT_Base, register_ci_test
from causallearn.utils.FAS import fas
from numpy.typing import NDArray

from scripts.causal.graph.citest import TEST_WORDS
from scripts.causal.graph.skeleton import Marks, Separators

TEST_NAME = "wilks_mixed"
Test = Callable[[int, int, Sequence[int]], float]


class _CausalLearnWilks(CIT_Base):  # type: ignore[misc]
    """The same test in the form that causal-learn calls; `data` only tells it the size.

    Args:
        data: anything with as many columns as there are variables.
        arguments: ``test``, a function of (x, y, given) that returns a p-value.
    """

    def __init__(self, data: NDArray[np.float64], **arguments: object):
        super().__init__(data)
        self.test = cast(Test, arguments["test"])
        self.check_cache_method_consistent(TEST_NAME, TEST_WORDS)

    def __call__(self, x: int, y: int, condition_set: Sequence[int] | None = None) -> float:
        return self.test(int(x), int(y), [int(one) for one in condition_set or ()])


register_ci_test(TEST_NAME, _CausalLearnWilks)


class _PlacedNode(GraphNode):  # type: ignore[misc]
    """A node that hashes by its position, so that a set of nodes is walked alike in every run."""

    def __hash__(self) -> int:
        return int(self.name.lstrip("X")) - 1


def _require(graph: GeneralGraph, pairs: Collection[tuple[int, int]]) -> None:
    """Orient each required pair cause → effect, whatever it was."""
    for cause, effect in pairs:
        first, second = graph.nodes[cause], graph.nodes[effect]
        edge = graph.get_edge(first, second)
        if edge is not None:
            graph.remove_edge(edge)
        graph.add_edge(Edge(first, second, Endpoint.TAIL, Endpoint.ARROW))


def _semi_directed(matrix: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Return whether a path leads from a to b that leaves every node by a tail or a circle."""
    reach: NDArray[np.bool_] = (matrix != 0) & (matrix != Endpoint.ARROW.value)
    for middle in range(len(reach)):
        reach = reach | np.outer(reach[:, middle], reach[middle])
    return reach


def _possible_d_sep(
    matrix: NDArray[np.int_], reach: NDArray[np.bool_], x: int, y: int
) -> list[int]:
    """Return the nodes that may be needed to separate x from y, as seen from x, in order.

    Those reached from x on paths, not through y, whose every inner node is a collider or the
    middle of a triangle; of the ones that are not adjacent to x, those of which some node before
    them on a path may be an ancestor, or of x (causal-learn's rule, made independent of the order
    in which paths are found).

    Args:
        matrix: endpoints as causal-learn keeps them: [a, b] is the mark at a, 0 for no edge.
        reach: `_semi_directed` of it.
        x, y: positions.
    """
    arrow = Endpoint.ARROW.value
    adjacent = [[int(one) for one in np.flatnonzero(row)] for row in matrix]
    steps = [(x, node) for node in adjacent[x] if node != y]
    seen, found = set(steps), {node for _, node in steps}
    earlier: dict[int, set[int]] = {}
    while steps:
        before, here = steps.pop()
        for after in adjacent[here]:
            if after in (before, x, y):
                continue
            earlier.setdefault(after, set()).add(here)
            collider = matrix[here, before] == arrow and matrix[here, after] == arrow
            if (collider or matrix[before, after] != 0) and (here, after) not in seen:
                seen.add((here, after))
                steps.append((here, after))
    for _, node in seen:
        if any(reach[one, x] or reach[one, node] for one in earlier.get(node, ()) if one != x):
            found.add(node)
    return sorted(found)


def _remove_by_possible_d_sep(
    graph: GeneralGraph, test: Test, alpha: float, depth: int, separators: Separators
) -> None:
    """Remove edges that a set of 2 to `depth` possible-d-sep nodes separates (-1: any size).

    All sets are read off the graph as it is at the start, so that the order of the columns plays
    no part (the stable variant of Colombo & Maathuis 2014, JMLR 15).
    """
    matrix = graph.graph.copy()
    reach = _semi_directed(matrix)
    around = [set(map(int, np.flatnonzero(row))) for row in matrix]
    for x, y in (tuple(map(int, pair)) for pair in np.argwhere(np.triu(matrix) != 0)):
        sides = [_possible_d_sep(matrix, reach, *pair) for pair in ((x, y), (y, x))]
        longest = max(map(len, sides))
        found: set[int] = set()
        for size in range(2, (longest if depth < 0 else min(depth, longest)) + 1):
            sets = {chosen for side in sides for chosen in combinations(side, size)}
            for chosen in sorted(sets):
                near = set(chosen) <= around[x] or set(chosen) <= around[y]
                if not near and test(x, y, chosen) > alpha:
                    found.update(chosen)
            if found:
                break
        if found:
            graph.remove_edge(graph.get_edge(graph.nodes[x], graph.nodes[y]))
            separators[x, y] = separators[y, x] = found


def _orient(
    graph: GeneralGraph,
    separators: Separators,
    test: object,
    alpha: float,
    tiers: Sequence[int],
    required: Collection[tuple[int, int]],
) -> None:
    """Orient in place: colliders, required edges, tier arrowheads, then rules R1 to R10."""
    nodes = graph.get_nodes()
    rules.rule0(graph, nodes, separators, None, False)
    _require(graph, required)
    for a, b in combinations(range(len(nodes)), 2):
        edge = graph.get_edge(nodes[a], nodes[b])
        if edge is None or tiers[a] == tiers[b]:
            continue
        early, late = (nodes[a], nodes[b]) if tiers[a] < tiers[b] else (nodes[b], nodes[a])
        mark = edge.get_proximal_endpoint(early)
        graph.remove_edge(edge)
        graph.add_edge(Edge(early, late, mark, Endpoint.ARROW))
    data = np.empty((0, len(nodes)))
    changed, first = True, True
    while changed:
        changed = rules.rulesR1R2cycle(graph, None, False)
        changed = rules.ruleR3(graph, separators, None, changed)
        if changed or first:
            changed = rules.ruleR4B(graph, -1, data, test, alpha, separators, changed, None)
        first = False
        changed = rules.ruleR5(graph, changed)
        changed = rules.ruleR6(graph, changed)
        changed = rules.ruleR7(graph, changed)
        changed = rules.rule8(graph, nodes, changed)
        changed = rules.rule9(graph, nodes, changed)
        changed = rules.rule10(graph, changed)


def search(
    test: Test,
    count: int,
    *,
    alpha: float,
    depth: int,
    tiers: Sequence[int],
    required: Collection[tuple[int, int]],
) -> Marks:
    """Return the end marks over the variables, (count, count).

    Args:
        test: p-value of x ⟂ y | given, by positions.
        count: of variables.
        alpha, depth: as in `run_fci`.
        tiers: place in time of each variable.
        required: (cause, effect) positions.
    """
    nodes = [_PlacedNode(f"X{place + 1}") for place in range(count)]
    data = np.zeros((2, count))
    with contextlib.redirect_stdout(io.StringIO()):
        method = CIT(data, TEST_NAME, test=test)
        skeleton, separators, _ = fas(
            data, nodes, method, alpha=float(alpha), depth=depth, show_progress=False
        )
        graph = GeneralGraph(nodes)  # the skeleton's own nodes hash by name
        graph.graph = skeleton.graph
        rules.reorientAllWith(graph, Endpoint.CIRCLE)
        rules.rule0(graph, nodes, separators, None, False)
        _remove_by_possible_d_sep(graph, test, alpha, depth, separators)
        _orient(graph, separators, method, alpha, tiers, required)
    return np.asarray(graph.graph, dtype=np.int8)
