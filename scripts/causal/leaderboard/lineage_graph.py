"""Who builds on whom: the lineage as a graph, and what each step changed.

Write the form's JSON Schema anew with: python -m scripts.causal.leaderboard.lineage_graph
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import networkx as nx
from pydantic import ConfigDict, Field

from scripts.causal.files import write_json
from scripts.causal.forms import Record, parse_file
from scripts.causal.leaderboard.schema import Leaderboard, Source, Submission, Value

SCHEMA_FILE = Path(__file__).with_name("lineage.schema.json")


class Change(Record):
    """A technique that parent and child tell differently.

    Attributes:
        variable: vocabulary id or ``other:<slug>``.
        from_: what the parent says: a value, true when it uses it without one, false when it
            says that it does not, null when it says nothing.
        to: the same of the child. One null means that it cannot be told whether anything changed.
    """

    variable: str
    from_: Value | None = Field(alias="from")
    to: Value | None

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    @property
    def told(self) -> bool:
        """Whether both sides speak: a change, rather than a silence."""
        return self.from_ is not None and self.to is not None


class LineageNode(Record):
    """A submission, or a pull request that is named as a parent and is not in the leaderboard.

    Attributes:
        id: the submission's id; ``#<number>`` for a bare pull request.
        pull_requests: every pull request that it stands in, its own first.
        known: whether it is in the leaderboard; the fields below are empty when it is not.
    """

    id: str
    pull_requests: tuple[int, ...]
    known: bool
    name: str | None = None
    author: str | None = None
    date: str | None = None
    track: str | None = None
    val_bpb: float | None = None


class LineageEdge(Record):
    """One step from a parent to a child.

    Attributes:
        parent: node id.
        child: node id.
        named_as: the pull request that the child names.
        candidates: how many submissions stand in that pull request; of several the one with the
            lowest score is taken for the parent.
        place: 0 for the parent that the child names first, 1 for the second, ...
        source: where the child's first parent was read.
        bpb: the child's score minus the parent's, where both state one: negative is better.
        changes: the techniques told differently; those that both tell come first.
    """

    parent: str
    child: str
    named_as: int
    candidates: int = 1
    place: int = 0
    source: Source | None = None
    bpb: float | None = None
    changes: tuple[Change, ...] = ()


class Dropped(Record):
    """A parent that was named and is no edge of the graph, with the reason in words."""

    parent: str
    child: str
    reason: Literal["names itself", "closes a cycle against time"]


class Lineage(Record):
    """``lineage.json`` as a whole: a graph without cycles, edges from parent to child.

    Attributes:
        source: what was read, as in ``interventions.json``.
        snapshot: the day of its newest facts, where it is known.
        dropped: parents named that would make a cycle.
    """

    schema_version: Literal[1] = 1
    source: str
    snapshot: str | None = None
    nodes: tuple[LineageNode, ...]
    edges: tuple[LineageEdge, ...]
    dropped: tuple[Dropped, ...] = ()


def read_lineage(leaderboard: Leaderboard) -> Lineage:
    """Return who builds on whom, with what each step changed.

    A submission that names itself is no parent of its own; of edges in a cycle, those that lead
    from the younger to the older (by date, then pull request, then id) are dropped. Both are
    reported.
    """
    submissions = {one.id: one for one in leaderboard.submissions}
    standing = _by_pull_request(leaderboard)
    edges: list[LineageEdge] = []
    dropped: list[Dropped] = []
    bare: set[int] = set()
    for child in leaderboard.submissions:
        seen: set[str] = set()
        for place, number in enumerate(child.parent_prs):
            if number in child.pull_requests:
                dropped.append(Dropped(parent=child.id, child=child.id, reason="names itself"))
                continue
            found = standing.get(number, [])
            parent = min(found, key=_best_first) if found else None
            name = parent.id if parent is not None else bare_id(number)
            if parent is None:
                bare.add(number)
            if name not in seen:
                seen.add(name)
                edges.append(_edge(child, parent, number, max(1, len(found)), place))
    nodes = [
        *(_node(one) for one in leaderboard.submissions),
        *(
            LineageNode(id=bare_id(number), pull_requests=(number,), known=False)
            for number in sorted(bare)
        ),
    ]
    kept, cyclic = _without_cycles(edges, submissions)
    return Lineage(
        source=leaderboard.source,
        snapshot=leaderboard.snapshot,
        nodes=tuple(nodes),
        edges=tuple(kept),
        dropped=(*dropped, *cyclic),
    )


def bare_id(number: int) -> str:
    """Return the node id of a pull request that is not in the leaderboard."""
    return f"#{number}"


def to_graph(lineage: Lineage) -> nx.DiGraph[str]:
    """Return the lineage as a networkx graph: acyclic, edges from parent to child.

    Nodes hold their `LineageNode` under ``node``; edges their `LineageEdge` under ``edge`` and,
    where both scores are known, the difference under ``bpb``.
    """
    graph: nx.DiGraph[str] = nx.DiGraph()
    for node in lineage.nodes:
        graph.add_node(node.id, node=node)
    for edge in lineage.edges:
        graph.add_edge(edge.parent, edge.child, edge=edge, bpb=edge.bpb)
    return graph


def changes_between(parent: Submission, child: Submission) -> tuple[Change, ...]:
    """Return the techniques that two submissions tell differently.

    One that both use, of which one states no value (true), is not told differently. Scripts'
    defaults are left out: a run command may have said otherwise.
    """
    names = sorted({*_told(parent), *_told(child)})
    before, after = _told(parent), _told(child)
    changes = [
        Change.model_validate({"variable": name, "from": before.get(name), "to": after.get(name)})
        for name in names
        if not _same(before.get(name), after.get(name))
    ]
    return tuple(sorted(changes, key=lambda change: (not change.told, change.variable)))


def load_lineage(path: Path) -> Lineage:
    """Read and check a ``lineage.json``.

    Raises:
        InputError: missing, not JSON, or a field breaks the schema (the message names it).
    """
    return parse_file(Lineage, path)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of ``lineage.json``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Lineage.model_json_schema(by_alias=True, mode="serialization"),
    }


def _by_pull_request(leaderboard: Leaderboard) -> dict[int, list[Submission]]:
    standing: dict[int, list[Submission]] = defaultdict(list)
    for submission in leaderboard.submissions:
        for number in submission.pull_requests:
            standing[number].append(submission)
    return standing


def _best_first(submission: Submission) -> tuple[float, str]:
    return (submission.val_bpb if submission.val_bpb is not None else float("inf"), submission.id)


def _node(submission: Submission) -> LineageNode:
    return LineageNode(
        id=submission.id,
        pull_requests=submission.pull_requests,
        known=True,
        name=submission.name,
        author=submission.author,
        date=submission.date,
        track=submission.track,
        val_bpb=submission.val_bpb,
    )


def _edge(
    child: Submission, parent: Submission | None, number: int, candidates: int, place: int
) -> LineageEdge:
    bpb = None
    if parent is not None and parent.val_bpb is not None and child.val_bpb is not None:
        bpb = round(child.val_bpb - parent.val_bpb, 10)
    return LineageEdge(
        parent=parent.id if parent is not None else bare_id(number),
        child=child.id,
        named_as=number,
        candidates=candidates,
        place=place,
        source=child.sources.get("parent_prs"),
        bpb=bpb,
        changes=changes_between(parent, child) if parent is not None else (),
    )


def _told(submission: Submission) -> dict[str, Value]:
    return {**dict.fromkeys(submission.absent, False), **submission.techniques}


def _same(before: Value | None, after: Value | None) -> bool:
    """Whether two statements agree as far as they go."""
    if before is None or after is None:
        return before is after
    if before is True or after is True:  # used: of no stated value
        return before is not False and after is not False
    if before is False or after is False:
        return before is after
    return before == after


def _without_cycles(
    edges: list[LineageEdge], submissions: dict[str, Submission]
) -> tuple[list[LineageEdge], list[Dropped]]:
    graph: nx.DiGraph[str] = nx.DiGraph([(edge.parent, edge.child) for edge in edges])
    part = dict(_strong_parts(graph))
    kept, dropped = [], []
    for edge in edges:
        if part[edge.parent] == part[edge.child] and (
            _age(submissions[edge.parent]) > _age(submissions[edge.child])
        ):
            dropped.append(
                Dropped(parent=edge.parent, child=edge.child, reason="closes a cycle against time")
            )
        else:
            kept.append(edge)
    return kept, dropped


def _strong_parts(graph: nx.DiGraph[str]) -> Iterator[tuple[str, int]]:
    """Every node with the number of the strongly connected component that it is in."""
    for number, part in enumerate(nx.strongly_connected_components(graph)):
        for name in part:
            yield name, number


def _age(submission: Submission) -> tuple[str, int, str]:
    """What orders submissions in time, without ties; one that has no date is the oldest."""
    return (submission.date or "", submission.pr or 0, submission.id)


if __name__ == "__main__":
    write_json(SCHEMA_FILE, json_schema())
