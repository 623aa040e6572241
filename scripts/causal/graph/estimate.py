"""The data graph of a leaderboard: design matrix, FCI and bootstrap in one pure function."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import chdtrc, chdtri

from scripts.causal.graph.bootstrap import edge_frequencies
from scripts.causal.graph.citest import TEST_WORDS, Encoded, WilksTest, encode_table
from scripts.causal.graph.descent import BEYOND_PARENTS, Descent, descent_of, suiting_test
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
from scripts.causal.graph.threads import one_thread
from scripts.causal.leaderboard.schema import Leaderboard

ALIKE = "the same, or told by others, in all submissions whose parent is known"
LARGEST_ALPHA = 0.05
DEPTH = 2
BOOTSTRAPS = 40


def default_alpha(rows: int) -> float:
    """Return the level of a single test for so many rows: Schwarz's, at most LARGEST_ALPHA.

    The p-value at which one parameter more pays by the Bayesian information criterion, so that
    more rows buy fewer false edges too, as a consistent search needs (Kalisch & Bühlmann 2007,
    JMLR 8): 0.043 for 60 rows, 0.009 for 1,000. In worlds of known truth with 1,000 rows
    (`benchmarks/discovery.py`, class "latent") precision is 1.00 against 0.93 at 0.05 and F1
    0.86 against 0.85; depth 3 is no better at four times the work.
    """
    return min(LARGEST_ALPHA, float(chdtrc(1, np.log(max(rows, 1)))))


def resample_alpha(alpha: float, descent: Descent | None = None) -> float:
    """Return the level of a test in a resample that asks as much of an edge as `alpha` of all.

    A resample by clusters is taken for √½ of the rows (see `effective_rows`): at the same level it
    would keep only stronger edges, and frequencies would be too low. With 1,000 rows of the class
    "latent" the calibration error of pairs ever adjacent is 0.075 at the same level, 0.026 here.

    Beyond parents (`descent`) a pair pays with half the level for being asked about from two
    sides, which resamples are spared: calibration error 0.093 instead of 0.109 in five worlds of
    class "mixed-all", 0.095 instead of 0.104 in eight on which this was not chosen, and 0.074
    instead of 0.090 in eight of "lineage". What is left is pairs that no resample links, of which
    12 % are linked: few rows change a variable, and weak edges cannot be seen in them.
    """
    sides = 1 if descent is None else 2
    return sides * float(chdtrc(1, chdtri(1, alpha) * np.sqrt(0.5)))


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


@one_thread()
def estimate_data_graph(
    leaderboard: Leaderboard,
    *,
    alpha: float | None = None,
    depth: int = DEPTH,
    bootstraps: int = BOOTSTRAPS,
    seed: int = 0,
    engine: Engine = "own",
    workers: int = 1,
    progress: Callable[[float], None] | None = None,
) -> DataGraph:
    """Return what the submissions alone say; the same arguments give the same graph.

    Args:
        leaderboard: the submissions; those without a score are not used.
        alpha: level of a single conditional-independence test; None for `default_alpha`.
        depth: largest conditioning set of the search.
        bootstraps: resamples by lineage cluster for the edge frequencies.
        seed: of the resampling.
        engine: whose search and orientation rules; see `run_fci`.
        workers: processes for the resamples, at most; see `edge_frequencies`.
        progress: told the fraction done.
    """
    design = build_design(leaderboard)
    alpha = default_alpha(len(design.table)) if alpha is None else alpha
    fault = fault_of(design)
    pag = Pag((), ())
    words = TEST_WORDS
    frequencies: tuple[PairFrequency, ...] = ()
    aside = [SetAside(variable=one.variable, reason=one.reason) for one in design.excluded]
    columns = dict(design.columns)
    if not fault:
        encoded = encode_table(design.table)
        if OUTCOME in _last_determined(encoded):
            fault = "the factors together determine the score exactly: too few submissions"
    if not fault:
        tiers = {name: column.tier for name, column in columns.items()}
        descent = descent_of(encoded, design.parents)
        test, seen = suiting_test(encoded, descent, tiers)
        words = TEST_WORDS + (BEYOND_PARENTS if descent else "")
        for name in [one for one in columns if one not in seen]:
            aside.append(SetAside(variable=name, reason=ALIKE))
            del columns[name]
        pag = run_fci(test, alpha=alpha, depth=depth, tiers=seen, engine=engine)
        frequencies = edge_frequencies(
            encoded,
            design.clusters,
            tiers=tiers,
            alpha=resample_alpha(alpha, descent),
            depth=depth,
            bootstraps=bootstraps,
            seed=seed,
            engine=engine,
            workers=workers,
            descent=descent,
            progress=progress,
        )
    return DataGraph(
        outcome=OUTCOME,
        nodes=tuple(node_of(column) for column in columns.values()),
        edges=tuple(_readable(edge) for edge in pag.edges),
        frequencies=frequencies,
        fci=FciSettings(
            test=words if engine == "own" else f"{words}; {engine}'s search and rules",
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
