"""Edges that people believe in, and the tags that say how they stand.

The rules, the first that applies:

1. experiment_confirmed: our own randomised runs confirmed an effect of the cause on bpb.
2. data_contradicted: our own runs found no effect beyond the smallest that matters; or an edge
   is believed whose supposed cause bears an arrowhead (it causes nothing there) in the data graph
   and in at least half of the resamples; or the pair is not adjacent in the graph, in at most one
   resample in twenty, and there are enough submissions for a weak effect to have shown. Of an
   effect on bpb with a published size, smaller than what shows as an edge, only a contradiction
   of that size counts.
3. data_confirmed: the pair is adjacent in the data graph and in at least half of the resamples,
   and the marks allow the believed direction, if there is one.
4. expert_imposed: believed only; the data cannot speak, since a variable of the pair did not
   enter the estimate.
5. uncertain: everything else. Above all, an edge that a few dozen submissions do not show is not
   thereby refuted.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scripts.causal.files import InputError, read_text
from scripts.causal.graph.effects import Finding
from scripts.causal.graph.schema import Mark, Tag

Belief = Literal["supported", "contradicted", "cannot_tell"]
EXPERT_FILE = Path(__file__).with_name("expert_edges.toml")
FIRM = 0.5
ABSENT = 0.05
# Rows at which a partial correlation of 0.2 is found with probability 0.8 at level 0.05.
ROWS_TO_SEE_WEAK_EFFECTS = 194


@dataclass(frozen=True)
class ExpertEdge:
    """A believed cause and effect, with the reason and where it comes from."""

    cause: str
    effect: str
    reason: str
    source: str


@dataclass(frozen=True)
class Standing:
    """What is known of one edge, from which its tag follows.

    Attributes:
        believed: somebody expects the source to cause the target.
        marks: (at source, at target) in the data graph; None when not adjacent there.
        frequency: share of resamples in which the pair is adjacent; None when one of the two
            did not enter the estimate.
        arrow_at_source: share of resamples with an arrowhead at the source.
        rows: submissions behind the estimate.
        finding: what own experiments say of the source's effect on the outcome.
        judged: what scores say of the published size of that effect; None where there is none.
    """

    believed: bool
    marks: tuple[Mark, Mark] | None
    frequency: float | None
    rows: int
    arrow_at_source: float = 0.0
    finding: Finding | None = None
    judged: Belief | None = None


def tag_edge(standing: Standing) -> Tag:
    """Return the tag by the rules at the head of this file."""
    frequency = standing.frequency or 0.0
    firm = standing.marks is not None and frequency >= FIRM
    no_cause = standing.marks is not None and standing.marks[0] == "arrow"
    if standing.finding == "confirmed":
        return "experiment_confirmed"
    if standing.finding == "equivalent":
        return "data_contradicted"
    if standing.believed and no_cause and standing.arrow_at_source >= FIRM:
        return "data_contradicted"
    absent = standing.marks is None and standing.frequency is not None and frequency <= ABSENT
    seen = standing.rows >= ROWS_TO_SEE_WEAK_EFFECTS and standing.judged in (None, "contradicted")
    if standing.believed and absent and seen:
        return "data_contradicted"
    if firm and not (standing.believed and no_cause):
        return "data_confirmed"
    if standing.marks is None and standing.frequency is None and standing.finding is None:
        return "expert_imposed"
    return "uncertain"


def load_expert_edges(known: Collection[str], path: Path = EXPERT_FILE) -> tuple[ExpertEdge, ...]:
    """Return the believed edges, in file order.

    Raises:
        InputError: malformed TOML, a missing field, a variable that is not `known`, an edge from
            a variable to itself, or a pair given twice.
    """
    try:
        entries = tomllib.loads(read_text(path)).get("edge", [])
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"is not valid TOML: {error}", where=path) from error
    edges: list[ExpertEdge] = []
    pairs: set[frozenset[str]] = set()
    for number, entry in enumerate(entries, start=1):
        try:
            edge = ExpertEdge(**entry)
        except TypeError as error:
            raise InputError(f"edge {number}: {error}", where=path) from error
        for name in (edge.cause, edge.effect):
            if name not in known:
                raise InputError(
                    f"edge {number} names {name!r}", where=path, mend="use a vocabulary id"
                )
        pair = frozenset((edge.cause, edge.effect))
        if len(pair) < 2 or pair in pairs:
            raise InputError(f"edge {number}: {edge.cause} and {edge.effect} twice", where=path)
        pairs.add(pair)
        edges.append(edge)
    return tuple(edges)
