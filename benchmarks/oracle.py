"""The true graph of a world: its partial ancestral graph, read off the model by d-separation.

Two observed variables are adjacent when no set of observed variables separates them; if any does,
their observed ancestors do (Richardson & Spirtes 2002, Ann. Stat. 30, theorem 4.2), so one test a
pair is enough, where a search over all subsets would not end. The marks follow by rules R0 to R4
and R8 to R10 of Zhang 2008 (Artif. Intell. 172), which without selection are all there is. They
are written out here: causal-learn's (0.1.4.8) look at one order of a triple in R8 and at one path
to a node in R9, and do not ask for uncovered paths in R10, so that their marks hang on the order
of the columns. No data and no test plays a part.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations, permutations

import networkx as nx

from scripts.causal.graph.pag import Pag, make_pag
from scripts.causal.graph.schema import Mark

Separators = dict[frozenset[str], set[str]]


def causes(dag: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return (a, b) for every a that causes b, directly or through others."""
    return set(nx.transitive_closure_dag(nx.DiGraph(list(dag))).edges)


def true_pag(
    dag: Collection[tuple[str, str]],
    observed: Sequence[str],
    tiers: Mapping[str, int] | None = None,
) -> Pag:
    """Return the partial ancestral graph over `observed`; what is not in it is hidden.

    Args:
        dag: (cause, effect) pairs.
        observed: its nodes, in order.
        tiers: variable → place in time. Given, the arrowheads that follow from time alone are
            set before the rules, as anybody who knows the tiers would.
    """
    model: nx.DiGraph[str] = nx.DiGraph()
    model.add_nodes_from(observed)
    model.add_edges_from(dag)
    above = {name: nx.ancestors(model, name) for name in observed}
    graph = _Marks({}, {name: set() for name in observed})
    separators: Separators = {}
    for a, b in combinations(observed, 2):
        given = (above[a] | above[b]).intersection(observed) - {a, b}
        if nx.is_d_separator(model, {a}, {b}, given):
            separators[frozenset((a, b))] = given
        else:
            graph.join(a, b)
    _point_at_colliders(graph, separators)
    for a, b in permutations(observed, 2):
        if tiers is not None and b in graph.near[a] and tiers[a] < tiers[b]:
            graph.put(b, a, "arrow")
    while any(rule(graph, separators) for rule in RULES):
        pass
    return make_pag(observed, graph.at)


class _Marks:
    """The graph while it is being oriented.

    Attributes:
        at: (node, other) → mark at the node on its edge with the other.
        near: node → adjacent nodes.
    """

    def __init__(self, at: dict[tuple[str, str], Mark], near: dict[str, set[str]]):
        self.at, self.near = at, near

    def join(self, a: str, b: str) -> None:
        self.at[a, b] = self.at[b, a] = "circle"
        self.near[a].add(b)
        self.near[b].add(a)

    def put(self, node: str, other: str, mark: Mark) -> bool:
        """Set a mark that is still open; say whether it was."""
        if self.at[node, other] != "circle":
            return False
        self.at[node, other] = mark
        return True

    def direct(self, cause: str, effect: str) -> bool:
        tail, arrow = self.put(cause, effect, "tail"), self.put(effect, cause, "arrow")
        return tail or arrow

    def causes(self, a: str, b: str) -> bool:
        return self.at.get((a, b)) == "tail" and self.at[b, a] == "arrow"

    def may_cause(self, a: str, b: str) -> bool:
        return self.at[a, b] != "arrow" and self.at[b, a] != "tail"

    def triples(self) -> Iterator[tuple[str, str, str]]:
        """Yield (a, b, c) with b adjacent to both, in both directions."""
        for b in self.near:
            for a, c in permutations(sorted(self.near[b]), 2):
                yield a, b, c

    def half_open(self) -> Iterator[tuple[str, str]]:
        """Yield (a, c) of every a o-> c."""
        for (a, c), mark in list(self.at.items()):
            if mark == "circle" and self.at[c, a] == "arrow":
                yield a, c


def _point_at_colliders(graph: _Marks, separators: Separators) -> None:
    """R0: a *-> b <-* c where a and c are separated without b."""
    for a, b, c in graph.triples():
        if c not in graph.near[a] and b not in separators[frozenset((a, c))]:
            graph.at[b, a] = graph.at[b, c] = "arrow"


def _away_from_colliders(graph: _Marks, _: Separators) -> bool:
    """R1: a *-> b o-* c, a and c not adjacent: b --> c."""
    changed = False
    for a, b, c in graph.triples():
        if c not in graph.near[a] and graph.at[b, a] == "arrow" and graph.at[b, c] == "circle":
            changed |= graph.direct(b, c)
    return changed


def _away_from_cycles(graph: _Marks, _: Separators) -> bool:
    """R2: a --> b *-> c or a *-> b --> c, and a *-o c: a *-> c."""
    changed = False
    for a, b, c in graph.triples():
        into = graph.at[b, a] == "arrow" and graph.at[c, b] == "arrow"
        if c in graph.near[a] and into and "tail" in (graph.at[a, b], graph.at[b, c]):
            changed |= graph.put(c, a, "arrow")
    return changed


def _double_triangles(graph: _Marks, _: Separators) -> bool:
    """R3: a *-> b <-* c, a *-o d o-* c, a and c not adjacent, d *-o b: d *-> b."""
    changed = False
    for a, b, c in graph.triples():
        if c in graph.near[a] or (graph.at[b, a], graph.at[b, c]) != ("arrow", "arrow"):
            continue
        for d in graph.near[a] & graph.near[b] & graph.near[c]:
            if graph.at[d, a] == graph.at[d, c] == "circle":
                changed |= graph.put(b, d, "arrow")
    return changed


def _discriminating_paths(graph: _Marks, separators: Separators) -> bool:
    """R4: on a discriminating path d … a b c, b o-* c: b --> c, or a <-> b <-> c."""
    changed = False
    for b in graph.near:
        for c in sorted(graph.near[b]):
            found = _path_start(graph, b, c) if graph.at[b, c] == "circle" else None
            if found is None:
                continue
            d, a = found
            if b in separators[frozenset((d, c))]:
                changed |= graph.direct(b, c)
            else:
                for one, other in ((b, a), (a, b), (b, c), (c, b)):
                    changed |= graph.put(one, other, "arrow")
    return changed


def _path_start(graph: _Marks, b: str, c: str) -> tuple[str, str] | None:
    """Return the two ends (d, a) of a path that discriminates b for c, None without one."""
    waiting = [(a, a) for a in sorted(graph.near[b] & graph.near[c]) if graph.causes(a, c)]
    waiting = [(here, first) for here, first in waiting if graph.at[here, b] == "arrow"]
    seen = {here for here, _ in waiting} | {b}
    while waiting:
        here, first = waiting.pop(0)
        for d in sorted(graph.near[here] - seen - {c}):
            if graph.at[here, d] != "arrow":
                continue
            if d not in graph.near[c]:
                return d, first
            if graph.causes(d, c) and graph.at[d, here] == "arrow":
                seen.add(d)
                waiting.append((d, first))
    return None


def _chains(graph: _Marks, _: Separators) -> bool:
    """R8: a --> b --> c and a o-> c: a --> c."""
    changed = False
    for a, c in graph.half_open():
        between = graph.near[a] & graph.near[c]
        if any(graph.causes(a, b) and graph.causes(b, c) for b in between):
            changed |= graph.put(a, c, "tail")
    return changed


def _ends(graph: _Marks, path: tuple[str, ...]) -> set[str]:
    """Return where uncovered, possibly directed continuations of a path lead, its end included."""
    found, (before, here) = {path[-1]}, path[-2:]
    for after in graph.near[here] - graph.near[before] - set(path):
        if graph.may_cause(here, after):
            found |= _ends(graph, (*path, after))
    return found


def _uncovered_paths(graph: _Marks, _: Separators) -> bool:
    """R9: a o-> c, an uncovered possibly directed path a b … c, b and c not adjacent: a --> c."""
    changed = False
    for a, c in graph.half_open():
        starts = graph.near[a] - graph.near[c] - {c}
        if any(graph.may_cause(a, b) and c in _ends(graph, (a, b)) for b in starts):
            changed |= graph.put(a, c, "tail")
    return changed


def _two_ways(graph: _Marks, _: Separators) -> bool:
    """R10: a o-> c, b --> c <-- d, uncovered possibly directed paths from a to b and to d whose
    first steps differ and are not adjacent: a --> c.
    """
    changed = False
    for a, c in graph.half_open():
        into = {b for b in graph.near[c] if graph.causes(b, c)}
        starts = [one for one in sorted(graph.near[a] - {c}) if graph.may_cause(a, one)]
        reached = {one: _ends(graph, (a, one)) & into for one in starts}
        for one, other in combinations(starts, 2):
            apart = other not in graph.near[one]
            if (
                apart
                and reached[one]
                and reached[other]
                and len(reached[one] | reached[other]) > 1
            ):
                changed |= graph.put(a, c, "tail")
                break
    return changed


RULES = (
    _away_from_colliders,
    _away_from_cycles,
    _double_triangles,
    _discriminating_paths,
    _chains,
    _uncovered_paths,
    _two_ways,
)
