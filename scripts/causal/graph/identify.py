"""What a PAG lets one say of a variable's effect on the outcome."""

from __future__ import annotations

from typing import Literal

from scripts.causal.graph.pag import Pag

Status = Literal["identified", "confounded", "undirected", "disconnected"]


def paths_to(pag: Pag, variable: str, outcome: str) -> tuple[str, ...]:
    """Return the neighbours through which `variable` may cause `outcome`."""
    without = Pag(
        tuple(node for node in pag.nodes if node != variable),
        tuple(edge for edge in pag.edges if variable not in (edge.a, edge.b)),
    )
    return tuple(
        other
        for other in pag.neighbours(variable)
        if pag.may_cause(variable, other) and outcome in without.possible_descendants(other)
    )


def identification(pag: Pag, variable: str, outcome: str) -> Status:
    """Return whether adjustment can identify the effect of `variable` on `outcome`.

    identified: every path along which it may act starts with an edge that is directed and free
    of hidden common causes (amenability; Perković et al. 2018, JMLR 18). confounded: the edge
    shows a hidden common cause (↔), or is directed but may hide one. undirected: a circle stands
    where a tail is needed. disconnected: no path along which it could act.
    """
    first = paths_to(pag, variable, outcome)
    if pag.mark(variable, outcome) == "arrow" and not first:
        return "confounded"
    if not first:
        return "disconnected"
    if all(pag.visible(variable, other) for other in first):
        return "identified"
    if all(pag.mark(variable, other) == "tail" for other in first):
        return "confounded"
    return "undirected"
