"""What a graph shows and what it does not, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from scripts.causal.graph.design import OUTCOME, REGIME
from scripts.causal.graph.schema import DataGraph, Edge, Mark

MOST_NAMED = 8


def _listed(names: Sequence[str]) -> str:
    """Return names in a row, those beyond MOST_NAMED counted."""
    shown = list(names[:MOST_NAMED])
    if len(names) > MOST_NAMED:
        shown.append(f"{len(names) - MOST_NAMED} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _beside_outcome(edges: Sequence[Edge], labels: Mapping[str, str]) -> dict[Mark, list[str]]:
    """Return what is adjacent to the outcome in the data, firmest first, by its end's mark."""
    found: dict[Mark, list[str]] = {"tail": [], "circle": [], "arrow": []}
    for edge in sorted(edges, key=lambda one: -(one.frequency or 0.0)):
        if edge.target == OUTCOME:
            found[edge.source_mark].append(labels[edge.source])
        elif edge.source == OUTCOME:
            found[edge.target_mark].append(labels[edge.target])
    return found


def _of_outcome(edges: Sequence[Edge], labels: Mapping[str, str]) -> str:
    beside = _beside_outcome(edges, labels)
    parts = []
    if beside["tail"]:
        parts.append(f"read as causes of it: {_listed(beside['tail'])}")
    if beside["circle"]:
        parts.append(f"cause or common cause, which cannot be told: {_listed(beside['circle'])}")
    if beside["arrow"]:
        parts.append(f"tied to it by a hidden common cause: {_listed(beside['arrow'])}")
    if not parts:
        return f"Nothing is adjacent to {OUTCOME}, which is not proof that nothing acts on it."
    return f"Next to {OUTCOME}, firmest first, {'; '.join(parts)}."


def _of_silence(graph: DataGraph) -> str:
    """Return how much of the table nobody told, in a sentence; nothing where all is told."""
    factors = [node.id for node in graph.nodes if node.tier > 0 and node.id != graph.outcome]
    rows = graph.fci.submissions
    shares = {name: graph.imputed.get(name, 0) / rows for name in factors}
    if not any(shares.values()):
        return ""
    worst = sorted(shares, key=lambda name: -shares[name])[:3]
    named = [f"{name.replace('_', ' ')} ({shares[name]:.0%})" for name in worst if shares[name]]
    return (
        "What a submission neither says nor inherits from one it builds on is taken to be as the "
        f"baseline: {median(shares.values()):.0%} of the rows for the median variable, most for "
        f"{_listed(named)}. What acts only where it is not spoken of cannot show."
    )


def _of_regimes(graph: DataGraph) -> str:
    nodes = {node.id for node in graph.nodes}
    regimes = [name.replace("_", " ") for name in ("track", *REGIME) if name in nodes]
    if not regimes:
        return ""
    return (
        "No score is left out; those of other rules or another way of measuring are kept apart "
        f"by columns of their own ({_listed(regimes)})."
    )


def describe_graph(graph: DataGraph, edges: Sequence[Edge]) -> str:
    """Return the statement of an assembled graph.

    Args:
        graph: what the submissions alone say.
        edges: all edges, those of belief and own experiments included.
    """
    if graph.fallback:
        return (
            f"The data graph has no edges: {graph.fallback}. "
            "What is drawn is belief, claims and own experiments only."
        )
    data = [edge for edge in edges if edge.origin == "data"]
    firm = sum(edge.tag in ("data_confirmed", "experiment_confirmed") for edge in data)
    factors = len(graph.nodes) - 1 - sum(node.tier == 0 for node in graph.nodes)
    confirmed = sum(edge.tag == "experiment_confirmed" for edge in edges)
    sentences = [
        f"{graph.fci.submissions} submissions in {graph.fci.clusters} lineage clusters let "
        f"{factors} variables be compared; {len(graph.set_aside)} were set aside.",
        f"The data holds {len(data)} edges, {firm} of them firmly (adjacent in at least half of "
        "the resamples).",
        _of_outcome(data, {node.id: node.label for node in graph.nodes}),
        _of_regimes(graph),
        _of_silence(graph),
        "Authors chose what they combined, so an edge is a hypothesis until an experiment "
        "confirms it" + (f"; own experiments confirmed {confirmed}." if confirmed else "."),
    ]
    return " ".join(sentence for sentence in sentences if sentence)
