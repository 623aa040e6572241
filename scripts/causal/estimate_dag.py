"""Submissions → causal graph: causal_dag.json with its pictures.

Usage: python scripts/causal/estimate_dag.py --input interventions.json --output-dir results/
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from scripts.causal.campaign.schema import AblationResults
from scripts.causal.cli import progress_bar, run_command
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file, write_file
from scripts.causal.graph.assemble import assemble_dag
from scripts.causal.graph.diff import diff_dags
from scripts.causal.graph.estimate import BOOTSTRAPS, DEPTH, estimate_data_graph
from scripts.causal.graph.fci import Engine
from scripts.causal.graph.render import render
from scripts.causal.graph.schema import CausalDag
from scripts.causal.leaderboard.schema import Leaderboard, load_leaderboard


def estimate_dag(
    leaderboard: Leaderboard,
    *,
    alpha: float | None = None,
    depth: int = DEPTH,
    bootstraps: int = BOOTSTRAPS,
    seed: int = 0,
    results: Sequence[AblationResults] = (),
    engine: Engine = "own",
    workers: int = 1,
    progress: Callable[[float], None] | None = None,
) -> CausalDag:
    """Return the tagged graph of a leaderboard, own results included.

    Its costly part, `estimate_data_graph`, depends on all arguments but `results`; a caller that
    keeps its value redoes only `assemble_dag` after a cycle.

    Raises:
        InputError: a setting is out of range.
    """
    check_settings(alpha=alpha, depth=depth, bootstraps=bootstraps)
    graph = estimate_data_graph(
        leaderboard,
        alpha=alpha,
        depth=depth,
        bootstraps=bootstraps,
        seed=seed,
        engine=engine,
        workers=workers,
        progress=progress,
    )
    return assemble_dag(graph, leaderboard, results)


def check_settings(*, alpha: float | None, depth: int, bootstraps: int) -> None:
    """Refuse settings that mean nothing.

    Raises:
        InputError: naming the option.
    """
    if alpha is not None and not 0 < alpha < 1:
        raise InputError(f"--alpha must lie between 0 and 1, got {alpha}")
    if depth < -1:
        raise InputError(f"--depth must be -1 (no bound) or more, got {depth}")
    if bootstraps < 0:
        raise InputError(f"--bootstraps must be 0 or more, got {bootstraps}")


def main(
    input: Annotated[Path, typer.Option(help="interventions.json of extract_interventions.")],
    output_dir: Annotated[
        Path, typer.Option(help="Folder for causal_dag.json, .dot, .svg, .png.")
    ],
    previous_dag: Annotated[
        Path | None, typer.Option(help="An earlier causal_dag.json: also write dag_diff.json.")
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            help="Level of a single independence test.", show_default="falls with the rows"
        ),
    ] = None,
    results: Annotated[
        list[Path] | None, typer.Option(help="ablation_results.json of own runs; repeatable.")
    ] = None,
    bootstraps: Annotated[int, typer.Option(help="Resamples by lineage.")] = BOOTSTRAPS,
    depth: Annotated[int, typer.Option(help="Largest conditioning set; -1: no bound.")] = DEPTH,
    seed: Annotated[int, typer.Option(help="Seed of the resampling.")] = 0,
    engine: Annotated[
        Engine, typer.Option(help="Whose search and rules; causal-learn's are slow.")
    ] = "own",
    workers: Annotated[
        int | None, typer.Option(help="Processes for the resamples at most.", show_default="cores")
    ] = None,
    cycle: Annotated[int, typer.Option(help="Number of the cycle, for dag_diff.json.")] = 1,
    quiet: Annotated[bool, typer.Option(help="Show no progress.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Graph to standard output.")] = False,
) -> None:
    """Estimate the causal graph of a leaderboard and draw it."""
    check_settings(alpha=alpha, depth=depth, bootstraps=bootstraps)
    leaderboard = load_leaderboard(input)
    earlier = parse_file(CausalDag, previous_dag) if previous_dag else None
    ours = [parse_file(AblationResults, path) for path in results or ()]
    with progress_bar("estimating the graph", quiet=quiet) as progress:
        dag = estimate_dag(
            leaderboard,
            alpha=alpha,
            depth=depth,
            bootstraps=bootstraps,
            seed=seed,
            results=ours,
            engine=engine,
            workers=os.cpu_count() or 1 if workers is None else workers,
            progress=progress,
        )
    render(dag, output_dir)
    if earlier is not None:
        write_file(output_dir / "dag_diff.json", diff_dags(earlier, dag, cycle=cycle))
    write_file(output_dir / "causal_dag.json", dag)
    if json_output:
        print(json.dumps(dag.model_dump(mode="json"), indent=1, ensure_ascii=False))
    elif not quiet:
        print(dag.statement)


if __name__ == "__main__":
    run_command(main)
