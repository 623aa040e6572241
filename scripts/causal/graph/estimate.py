"""The data graph of a leaderboard: design matrix, FCI and bootstrap in one pure function."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scripts.causal.graph.bootstrap import edge_frequencies
from scripts.causal.graph.citest import TEST_WORDS, Encoded, WilksTest, encode_table
from scripts.causal.graph.design import LEAST_SUBMISSIONS, OUTCOME, Column, Design, build_design
from scripts.causal.graph.fci import Engine, run_fci
from scripts.causal.graph.lineage import CLUSTER_RULE
from scripts.causal.graph.pag import Pag, PagEdge, make_pag
from scripts.causal.graph.schema import (
    DataEdge,
    DataGraph,
    FciSettings,
    Mark,
    Node,
    PairFrequency,
    SetAside,
)
from scripts.causal.leaderboard.schema import Leaderboard


def node_of(column: Column) -> Node:
    """Return the graph's node for a column of the design matrix."""
    return Node(
        id=column.id,
        label=column.label,
        kind=column.kind,
        group=column.group,
        tier=column.tier,
    )


def _readable(edge: PagEdge) -> DataEdge:
    """Return the edge so that it reads from cause to effect where one end is an arrowhead."""
    if edge.mark_a == "arrow" and edge.mark_b != "arrow":
        edge = PagEdge(edge.b, edge.a, edge.mark_b, edge.mark_a)
    return DataEdge(source=edge.a, target=edge.b, source_mark=edge.mark_a, target_mark=edge.mark_b)


def fault_of(design: Design) -> str:
    """Return why no graph can be estimated, in words; empty when one can."""
    rows = len(design.table)
    if rows < LEAST_SUBMISSIONS:
        return (
            f"{rows} scored submissions are too few to tell anything apart; "
            f"at least {LEAST_SUBMISSIONS} are needed"
        )
    if np.ptp(design.table[OUTCOME].to_numpy(dtype=float)) == 0:
        return f"all {rows} submissions have the same score, so nothing can be seen to change it"
    if not design.factors:
        return f"no variable varies enough over the {rows} submissions to be compared"
    return ""


def _last_determined(encoded: Encoded) -> list[str]:
    test = WilksTest(encoded)
    kept = set(test.separable())
    return [name for place, name in enumerate(encoded.names) if place not in kept]


def estimate_data_graph(
    leaderboard: Leaderboard,
    *,
    alpha: float = 0.05,
    depth: int = 2,
    bootstraps: int = 40,
    seed: int = 0,
    engine: Engine = "own",
    workers: int = 1,
    progress: Callable[[float], None] | None = None,
) -> DataGraph:
    """Return what the submissions alone say; the same arguments give the same graph.

    Args:
        leaderboard: the submissions; those without a score are not used.
        alpha: level of a single conditional-independence test.
        depth: largest conditioning set of the search.
        bootstraps: resamples by lineage cluster for the edge frequencies.
        seed: of the resampling.
        engine: whose search and orientation rules; see `run_fci`.
        workers: processes for the resamples, at most; see `edge_frequencies`.
        progress: told the fraction done.
    """
    design = build_design(leaderboard)
    fault = fault_of(design)
    pag = Pag((), ())
    frequencies: tuple[PairFrequency, ...] = ()
    aside = [SetAside(variable=one.variable, reason=one.reason) for one in design.excluded]
    columns = dict(design.columns)
    if not fault:
        encoded = encode_table(design.table)
        if OUTCOME in _last_determined(encoded):
            fault = "the factors together determine the score exactly: too few submissions"
    if not fault:
        tiers = {name: column.tier for name, column in columns.items()}
        pag = run_fci(WilksTest(encoded), alpha=alpha, depth=depth, tiers=tiers, engine=engine)
        frequencies = edge_frequencies(
            encoded,
            design.clusters,
            tiers=tiers,
            alpha=alpha,
            depth=depth,
            bootstraps=bootstraps,
            seed=seed,
            engine=engine,
            workers=workers,
            progress=progress,
        )
    return DataGraph(
        outcome=OUTCOME,
        nodes=tuple(node_of(column) for column in columns.values()),
        edges=tuple(_readable(edge) for edge in pag.edges),
        frequencies=frequencies,
        fci=FciSettings(
            test=TEST_WORDS if engine == "own" else f"{TEST_WORDS}; {engine}'s search and rules",
            alpha=alpha,
            depth=depth,
            bootstraps=bootstraps,
            cluster=CLUSTER_RULE,
            submissions=len(design.table),
            clusters=len(set(design.clusters)),
            seed=seed,
        ),
        set_aside=tuple(aside),
        imputed=dict(design.imputed),
        unquantified=dict(design.unquantified),
        fallback=fault,
    )


def pag_of(graph: DataGraph) -> Pag:
    """Return the data graph's PAG."""
    marks: dict[tuple[str, str], Mark] = {}
    for edge in graph.edges:
        marks[edge.source, edge.target] = edge.source_mark
        marks[edge.target, edge.source] = edge.target_mark
    return make_pag((node.id for node in graph.nodes), marks)
