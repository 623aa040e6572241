"""Data graph, expert edges, reported claims and own experiments → one tagged graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from interventions.vocabulary import Variable, load_variables
from scripts.causal.campaign.schema import AblationResults
from scripts.causal.graph.beliefs import believed_effects
from scripts.causal.graph.design import CONTEXT, OUTCOME, TIERS, build_design
from scripts.causal.graph.effects import (
    EffectsTable,
    Finding,
    findings,
    leaderboard_effects,
    with_own_results,
)
from scripts.causal.graph.estimate import pag_of
from scripts.causal.graph.expert import (
    Belief,
    ExpertEdge,
    Standing,
    load_expert_edges,
    tag_edge,
)
from scripts.causal.graph.schema import (
    CausalDag,
    CombinedEffect,
    DataGraph,
    Edge,
    Estimate,
    Mark,
    Node,
    PairFrequency,
)
from scripts.causal.graph.statement import describe_graph
from scripts.causal.graph.threads import one_thread
from scripts.causal.leaderboard.schema import Leaderboard


@dataclass(frozen=True)
class _Draft:
    """An edge before its tag: ends, marks in the data graph if it is there, and beliefs."""

    source: str
    target: str
    marks: tuple[Mark, Mark] | None = None
    belief: str = ""


def _drafts(
    graph: DataGraph, experts: Sequence[ExpertEdge], effects: Mapping[str, Sequence[Estimate]]
) -> list[_Draft]:
    """Return every edge once: those of the data, then believed, then claimed or tested ones."""
    drafts: dict[frozenset[str], _Draft] = {
        frozenset((edge.source, edge.target)): _Draft(
            edge.source, edge.target, (edge.source_mark, edge.target_mark)
        )
        for edge in graph.edges
    }
    for belief in experts:
        pair = frozenset((belief.cause, belief.effect))
        words = f"{belief.reason} ({belief.source})"
        found = drafts.get(pair)
        if found is None:
            drafts[pair] = _Draft(belief.cause, belief.effect, None, words)
            continue
        if found.source != belief.cause and found.marks is not None:
            found = _Draft(belief.cause, belief.effect, (found.marks[1], found.marks[0]))
        drafts[pair] = replace(found, belief=words)
    for variable, estimates in effects.items():
        reports = sum(one.n for one in estimates if one.source == "reported")
        words = f"claimed by READMEs, independent reports: {reports}" if reports else ""
        pair = frozenset((variable, OUTCOME))
        spoken = any(one.source != "observed" for one in estimates)
        if spoken and variable not in CONTEXT and pair not in drafts:
            drafts[pair] = _Draft(variable, OUTCOME, None, words)
    return list(drafts.values())


def _an_effect(estimate: Estimate) -> bool:
    return estimate.method != "adjusted" or estimate.identified is True


def readable(estimates: Sequence[Estimate]) -> tuple[Estimate, ...]:
    """Return the estimates that an edge carries: those that may be read as effects.

    Of a numeric variable's several observed levels the best measured stands for the line; the
    rest are in the combined effects.
    """
    kept: list[Estimate] = []
    for one in estimates:
        if one.source != "observed" or isinstance(one.before, bool | str):
            kept += [one] if _an_effect(one) else []
            continue
        like = [
            each
            for each in estimates
            if each.source == "observed" and each.method == one.method and _an_effect(each)
        ]
        if like and one is min(like, key=lambda each: each.se):
            kept.append(one)
    return tuple(kept)


def _arrow_at(shares: PairFrequency | None, name: str) -> float:
    """Return the share of resamples with an arrowhead at `name`."""
    if shares is None:
        return 0.0
    return shares.arrow_a if shares.a == name else shares.arrow_b


def _finish(
    draft: _Draft,
    graph: DataGraph,
    frequencies: Mapping[frozenset[str], PairFrequency],
    estimates: Sequence[Estimate],
    finding: Finding | None,
    judged: Belief | None,
) -> Edge:
    """Return the tagged edge.

    A confirmed experiment settles that the variable is a cause: a circle at its end becomes a
    tail. Nothing else touches the marks of the data graph.
    """
    inside = {node.id for node in graph.nodes} if not graph.fallback else set()
    pair = frozenset((draft.source, draft.target))
    shares = frequencies.get(pair)
    frequency = (shares.frequency if shares else 0.0) if pair <= inside else None
    tested = any(one.source == "tested" for one in estimates)
    tag = tag_edge(
        Standing(
            believed=bool(draft.belief),
            marks=draft.marks,
            frequency=frequency,
            rows=graph.fci.submissions,
            arrow_at_source=_arrow_at(shares, draft.source),
            finding=finding,
            judged=judged,
        )
    )
    marks: tuple[Mark, Mark] = draft.marks or ("tail", "arrow")
    notes = [f"believed: {draft.belief}"] if draft.belief else []
    if finding is not None:
        notes.append(f"own experiments: {finding}")
        if finding == "confirmed":
            marks = ("tail", "arrow")
    if draft.marks is None and frequency is not None:
        notes.append("not adjacent in the graph of the submissions")
    return Edge(
        source=draft.source,
        target=draft.target,
        source_mark=marks[0],
        target_mark=marks[1],
        origin="data" if draft.marks else "expert" if draft.belief else "experiment",
        tag="uncertain" if tested and tag == "expert_imposed" else tag,
        frequency=frequency,
        estimates=tuple(estimates),
        note="; ".join(notes),
    )


def _nodes(
    graph: DataGraph, edges: Sequence[Edge], variables: Mapping[str, Variable]
) -> tuple[Node, ...]:
    """Return the data graph's nodes and those that only believed or tested edges bring in."""
    nodes = {node.id: node for node in graph.nodes}
    for name in sorted({name for edge in edges for name in (edge.source, edge.target)}):
        if name in nodes:
            continue
        if name in variables:
            kind, group = variables[name].kind, variables[name].group
        else:
            kind, group = ("categorical", "context") if name == "track" else ("numeric", "context")
        nodes[name] = Node(
            id=name,
            label=name.replace("_", " "),
            kind=kind,  # type: ignore[arg-type]
            group=group,
            tier=TIERS[group],
        )
    order = {name: place for place, name in enumerate([*CONTEXT, *variables, OUTCOME])}
    return tuple(sorted(nodes.values(), key=lambda node: (node.tier, order[node.id])))


def _judged(effects: Sequence[CombinedEffect]) -> dict[str, Belief]:
    """Return what scores say of each variable's published effects; support of any one counts."""
    found: dict[str, Belief] = {}
    for order in ("cannot_tell", "contradicted", "supported"):
        found |= {one.variable: order for one in effects if one.belief == order}
    return found


@one_thread()
def assemble_dag(
    graph: DataGraph,
    leaderboard: Leaderboard,
    results: Sequence[AblationResults] = (),
    *,
    variables: Mapping[str, Variable] | None = None,
    effects: EffectsTable | None = None,
) -> CausalDag:
    """Return the tagged graph: cheap where `effects` is given, so that every cycle can redo it.

    Args:
        graph: from `estimate_data_graph` on the same leaderboard.
        leaderboard: for reported and observed effects.
        results: verdicts of own experiments, earlier cycles first.
        variables: the vocabulary; None for the repository's.
        effects: `leaderboard_effects` of the same; None to estimate them here.

    Raises:
        InputError: an expert edge names an unknown variable.
    """
    variables = load_variables() if variables is None else variables
    if effects is None:
        design = build_design(leaderboard, variables=variables)
        effects = leaderboard_effects(leaderboard, design, pag_of(graph), variables)
    table = with_own_results(effects, variables, results)
    shown = {name: readable(found) for name, found in table.estimates.items() if name in variables}
    shown = {name: found for name, found in shown.items() if found}
    settled = {name: one for name, one in findings(results).items() if name in variables}
    experts = load_expert_edges({*variables, *CONTEXT, OUTCOME})
    frequencies = {frozenset((one.a, one.b)): one for one in graph.frequencies}
    believed = believed_effects(table, variables)
    judged = _judged(believed)
    edges = []
    for draft in _drafts(graph, experts, shown):
        cause = draft.source if draft.target == OUTCOME else None
        edges.append(
            _finish(
                draft,
                graph,
                frequencies,
                shown.get(cause, ()) if cause else (),
                settled.get(cause) if cause else None,
                judged.get(cause) if cause else None,
            )
        )
    return CausalDag(
        outcome=OUTCOME,
        nodes=_nodes(graph, edges, variables),
        edges=tuple(edges),
        fci=graph.fci,
        set_aside=graph.set_aside,
        imputed=graph.imputed,
        unquantified=graph.unquantified,
        effects=believed,
        refused=dict(table.refused),
        statement=describe_graph(graph, edges),
    )
