"""What changed from one graph to the next."""

from __future__ import annotations

from scripts.causal.graph.pag import notation
from scripts.causal.graph.schema import CausalDag, DagDiff, Edge, EdgeChange


def edge_text(edge: Edge) -> str:
    """Return ``a o-> b [tag]``, the earlier name first, so that equal edges read alike."""
    ends = [(edge.source, edge.source_mark), (edge.target, edge.target_mark)]
    (a, mark_a), (b, mark_b) = sorted(ends)
    return f"{notation(a, mark_a, mark_b, b)} [{edge.tag}]"


def diff_dags(before: CausalDag, after: CausalDag, *, cycle: int) -> DagDiff:
    """Return the edges that appeared, vanished, or changed a mark or a tag."""
    old = {tuple(sorted((edge.source, edge.target))): edge_text(edge) for edge in before.edges}
    new = {tuple(sorted((edge.source, edge.target))): edge_text(edge) for edge in after.edges}
    pairs = sorted(old.keys() | new.keys())
    changes = tuple(
        EdgeChange(source=a, target=b, before=old.get((a, b), ""), after=new.get((a, b), ""))
        for a, b in pairs
        if old.get((a, b)) != new.get((a, b))
    )
    return DagDiff(cycle=cycle, changes=changes, unchanged=len(pairs) - len(changes))
