"""What a campaign knows before each cycle: the graph, its effects, and what they cannot tell."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from interventions.vocabulary import load_variables
from scripts.causal.campaign.ledger import Ledger
from scripts.causal.campaign.schema import AblationResults
from scripts.causal.cli import progress_bar
from scripts.causal.files import canonical_json, digest
from scripts.causal.graph.assemble import assemble_dag
from scripts.causal.graph.design import Design, build_design
from scripts.causal.graph.effects import EffectsTable, leaderboard_effects
from scripts.causal.graph.estimate import estimate_data_graph, pag_of
from scripts.causal.graph.identifiability import check_identifiability, entangled
from scripts.causal.graph.schema import CausalDag, DataGraph, IdentifiabilityReport
from scripts.causal.graph.threads import one_thread
from scripts.causal.leaderboard.schema import Leaderboard
from trainers.keys import code_version


@dataclass(frozen=True)
class Known:
    """What the submissions alone say, which no cycle changes."""

    leaderboard: Leaderboard
    graph: DataGraph
    design: Design
    effects: EffectsTable
    partners: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class View:
    """What is believed at one moment: the graph, and what it can and cannot tell."""

    dag: CausalDag
    report: IdentifiabilityReport


def discover(
    leaderboard: Leaderboard, ledger: Ledger | None = None, *, quiet: bool = False
) -> DataGraph:
    """Return what the submissions alone say; computed once for one leaderboard and one code.

    Args:
        leaderboard: all submissions.
        ledger: keeps the graph; None where nothing may be written.
        quiet: show no progress.
    """
    variables = {name: repr(variable) for name, variable in load_variables().items()}
    told = canonical_json([leaderboard.model_dump(mode="json"), variables])
    key = digest("data graph", told, _graph_code())
    known = ledger.recall(key) if ledger else None
    if known is not None:
        return DataGraph.model_validate(known)
    with progress_bar("causal graph", quiet=quiet) as progress:
        graph = estimate_data_graph(leaderboard, workers=os.cpu_count() or 1, progress=progress)
    if ledger is None:
        return graph
    ledger.remember(key, graph.model_dump(mode="json"))
    return DataGraph.model_validate(ledger.recall(key))  # as every later call will have it


def _graph_code() -> str:
    modules = sorted(Path(__file__).with_name("graph").glob("*.py"))
    return code_version(
        tuple(f"scripts.causal.graph.{path.stem}" for path in modules if path.stem != "__init__"),
        ("causal-learn", "numpy", "scipy"),
    )


@one_thread()
def study(leaderboard: Leaderboard, graph: DataGraph) -> Known:
    """Return the graph with every effect that the submissions report or show."""
    variables = load_variables()
    design = build_design(leaderboard, variables=variables)
    effects = leaderboard_effects(leaderboard, design, pag_of(graph), variables)
    return Known(leaderboard, graph, design, effects, entangled(design))


def adjust(known: Known, decided: Sequence[AblationResults]) -> View:
    """Return the graph with every tested effect on it, and what can be told from it now."""
    dag = assemble_dag(known.graph, known.leaderboard, decided, effects=known.effects)
    report = check_identifiability(
        known.leaderboard, dag, design=known.design, partners=known.partners
    )
    return View(dag, report)
