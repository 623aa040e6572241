"""What a PAG lets one say of a variable's direct effect, all other design variables held.

An experiment changes one variable and leaves the rest of the configuration as it is. Its effect
is the direct one, and the submissions give it by adjusting for every other design variable, if
no hidden cause gets in the way. As all others are conditioned on, the only paths from the
variable to the outcome that stay open, beside its own edge, are collider paths: those that run
through nodes into which both neighbours point (Richardson & Spirtes 2002, Ann. Stat. 30). Nothing
in the design is caused by the outcome, so such a path ends in a hidden common cause of the outcome
and the last node. It is the single-door criterion (Pearl 2009, section 5.3), read over all graphs
that the PAG stands for with the visibility of Zhang 2008; the adjustment criterion for a joint
intervention on all of them (Perković et al. 2018, JMLR 18) asks for more, that every edge into the
outcome be visible.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from scripts.causal.graph.identify import Status
from scripts.causal.graph.pag import Pag

MOST_DOUBTS = 5  # of which all 32 subsets are taken


def _may_hide(pag: Pag, node: str, outcome: str) -> bool:
    """Say whether a hidden cause may act on both the node and the outcome, next to their edge."""
    mark = pag.mark(node, outcome)
    return mark is not None and not pag.visible(node, outcome)


def opened(pag: Pag, variable: str, outcome: str) -> tuple[str, ...]:
    """Return the nodes through which adjusting for all others may open a path to the outcome.

    A node counts when the path variable *→ node ↔ … ↔ outcome is possible: the mark at it towards
    the variable is no tail, and it may share a hidden cause with the next.
    """
    found, seen, waiting = set(), {variable}, [variable]
    while waiting:
        current = waiting.pop()
        for other in pag.neighbours(current):
            if other in seen or other == outcome:
                continue
            leaves = current == variable or pag.mark(current, other) != "tail"
            if not leaves or pag.mark(other, current) == "tail":
                continue
            seen.add(other)
            waiting.append(other)
            if _may_hide(pag, other, outcome):
                found.add(other)
    return tuple(node for node in pag.nodes if node in found)


def direct_status(pag: Pag, variable: str, outcome: str) -> Status:
    """Return whether adjusting for all other variables gives the direct effect.

    identified: the edge is directed and free of hidden causes, and no other path is opened.
    disconnected: no edge, and no path is opened: the direct effect is zero. confounded: the edge
    is ↔, or directed but may hide a common cause. undirected: a circle, or a path that may be
    opened, leaves it open.
    """
    here, there = pag.mark(variable, outcome), pag.mark(outcome, variable)
    through = opened(pag, variable, outcome)
    if here is None:
        return "undirected" if through else "disconnected"
    if here == "arrow":
        return "confounded"
    if here == "tail" and there == "arrow" and not pag.visible(variable, outcome):
        return "confounded"
    if here == "circle" or through:
        return "undirected"
    return "identified"


def doubtful(pag: Pag, variable: str, outcome: str) -> tuple[str, ...]:
    """Return the nodes of which the PAG leaves open whether to adjust for them.

    Those that may be opened, and neighbours at whose end of the edge a circle stands.
    """
    through = set(opened(pag, variable, outcome))
    circles = {one for one in pag.neighbours(variable) if pag.mark(one, variable) == "circle"}
    return tuple(one for one in pag.nodes if one in through | circles and one != outcome)


def left_out_sets(pag: Pag, variable: str, outcome: str) -> Iterator[tuple[str, ...]]:
    """Yield the sets of nodes that some graph of the PAG would have one not adjust for.

    All subsets of the doubtful nodes when these are few, else each alone and all together
    (in the manner of IDA for latent variables; Malinsky & Spirtes 2017, Int. J. Data Sci.
    Anal. 3).
    """
    nodes = doubtful(pag, variable, outcome)
    if len(nodes) <= MOST_DOUBTS:
        for size in range(len(nodes) + 1):
            yield from combinations(nodes, size)
    else:
        yield ()
        yield from ((node,) for node in nodes)
        yield nodes
