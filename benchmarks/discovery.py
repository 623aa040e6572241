"""Our graph beside causal-learn's own FCI in worlds whose true graph is known.

    python benchmarks/discovery.py [--worlds 20] [--classes latent] [--rows 1000] [--quick]

In every world the same columns go to
  ours                     mixed-data test (beyond parents, where most are named), tiers, bounded
                           searches
  ours, no tiers           the same without background knowledge
  causal-learn             `fci` with fisherz on the columns coded as numbers
  causal-learn with tiers  the same with its own BackgroundKnowledge
all at the same level and depth (causal-learn bounds only its first search). Each is scored against
the true partial ancestral graph that its own knowledge allows; where submissions copy each other
(lineage, mixed-all) rows are not independent, and that graph is what a perfect reader of the
mechanism would draw. The reliability table asks of every pair how often it is adjacent over our
bootstrap, and whether it truly is. Means are over worlds, with their standard errors.
The last line is one JSON object.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
import typer
from causallearn.graph.Endpoint import Endpoint
from causallearn.graph.GraphNode import GraphNode
from causallearn.search.ConstraintBased.FCI import fci
from causallearn.utils.PCUtils.BackgroundKnowledge import BackgroundKnowledge
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from oracle import causes, true_pag
from scores import (
    Bin,
    adjacency,
    calibration_error,
    mean_and_error,
    orientation,
    outcomes,
    reliability,
)
from worlds import chosen_classes, draw_world
from worlds_sample import draw_sample

from scripts.causal.cli import run_command
from scripts.causal.files import InputError
from scripts.causal.graph.bootstrap import edge_frequencies
from scripts.causal.graph.citest import encode_table
from scripts.causal.graph.descent import descent_of, suiting_test
from scripts.causal.graph.design import CONTEXT, OUTCOME, Design, build_design
from scripts.causal.graph.estimate import DEPTH, default_alpha, resample_alpha
from scripts.causal.graph.fci import run_fci
from scripts.causal.graph.pag import Pag, make_pag
from scripts.causal.graph.schema import Mark

OURS, OURS_PLAIN = "ours", "ours, no tiers"
THEIRS, THEIRS_PLAIN = "causal-learn with tiers", "causal-learn"
METHODS = (OURS, THEIRS, OURS_PLAIN, THEIRS_PLAIN)
MARKS: dict[int, Mark] = {
    Endpoint.TAIL.value: "tail",
    Endpoint.ARROW.value: "arrow",
    Endpoint.CIRCLE.value: "circle",
}
FIGURES = {
    "f1": "adjacency F1",
    "precision": "precision",
    "recall": "recall",
    "bpb_f1": "F1 at bpb",
    "accuracy": "marks equal",
    "marks_recall": "marks found",
    "definite": "claims right",
    "claims": "claims per edge",
    "seconds": "CPU s",
}


@dataclass(frozen=True)
class Settings:
    """What is the same for every world."""

    rows: int
    alpha: float
    depth: int
    bootstraps: int
    seconds: int


def as_numbers(design: Design) -> NDArray[np.float64]:
    """Return the table as causal-learn takes it: levels and flags as their alphabetical place."""
    blocks = []
    for name in design.columns:
        cells = design.table[name].to_numpy()
        if isinstance(cells[0], str):
            cells = np.unique(cells.astype(str), return_inverse=True)[1]
        blocks.append(cells.astype(float))
    return np.column_stack(blocks)


def causal_learn(
    table: NDArray[np.float64],
    names: Sequence[str],
    settings: Settings,
    tiers: Mapping[str, int] | None,
) -> Pag:
    """Return what causal-learn's own driver makes of the table."""
    knowledge = None
    if tiers is not None:
        knowledge = BackgroundKnowledge()
        for name in names:
            knowledge.add_node_to_tier(GraphNode(name), tiers[name])
    with contextlib.redirect_stdout(io.StringIO()):
        graph, _ = fci(
            table,
            "fisherz",
            settings.alpha,
            depth=settings.depth,
            background_knowledge=knowledge,
            show_progress=False,
            node_names=list(names),
        )
    marks: dict[tuple[str, str], Mark] = {}
    for edge in graph.get_graph_edges():
        a, b = edge.get_node1(), edge.get_node2()
        marks[a.get_name(), b.get_name()] = MARKS[edge.get_proximal_endpoint(a).value]
        marks[b.get_name(), a.get_name()] = MARKS[edge.get_proximal_endpoint(b).value]
    return make_pag(names, marks)


@contextlib.contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Stop what runs inside after so many seconds of this process's own time.

    Raises:
        TimeoutError: they are over.
    """

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def measure_world(name: str, seed: int, settings: Settings) -> dict[str, Any]:
    """Return the figures of every method in one world, and our (frequency, true) pairs."""
    world = draw_world(name, seed)
    leaderboard = draw_sample(world, settings.rows, seed).leaderboard
    # What is computed from the lineage is no node of the world, and has no truth to be held to.
    seen = [name for name in CONTEXT if name in world.tiers]
    design = build_design(leaderboard, most_factors=len(world.factors), context=seen)
    names = list(design.columns)
    tiers = {column: world.tiers[column] for column in names}
    encoded, table = encode_table(design.table), as_numbers(design)
    true_causes = causes(world.dag)
    descent = descent_of(encoded, design.parents)

    def ours(known: Mapping[str, int]) -> Pag:
        test, varying = suiting_test(encoded, descent, known)
        return run_fci(test, tiers=varying, **told)

    told: dict[str, Any] = {"alpha": settings.alpha, "depth": settings.depth}
    ways: dict[str, tuple[bool, Callable[[], Pag]]] = {
        OURS: (True, lambda: ours(tiers)),
        OURS_PLAIN: (False, lambda: ours({})),
        THEIRS: (True, lambda: causal_learn(table, names, settings, tiers)),
        THEIRS_PLAIN: (False, lambda: causal_learn(table, names, settings, None)),
    }
    found: dict[str, dict[str, float] | None] = {}
    for method, (knows, run) in ways.items():
        truth = true_pag(world.dag, names, tiers if knows else None)
        start = time.process_time()
        try:
            with at_most(settings.seconds):
                pag = run()
        except TimeoutError:
            found[method] = None
            continue
        seconds = time.process_time() - start
        marks = orientation(pag, truth, true_causes)
        found[method] = {
            **adjacency(pag, truth),
            "bpb_f1": adjacency(pag, truth, OUTCOME)["f1"],
            **{"marks_recall" if k == "recall" else k: v for k, v in marks.items()},
            "seconds": seconds,
        }
    frequencies = edge_frequencies(
        encoded,
        design.clusters,
        tiers=tiers,
        alpha=resample_alpha(settings.alpha, descent),
        depth=settings.depth,
        bootstraps=settings.bootstraps,
        seed=seed,
        descent=descent,
    )
    frequency = {frozenset((one.a, one.b)): one.frequency for one in frequencies}
    return {
        "class": name,
        "seed": seed,
        "columns": len(names),
        "methods": found,
        "pairs": outcomes(names, frequency, true_pag(world.dag, names)),
    }


def summary(worlds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return means with standard errors, ours against causal-learn pairwise, and calibration."""
    figures: dict[str, Any] = {}
    for method in METHODS:
        ended = [one["methods"][method] for one in worlds if one["methods"][method] is not None]
        figures[method] = {"ended": len(ended)}
        for key in FIGURES if ended else ():
            figures[method][key] = rounded(mean_and_error([one[key] for one in ended]))
    ahead = {}
    for ours, theirs in ((OURS, THEIRS), (OURS_PLAIN, THEIRS_PLAIN)):
        both = [(one["methods"][ours], one["methods"][theirs]) for one in worlds]
        both = [(a, b) for a, b in both if a is not None and b is not None]
        for key in ("f1", "accuracy", "marks_recall", "definite") if both else ():
            gaps = [a[key] - b[key] for a, b in both]
            ahead[f"{ours} − {theirs}: {FIGURES[key]}"] = rounded(mean_and_error(gaps))
    told = [tuple(pair) for one in worlds for pair in one["pairs"]]
    table = reliability(told)
    seen = [pair for pair in told if pair[0] > 0]
    return {
        "worlds": len(worlds),
        "methods": figures,
        "ahead": ahead,
        "reliability": [asdict(one) for one in table],
        "calibration_error": round(calibration_error(table), 4),
        "calibration_error_of_pairs_ever_adjacent": round(calibration_error(reliability(seen)), 4)
        if seen
        else None,
    }


def rounded(pair: tuple[float, float]) -> tuple[float, float | None]:
    """Return a mean and its error for JSON, which knows no NaN."""
    return round(pair[0], 4), None if math.isnan(pair[1]) else round(pair[1], 4)


def plot(tables: Mapping[str, Sequence[Bin]], path: Path) -> None:
    """Draw share truly adjacent against bootstrap frequency, one line per class."""
    figure, axes = plt.subplots(figsize=(5, 5))
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, label="as stated")
    for name, table in tables.items():
        axes.plot([b.frequency for b in table], [b.true_share for b in table], "o-", label=name)
    axes.set_xlabel("bootstrap frequency of the pair")
    axes.set_ylabel("share of pairs truly adjacent")
    axes.legend()
    axes.set_aspect("equal")
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


def show(name: str, figures: Mapping[str, Any]) -> None:
    """Print one class's tables."""

    def cell(pair: Sequence[float | None] | None) -> str:
        if pair is None:
            return "–"
        return f"{pair[0]:.3f}" if pair[1] is None else f"{pair[0]:.3f}±{pair[1]:.3f}"

    print(f"\n{name}: {figures['worlds']} worlds")
    print(f"{'':24}" + "".join(f"{words:>17}" for words in FIGURES.values()) + "  ended")
    for method, row in figures["methods"].items():
        print(f"{method:24}" + "".join(f"{cell(row.get(k)):>17}" for k in FIGURES), row["ended"])
    for words, pair in figures["ahead"].items():
        print(f"  {words}: {cell(pair)}")
    print("  bootstrap frequency → share truly adjacent (pairs)")
    for one in figures["reliability"]:
        print(f"    {one['frequency']:.3f} → {one['true_share']:.3f} ({one['count']})")
    print(
        f"  expected calibration error {figures['calibration_error']}, of pairs ever adjacent "
        f"{figures['calibration_error_of_pairs_ever_adjacent']}"
    )


def main(
    worlds: Annotated[int, typer.Option(help="Worlds per class.")] = 20,
    classes: Annotated[str, typer.Option(help="Comma-separated, or all.")] = "latent",
    rows: Annotated[int, typer.Option(help="Submissions per world.")] = 1000,
    alpha: Annotated[
        float | None,
        typer.Option(help="Level of a single test.", show_default="as shipped, by rows"),
    ] = None,
    depth: Annotated[int, typer.Option(help="Largest conditioning set.")] = DEPTH,
    bootstraps: Annotated[int, typer.Option(help="Resamples per world.")] = 50,
    seconds: Annotated[int, typer.Option(help="Processor time for one graph.")] = 300,
    workers: Annotated[int, typer.Option(help="Processes.")] = 2,
    first: Annotated[int, typer.Option(help="Seed of the first world.")] = 0,
    plot_file: Annotated[Path | None, typer.Option("--plot", help="SVG or PNG to draw.")] = None,
    quick: Annotated[bool, typer.Option(help="2 worlds, 300 rows, 5 resamples.")] = False,
    json_only: Annotated[bool, typer.Option("--json", help="Print the JSON line only.")] = False,
) -> None:
    """Measure discovery against the truth and against causal-learn."""
    chosen = chosen_classes(classes)
    if worlds < 1 or workers < 1:
        raise InputError("--worlds and --workers must be at least 1")
    if quick:
        worlds, rows, bootstraps, seconds = 2, 300, 5, 60
    alpha = default_alpha(rows) if alpha is None else alpha
    settings = Settings(rows, alpha, depth, bootstraps, seconds)
    result: dict[str, Any] = {"settings": asdict(settings), "classes": {}}
    with ProcessPoolExecutor(workers) as pool:
        for name in chosen:
            run = partial(measure_world, name, settings=settings)
            measured = list(pool.map(run, range(first, first + worlds)))
            result["classes"][name] = summary(measured)
            if not json_only:
                show(name, result["classes"][name])
    if plot_file is not None:
        tables = {
            name: [Bin(**one) for one in figures["reliability"]]
            for name, figures in result["classes"].items()
        }
        plot(tables, plot_file)
    print(json.dumps(result))


if __name__ == "__main__":
    run_command(main)
