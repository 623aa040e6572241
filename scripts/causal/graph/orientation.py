"""What the edges mean: the orientation rules R0 to R10 of FCI on a matrix of end marks.

The rules are those of Zhang 2008 (Artificial Intelligence 172) as causal-learn 0.1.4.8 reads
them, the order of their application included, since on finite data an earlier mark can forestall
a later one. `propagate` can read three of them as they are published instead:

- R8 looks at a chain A to B to C only where A stands before C in the table;
- R10 tries its two paths, to B and to D, only the one way in which a set happens to be walked;
- R4 is not tried in a round in which R1 to R3 changed nothing (`r4_at_once`).

Kept as there: R5 and R9 seek their paths breadth-first, so that a covered path can hide a longer
uncovered one, and R10 takes any semi-directed path. In some orders of the columns a tail stays a
circle for that, and where tests contradict each other the first rule to apply wins.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, permutations

import numpy as np
from numpy.typing import NDArray

from scripts.causal.graph.skeleton import ARROW, CIRCLE, NONE, TAIL, Marks, Separators

Rows = list[list[int]]
Separates = Callable[[int, int, Sequence[int]], bool]


def orient_colliders(marks: Marks, separators: Separators) -> None:
    """Make every end a circle, then a -> b <- c wherever b does not separate a and c (R0)."""
    edges = marks != NONE
    marks[edges] = CIRCLE
    for b, row in enumerate(edges):
        for a, c in combinations(np.flatnonzero(row).tolist(), 2):
            separating = separators.get((a, c))
            if not edges[a, c] and separating is not None and b not in separating:
                marks[b, a] = marks[b, c] = ARROW


@dataclass(frozen=True)
class Evidence:
    """What the tests say of each unshielded triple, for and against a collider in its middle.

    Attributes:
        without, holding: (k, k, k); at [a, c, b] the largest p-value of a ⟂ c given a set without
            b, and given one that holds b.
        separators: decide where none of these p-values is above `alpha`.
        alpha: level of the single test.
        margin: how many times the one p-value must be the other.
        strong_margin: the same for R4, and for an arrowhead against time.
    """

    without: NDArray[np.float64]
    holding: NDArray[np.float64]
    separators: Separators
    alpha: float
    margin: float
    strong_margin: float

    def collides(self, a: int, b: int, c: int, *, strong: bool = False) -> bool:
        """Say whether a and c are separated clearly better without b."""
        return self._better(self.without, self.holding, (a, c, b), strong)

    def separates(self, a: int, b: int, c: int, *, strong: bool = False) -> bool:
        """Say whether a and c are separated clearly better with b."""
        return self._better(self.holding, self.without, (a, c, b), strong)

    def _better(
        self,
        one: NDArray[np.float64],
        other: NDArray[np.float64],
        place: tuple[int, int, int],
        strong: bool,
    ) -> bool:
        a, c, b = place
        if max(one[place], other[place]) <= self.alpha:
            recorded = self.separators.get((a, c), self.separators.get((c, a)))
            return recorded is not None and (b in recorded) == (one is self.holding)
        margin = self.strong_margin if strong else self.margin
        return bool(one[place] > margin * other[place])


def orient_clear_colliders(marks: Marks, evidence: Evidence, tiers: Sequence[int]) -> None:
    """Make every end a circle, then a -> b <- c where the evidence is clear (R0).

    Where b stands in an earlier tier than a or c, an arrowhead at b is against time: it says
    that all that ties the two is a hidden cause. It takes strong evidence.
    """
    edges = marks != NONE
    marks[edges] = CIRCLE
    for b, row in enumerate(edges):
        for a, c in combinations(np.flatnonzero(row).tolist(), 2):
            if edges[a, c] or not evidence.collides(a, b, c):
                continue
            strong = evidence.collides(a, b, c, strong=True)
            for other in (a, c):
                if strong or tiers[b] >= tiers[other]:
                    marks[b, other] = ARROW


def apply_knowledge(
    marks: Marks, tiers: Sequence[int], required: Collection[tuple[int, int]]
) -> None:
    """Orient required pairs cause to effect, then put an arrowhead at the later of two tiers."""
    for cause, effect in required:
        marks[cause, effect], marks[effect, cause] = TAIL, ARROW
    late = np.asarray(tiers)[:, None] > np.asarray(tiers)[None, :]
    marks[late & (marks != NONE)] = ARROW


def propagate(
    marks: Marks,
    separators: Separators,
    separates: Separates,
    *,
    r4_at_once: bool = True,
    both_ways: bool = True,
    selection: bool = True,
    evidence: Evidence | None = None,
) -> Marks:
    """Return the marks after R1 to R10 have been applied until none changes anything.

    Args:
        marks: after R0 and the background knowledge.
        separators: pair → the nodes that separate it.
        separates: says whether a set separates two nodes, for R4.
        r4_at_once: try R4 in the first round, whatever R1 to R3 did.
        both_ways: R8 and R10 in both directions.
        selection: apply R5 to R7, which without selection have nothing to say.
        evidence: what R1, R3 and R4 go by in place of the separating sets and `separates`.
    """
    rules = _Rules(marks, separators, separates, both_ways, evidence)
    at_once = r4_at_once
    while True:
        rules.changed = False
        rules.away_from_colliders_and_ancestors()
        rules.double_triangles()
        if rules.changed or at_once:
            rules.discriminating_paths()
        at_once = False
        if selection:
            rules.circle_paths()
            rules.tails()
        rules.chains()
        rules.uncovered_paths()
        rules.two_paths()
        if not rules.changed:
            return np.array(rules.marks, dtype=np.int8)


class _Rules:
    """The graph in the course of orientation; `changed` as causal-learn's change flag."""

    def __init__(
        self,
        marks: Marks,
        separators: Separators,
        separates: Separates,
        both_ways: bool,
        evidence: Evidence | None,
    ):
        self.marks: Rows = marks.tolist()
        self.adjacent = [np.flatnonzero(row).tolist() for row in marks]
        self.separators, self.separates, self.both_ways = separators, separates, both_ways
        self.evidence = evidence
        self.changed = False

    def _ends(self, node: int, mark: int) -> list[int]:
        """Return the neighbours whose edge has this mark at the node."""
        row = self.marks[node]
        return [other for other in self.adjacent[node] if row[other] == mark]

    def _directed(self, cause: int, effect: int) -> bool:
        return self.marks[cause][effect] == TAIL and self.marks[effect][cause] == ARROW

    def _away(self, a: int, b: int, c: int) -> bool:
        """Say whether b, which an arrowhead from a meets, is no collider on its way to c."""
        return self.evidence is None or self.evidence.separates(a, b, c)

    def away_from_colliders_and_ancestors(self) -> None:
        """R1: a *-> b o-* c, a and c not adjacent: b -> c. R2: along a -> b *-> c, a *-> c."""
        marks = self.marks
        for b, around in enumerate(self.adjacent):
            for pair in combinations(around, 2):
                for a, c in (pair, pair[::-1]):
                    into = marks[b][a] == ARROW and marks[b][c] == CIRCLE
                    open_triple = into and marks[a][c] == NONE and marks[c][b] != TAIL
                    if open_triple and self._away(a, b, c):
                        marks[c][b], marks[b][c] = ARROW, TAIL
                        self.changed = True
                for a, c in (pair, pair[::-1]):
                    along = marks[b][a] == ARROW and marks[c][b] == ARROW
                    causal = marks[a][b] == TAIL or marks[b][c] == TAIL
                    if marks[c][a] == CIRCLE and along and causal:
                        marks[c][a] = ARROW
                        self.changed = True

    def _between(self, a: int, d: int, c: int) -> bool:
        """Say whether d separates a and c."""
        if self.evidence is not None:
            return self.evidence.separates(a, d, c)
        return d in self.separators.get((a, c), ())

    def double_triangles(self) -> None:
        """R3: a *-> b <-* c, a *-o d o-* c, a and c not adjacent, d *-o b: d *-> b."""
        marks = self.marks
        for b in range(len(marks)):
            arrows = self._ends(b, ARROW)
            for d in self._ends(b, CIRCLE):
                for a, c in combinations(arrows, 2):
                    apart = marks[a][c] == NONE and self._between(a, d, c)
                    if apart and marks[d][a] == CIRCLE and marks[d][c] == CIRCLE:
                        marks[b][d] = ARROW
                        self.changed = True

    def discriminating_paths(self) -> None:
        """R4: the last inner node b of a discriminating path to c causes c, or is a collider."""
        marks = self.marks
        for b, around in enumerate(self.adjacent):
            into = [a for a in around if marks[a][b] == ARROW]
            circles = self._ends(b, CIRCLE)
            for a in into:
                for c in circles:
                    if self._directed(a, c) and marks[c][b] == ARROW:
                        self._discriminate(a, b, c)

    def _discriminate(self, a: int, b: int, c: int) -> None:
        """Search back from a along colliders that cause c, to a node not adjacent to c."""
        marks = self.marks
        parents = {node for node in self.adjacent[c] if self._directed(node, c)}
        after, seen, waiting = {a: b}, {a, b}, [a]
        for node in waiting:  # grows
            for d in self._ends(node, ARROW):
                if d in seen:
                    continue
                after[d] = node
                if marks[node][after[node]] != ARROW:
                    continue
                if marks[d][c] == NONE and d != c and self._settle(d, a, b, c, after):
                    return
                if d in parents:
                    waiting.append(d)
                    seen.add(d)

    def _settle(self, d: int, a: int, b: int, c: int, after: dict[int, int]) -> bool:
        with_b = self._on_path(d, b, c, after)
        if with_b is None:
            return False
        marks = self.marks
        if with_b:
            marks[b][c] = TAIL
        elif TAIL in (marks[b][a], marks[b][c]):
            return False
        else:
            marks[b][a] = marks[b][c] = ARROW
        self.changed = True
        return True

    def _on_path(self, d: int, b: int, c: int, after: dict[int, int]) -> bool | None:
        """Say whether b is needed to separate d and c, None where nothing tells."""
        if self.evidence is not None:
            if self.evidence.separates(d, b, c, strong=True):
                return True
            return False if self.evidence.collides(d, b, c, strong=True) else None
        path = [after[d]]
        while path[-1] in after:
            path.append(after[path[-1]])
        if self.separates(d, c, path):
            return True
        if self.separates(d, c, [node for node in path if node != b]):
            return False
        separating = self.separators.get((d, c))
        return None if separating is None else b in separating

    def circle_paths(self) -> None:
        """R5: an edge a o-o b that an uncovered path of circles closes is undirected, with it."""
        marks = self.marks
        for b, around in enumerate(self.adjacent):
            for a in self._ends(b, CIRCLE):
                if marks[a][b] != CIRCLE:
                    continue
                starts = [
                    c
                    for c in self.adjacent[a]
                    if c != b and self._circles(a, c) and not marks[b][c]
                ]
                stops = [d for d in around if d != a and self._circles(b, d) and not marks[a][d]]
                searches = [self._circle_path(c, d, (a, b)) for c in starts for d in stops]
                for search in searches:
                    for path in search:
                        ring = [a, *path, b, a]
                        for one, other in pairwise(ring):
                            marks[one][other] = marks[other][one] = TAIL
                        self.changed = True

    def _circles(self, one: int, other: int) -> bool:
        return self.marks[one][other] == CIRCLE and self.marks[other][one] == CIRCLE

    def _uncovered(self, path: Sequence[int]) -> bool:
        return all(self.marks[x][z] == NONE for x, z in zip(path, path[2:], strict=False))

    def _circle_path(
        self, start: int, stop: int, excluded: Collection[int]
    ) -> Iterator[list[int]]:
        """Yield an uncovered path of circle edges; what is done to it counts from then on."""
        seen: set[int] = set()
        waiting = [[start]]
        for path in waiting:  # grows
            if len(path) > 1 and path[-1] == stop and self._uncovered(path):
                yield path
            for node in self.adjacent[path[-1]]:
                # The start itself is not yet seen, as there.
                if node in seen or not self._circles(path[-1], node):
                    continue
                if node not in excluded:
                    seen.add(node)
                    waiting.append([*path, node])

    def tails(self) -> None:
        """R6: a - b o-* c: b -* c. R7: a -o b o-* c, a and c not adjacent: b -* c."""
        marks = self.marks
        for b, around in enumerate(self.adjacent):
            if any(marks[b][a] == TAIL and marks[a][b] == TAIL for a in around):
                for c in self._ends(b, CIRCLE):
                    marks[b][c] = TAIL
                    self.changed = True
        for b in range(len(marks)):
            circles = self._ends(b, CIRCLE)
            before = [a for a in circles if marks[a][b] == TAIL]
            for c in circles:
                if any(a != c and marks[a][c] == NONE for a in before):
                    marks[b][c] = TAIL
                    self.changed = True

    def chains(self) -> None:
        """R8: a -> b -> c or a -o b -> c, with a o-> c: a -> c."""
        marks = self.marks
        for b, around in enumerate(self.adjacent):
            for pair in combinations(around, 2):
                for a, c in (pair, pair[::-1]) if self.both_ways else (pair,):
                    first = marks[a][b] == TAIL and marks[b][a] in (ARROW, CIRCLE)
                    open_tail = marks[c][a] == ARROW and marks[a][c] == CIRCLE
                    if first and open_tail and self._directed(b, c):
                        marks[a][c] = TAIL
                        self.changed = True

    def uncovered_paths(self) -> None:
        """R9: a o-> c and an uncovered possibly directed path a, b, ..., c, b not next to c."""
        marks = self.marks
        for c in range(len(marks)):
            for a in self._ends(c, ARROW):
                if marks[a][c] == CIRCLE and any(
                    marks[b][c] == NONE and self._possibly_directed_path(a, b, c)
                    for b in self._possible_children(a, c)
                ):
                    marks[a][c] = TAIL
                    self.changed = True

    def _possible_children(self, node: int, but: int) -> set[int]:
        row = self.marks[node]
        return {one for one in self.adjacent[node] if one != but and row[one] != ARROW}

    def _possibly_directed_path(self, a: int, b: int, c: int) -> bool:
        marks = self.marks
        seen, waiting = {a, b}, [[a, b]]
        for path in waiting:  # grows
            here = path[-1]
            if here == c and self._uncovered(path):
                return True
            for node in self.adjacent[here]:
                forward = marks[here][node] != ARROW and marks[node][here] != TAIL
                if forward and node not in seen:
                    seen.add(node)
                    waiting.append([*path, node])
        return False

    def two_paths(self) -> None:
        """R10: a o-> c, b -> c <- d, paths from a to b and to d that start apart: a -> c."""
        marks = self.marks
        for c in range(len(marks)):
            arrows = self._ends(c, ARROW)
            for a in [one for one in arrows if marks[one][c] == CIRCLE]:
                children = self._possible_children(a, c)
                starts = permutations(children, 2) if self.both_ways else combinations(children, 2)
                apart = [(one, two) for one, two in starts if marks[one][two] == NONE]
                reach = {one: self._semi_directed_from(one) for pair in apart for one in pair}
                for b, d in combinations(arrows, 2):
                    # Read anew for each: a itself becomes such a node.
                    if marks[b][c] != TAIL or marks[d][c] != TAIL:
                        continue
                    if any(b in reach[one] and d in reach[two] for one, two in apart):
                        marks[a][c] = TAIL
                        self.changed = True

    def _semi_directed_from(self, start: int) -> set[int]:
        """Return the nodes that a path leads to leaving every node by a tail or a circle."""
        found: set[int] = set()
        waiting = [start]
        for here in waiting:  # grows
            for node in self.adjacent[here]:
                if self.marks[here][node] != ARROW and node not in found:
                    found.add(node)
                    waiting.append(node)
        return found
