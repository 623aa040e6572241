"""The one wall behind which causal-learn stays: a table goes in, a frozen PAG comes out.

causal-learn's adjacency search and orientation rules are used as they are; its driver is not,
since it does with background knowledge what no PAG may suffer (release 0.1.4.8):

- a forbidden direction is turned into a full ``-->``, which asserts that there is no hidden
  common cause. Here a tier order adds an arrowhead at the later node and nothing else, before
  the rules propagate (arrowheads then follow, as in Spirtes, Glymour & Scheines 2000, ch. 6);
- required edges are lost to the adjacency search and to the possible-d-sep search. Here a
  required pair is never tested, and its edge is put back as ``-->``;
- knowledge is matched by name or by prefix, and a misspelt name is ignored. Here every name must
  be a column, and matching is by position;
- the possible-d-sep search takes all subsets of any size (84 s at 22 variables) in an order that
  follows Python's string hashing. Here it stops at the stated depth, in column order;
- constant and collinear columns give a singular matrix or a silent answer. Here they are refused;
- it prints. Here it does not.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

import numpy as np
from causallearn.graph.Edge import Edge
from causallearn.graph.Endpoint import Endpoint
from causallearn.graph.GeneralGraph import GeneralGraph
from causallearn.graph.GraphNode import GraphNode
from causallearn.search.ConstraintBased import FCI as rules
from causallearn.utils.cit import CIT
from causallearn.utils.FAS import fas
from numpy.typing import NDArray

from scripts.causal.graph.citest import TEST_NAME, WilksTest
from scripts.causal.graph.pag import Pag, make_pag
from scripts.causal.graph.schema import Mark

_MARKS: dict[int, Mark] = {
    Endpoint.TAIL.value: "tail",
    Endpoint.ARROW.value: "arrow",
    Endpoint.CIRCLE.value: "circle",
}
Separators = dict[tuple[int, int], set[int]]


def _check(
    test: WilksTest,
    names: Sequence[str],
    tiers: Mapping[str, int],
    required: Collection[tuple[str, str]],
) -> None:
    """Refuse what would give a silent wrong answer.

    Raises:
        ValueError: a constant column, collinear columns, a name that is no column, a column
            without a tier, or a required edge against the tiers.
    """
    spoken = {*tiers, *(name for pair in required for name in pair)}
    unknown = sorted(spoken - set(names))
    if unknown:
        raise ValueError(f"background knowledge names {unknown}, which are no columns of {names}")
    missing = sorted(set(names) - set(tiers))
    if tiers and missing:
        raise ValueError(f"columns {missing} have no tier")
    for cause, effect in required:
        if cause == effect or tiers.get(cause, 0) > tiers.get(effect, 0):
            raise ValueError(f"required edge {cause} -> {effect} runs against the tiers")
    constant = [name for place, name in enumerate(names) if not test.varies(place)]
    if constant:
        raise ValueError(f"columns {constant} are constant and cannot be tested")
    determined = sorted(set(range(len(names))) - set(test.separable()))
    if determined:
        raise ValueError(f"columns {[names[one] for one in determined]} are collinear with others")


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
    graph: GeneralGraph, test: _Tiered, alpha: float, depth: int, separators: Separators
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


class _Tiered:
    """The test as the search may use it: no required pair, no conditioning on the future.

    If two variables can be separated at all, then by their ancestors; a variable of a tier after
    both is no ancestor of either, and conditioning on it can only mislead.
    """

    def __init__(self, test: WilksTest, tiers: Sequence[int], required: Collection[object]):
        self.test, self.tiers, self.required = test, tiers, required

    def __call__(self, x: int, y: int, given: Sequence[int]) -> float:
        latest = max(self.tiers[x], self.tiers[y])
        if frozenset((x, y)) in self.required or any(self.tiers[one] > latest for one in given):
            return 0.0
        return self.test.p_value(x, y, given)


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


def run_fci(
    test: WilksTest,
    *,
    alpha: float,
    depth: int = -1,
    tiers: Mapping[str, int] | None = None,
    required: Collection[tuple[str, str]] = (),
) -> Pag:
    """Return the PAG over the test's variables.

    Args:
        test: conditional independence over the encoded table.
        alpha: level of the single test.
        depth: largest conditioning set, in both searches; -1 for no bound.
        tiers: variable → place in time; a later one does not cause an earlier one. None for none.
        required: (cause, effect) pairs that are known.

    Raises:
        ValueError: as listed under `_check`.
    """
    names = test.encoded.names
    _check(test, names, tiers or {}, required)
    order = [(tiers or {}).get(name, 0) for name in names]
    place = {name: index for index, name in enumerate(names)}
    pairs = [(place[cause], place[effect]) for cause, effect in required]
    tiered = _Tiered(test, order, {frozenset(pair) for pair in pairs})
    nodes = [GraphNode(name) for name in names]
    data = np.zeros((2, len(names)))
    with contextlib.redirect_stdout(io.StringIO()):
        method = CIT(data, TEST_NAME, test=tiered)
        graph, separators, _ = fas(
            data, nodes, method, alpha=float(alpha), depth=depth, show_progress=False
        )
        rules.reorientAllWith(graph, Endpoint.CIRCLE)
        rules.rule0(graph, nodes, separators, None, False)
        _remove_by_possible_d_sep(graph, tiered, alpha, depth, separators)
        _orient(graph, separators, method, alpha, order, pairs)
    return _freeze(graph, names)


def _freeze(graph: GeneralGraph, names: Sequence[str]) -> Pag:
    marks: dict[tuple[str, str], Mark] = {}
    place = {name: index for index, name in enumerate(names)}
    for edge in graph.get_graph_edges():
        a, b = edge.get_node1(), edge.get_node2()
        first, second = names[place[a.get_name()]], names[place[b.get_name()]]
        marks[first, second] = _MARKS[edge.get_proximal_endpoint(a).value]
        marks[second, first] = _MARKS[edge.get_proximal_endpoint(b).value]
    return make_pag(names, marks)
