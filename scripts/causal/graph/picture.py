"""Which part of a large graph is drawn, and in words what is not.

A whole leaderboard's graph has hundreds of edges; drawn in full it shows nothing. The picture
holds what the reader came for: the outcome, whatever the data or an experiment puts next to it,
and the firm edges among these.
"""

from __future__ import annotations

from dataclasses import dataclass

from scripts.causal.graph.schema import CausalDag, Edge

MOST_EDGES = 45  # up to here everything is drawn
FIRM = 0.5  # of the resamples, as for the tag data_confirmed


@dataclass(frozen=True)
class Picture:
    """The part of a graph that is drawn, and how it was chosen; no words where it is all."""

    dag: CausalDag
    words: str


def _spoken_for(edge: Edge) -> bool:
    """Say whether data or an experiment puts the pair together, not belief alone."""
    return edge.origin != "expert" or any(one.source == "tested" for one in edge.estimates)


def _is_firm(edge: Edge) -> bool:
    return edge.origin == "data" and (edge.frequency or 0.0) >= FIRM


def _sentence(dag: CausalDag, drawn: int, nodes: int) -> str:
    left = [edge for edge in dag.edges if edge.origin == "data"]
    beliefs = len(dag.edges) - len(left)
    return (
        f"Drawn are {dag.outcome}, the {nodes - 1} variables that data or own experiments put "
        f"next to it, and the firm edges among these: {drawn} of {len(dag.edges)} edges. "
        f"The whole graph, {len(left)} edges of the data and {beliefs} of belief, claims and "
        "experiments alone, is in causal_dag.json and causal_dag.dot."
    )


def choose_drawn(dag: CausalDag, most_edges: int = MOST_EDGES) -> Picture:
    """Return the part of the graph that a picture shows.

    Of more than `most_edges` edges: those at the outcome that more than belief speaks for, and
    the firm ones among the variables at their ends that are no mere context, strongest first, as
    far as there is room.
    """
    if len(dag.edges) <= most_edges:
        return Picture(dag, "")
    at_outcome = [
        edge
        for edge in dag.edges
        if dag.outcome in (edge.source, edge.target) and _spoken_for(edge)
    ]
    near = {name for edge in at_outcome for name in (edge.source, edge.target)} | {dag.outcome}
    context = {node.id for node in dag.nodes if node.tier == 0}
    among = [
        edge
        for edge in dag.edges
        if edge not in at_outcome
        and _is_firm(edge)
        and {edge.source, edge.target} <= near
        and not {edge.source, edge.target} <= context
    ]
    among.sort(key=lambda edge: -(edge.frequency or 0.0))
    chosen = {id(edge) for edge in at_outcome}
    chosen |= {id(edge) for edge in among[: max(0, most_edges - len(at_outcome))]}
    edges = tuple(edge for edge in dag.edges if id(edge) in chosen)
    part = dag.model_copy(
        update={"nodes": tuple(node for node in dag.nodes if node.id in near), "edges": edges}
    )
    return Picture(part, _sentence(dag, len(edges), len(part.nodes)))
