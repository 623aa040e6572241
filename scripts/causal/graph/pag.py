"""A partial ancestral graph as a frozen value.

The mark at a node says what is known of it relative to its neighbour: an arrowhead, it does not
cause the neighbour; a tail, it does; a circle, it cannot be told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from scripts.causal.graph.schema import Mark

_LEFT = {"tail": "-", "arrow": "<", "circle": "o"}
_RIGHT = {"tail": "-", "arrow": ">", "circle": "o"}


def notation(source: str, source_mark: Mark, target_mark: Mark, target: str) -> str:
    """Return the edge as text: ``a o-> b``."""
    return f"{source} {_LEFT[source_mark]}-{_RIGHT[target_mark]} {target}"


@dataclass(frozen=True)
class PagEdge:
    """An edge with the mark at each end."""

    a: str
    b: str
    mark_a: Mark
    mark_b: Mark

    def __str__(self) -> str:
        return notation(self.a, self.mark_a, self.mark_b, self.b)


@dataclass(frozen=True)
class Pag:
    """Nodes in a fixed order; edges with `a` before `b` in that order."""

    nodes: tuple[str, ...]
    edges: tuple[PagEdge, ...]

    @cached_property
    def _marks(self) -> dict[tuple[str, str], Mark]:
        """(at, other) → the mark at `at` on the edge to `other`."""
        marks: dict[tuple[str, str], Mark] = {}
        for edge in self.edges:
            marks[edge.a, edge.b] = edge.mark_a
            marks[edge.b, edge.a] = edge.mark_b
        return marks

    def mark(self, at: str, other: str) -> Mark | None:
        """Return the mark at `at` on its edge with `other`, None when they are not adjacent."""
        return self._marks.get((at, other))

    def neighbours(self, node: str) -> tuple[str, ...]:
        """Return the adjacent nodes in node order."""
        return tuple(other for other in self.nodes if (node, other) in self._marks)

    def may_cause(self, cause: str, effect: str) -> bool:
        """Say whether the edge between them leaves cause → effect possible."""
        here, there = self.mark(cause, effect), self.mark(effect, cause)
        return here is not None and here != "arrow" and there != "tail"

    def possible_descendants(self, node: str) -> frozenset[str]:
        """Return all that `node` may cause along possibly directed paths, itself included."""
        found, waiting = {node}, [node]
        while waiting:
            current = waiting.pop()
            for other in self.neighbours(current):
                if other not in found and self.may_cause(current, other):
                    found.add(other)
                    waiting.append(other)
        return frozenset(found)

    def visible(self, cause: str, effect: str) -> bool:
        """Say whether cause → effect is directed and free of hidden common causes.

        By the criterion of Zhang 2008 (JMLR 9): some node not adjacent to `effect` points into
        `cause`, directly or along colliders that all cause `effect`.
        """
        if self.mark(cause, effect) != "tail" or self.mark(effect, cause) != "arrow":
            return False
        seen, waiting = {cause}, [cause]
        while waiting:
            current = waiting.pop()
            for other in self.neighbours(current):
                if other in seen or other == effect or self.mark(current, other) != "arrow":
                    continue
                if self.mark(other, effect) is None:
                    return True
                both_ways = self.mark(other, current) == "arrow"
                parent = (self.mark(other, effect), self.mark(effect, other)) == ("tail", "arrow")
                if both_ways and parent:
                    seen.add(other)
                    waiting.append(other)
        return False


def make_pag(nodes: Iterable[str], marks: dict[tuple[str, str], Mark]) -> Pag:
    """Return the PAG of (at, other) → mark, both directions of each edge given."""
    order = tuple(nodes)
    edges = tuple(
        PagEdge(a, b, marks[a, b], marks[b, a])
        for place, a in enumerate(order)
        for b in order[place + 1 :]
        if (a, b) in marks
    )
    return Pag(order, edges)
