"""What the causal search costs, beside causal-learn's own, and in how many marks they differ.

Usage: python benchmarks/fci_speed.py [--evidence records/evidence.json.xz] [--json]
Columns are those of the bundled evidence, encoded as one column each so that causal-learn's
fisherz can test them (levels by their commonness), without knowledge, since causal-learn's is
unsound. At each size its own `fci` (fisherz, depth 2) runs twice: as it is, with possible-d-sep
sets of any size, up to --unbounded variables; and with these bounded at 2 too, for which it has no
option. Beside each stand three readings of ours, with the same test:

the same    causal-learn's: no mark may differ
one set     bounded, in no order of columns
default     the same adjacencies; colliders by all sets of neighbours, with a margin

and what their marks differ in. Nodes hash by position, so that causal-learn walks its sets alike
in every run. Then the search as the pipeline runs it (mixed data, one node per factor, tiers),
once and over 100 resamples by lineage on two cores. Seconds are wall-clock; nearly all of them are
causal-learn's. The last line is one JSON object.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import pandas as pd
import typer
from causallearn.graph.GraphNode import GraphNode
from causallearn.search.ConstraintBased import FCI
from numpy.typing import NDArray
from scipy.special import ndtr

from scripts.causal.cli import run_command
from scripts.causal.files import InputError
from scripts.causal.graph.bootstrap import edge_frequencies
from scripts.causal.graph.citest import Encoded, WilksTest, encode_table
from scripts.causal.graph.design import build_design
from scripts.causal.graph.encode import normal_scores
from scripts.causal.graph.fci import AS_CAUSAL_LEARN, ONE_SET, SETTLED, Procedure, run_fci, search
from scripts.causal.graph.pag import Pag
from scripts.causal.graph.skeleton import ARROW, CIRCLE, NONE, TAIL
from scripts.causal.leaderboard.evidence import load_evidence

ALPHA, DEPTH = 0.05, 2
THEIRS_BOUNDED = replace(ONE_SET, stable_removal=False, r4_at_once=False, both_ways=False)
ROWS, BOOTSTRAPS, WORKERS = 1400, 100, 2
Value = TypeVar("Value")


class FisherZ:
    """Fisher's z over one correlation matrix, one test or many at once."""

    def __init__(self, data: NDArray[np.float64]):
        self.rows = len(data)
        self.correlations: NDArray[np.float64] = np.atleast_2d(np.corrcoef(data.T))

    def p_value(self, x: int, y: int, given: Any) -> float:
        """Return the p-value of x ⟂ y | given."""
        return float(
            self.p_values(np.array([x]), np.array([y]), np.array([list(given)], dtype=np.intp))[0]
        )

    def p_values(self, x: Any, y: Any, given: Any) -> NDArray[np.float64]:
        """Return those of (k,), (k,) and (k, size)."""
        chosen = np.column_stack([x, y, given])
        inverse = np.linalg.inv(self.correlations[chosen[:, :, None], chosen[:, None, :]])
        partial = -inverse[:, 0, 1] / np.sqrt(np.abs(inverse[:, 0, 0] * inverse[:, 1, 1]))
        partial = np.clip(partial, -1 + 1e-15, 1 - 1e-15)
        scaled = np.sqrt(self.rows - given.shape[1] - 3) * np.abs(np.arctanh(partial))
        p_values: NDArray[np.float64] = 2 * (1 - ndtr(scaled))
        return p_values


def one_column_each(table: pd.DataFrame, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return normal scores of every column, levels by how common they are, ties broken."""
    columns = []
    for name in table:
        cells = table[name].tolist()
        common = Counter(cells)
        order = {level: place for place, (level, _) in enumerate(common.most_common())}
        numbers = [float(order[one]) if isinstance(one, str) else one for one in cells]
        columns.append(normal_scores(np.array(numbers)) + 0.01 * rng.standard_normal(len(cells)))
    return np.column_stack(columns)


@contextlib.contextmanager
def placed_nodes() -> Iterator[None]:
    """Let causal-learn's nodes hash by position, so that it walks a set alike in every run."""
    by_name = GraphNode.__hash__
    GraphNode.__hash__ = lambda node: int(node.name.lstrip("X")) - 1
    try:
        yield
    finally:
        GraphNode.__hash__ = by_name


@contextlib.contextmanager
def largest_possible_d_sep(size: int | None) -> Iterator[None]:
    """Bound the sets of causal-learn's possible-d-sep search."""
    subsets = FCI.DepthChoiceGenerator
    if size is not None:
        FCI.DepthChoiceGenerator = lambda a, b: subsets(a, min(b, size))
    try:
        yield
    finally:
        FCI.DepthChoiceGenerator = subsets


def timed(work: Callable[[], Value]) -> tuple[float, Value]:
    """Return the seconds that the work took, and its value."""
    start = time.perf_counter()
    value = work()
    return round(time.perf_counter() - start, 3), value


def search_encoded(encoded: Encoded, tiers: Mapping[str, int]) -> Pag:
    """Return the pipeline's graph, its test made anew: nothing is remembered from before."""
    return run_fci(WilksTest(encoded), alpha=ALPHA, depth=DEPTH, tiers=tiers)


def causal_learn(
    data: NDArray[np.float64], largest: int | None = None
) -> tuple[float, NDArray[Any]]:
    """Return the seconds and end marks of causal-learn's own `fci` with fisherz."""
    with (
        placed_nodes(),
        largest_possible_d_sep(largest),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        seconds, (graph, _) = timed(
            lambda: FCI.fci(data, "fisherz", ALPHA, depth=DEPTH, show_progress=False)
        )
    return seconds, graph.graph


def ours(data: NDArray[np.float64], procedure: Procedure) -> tuple[float, NDArray[Any]]:
    """Return the seconds and end marks of our search with the same test."""
    names = [f"X{place + 1}" for place in range(data.shape[1])]
    return timed(
        lambda: search(FisherZ(data), names, alpha=ALPHA, depth=DEPTH, procedure=procedure)
    )


def differing(ours: NDArray[Any], theirs: NDArray[Any]) -> dict[str, int]:
    """Return in how many marks two graphs differ, and which."""
    here, there = ours != NONE, theirs != NONE
    both = here & there
    return {
        "marks": int((ours != theirs).sum()),
        "of": int(there.sum()),
        "edges_only_ours": int((here & ~there).sum()) // 2,
        "edges_only_theirs": int((there & ~here).sum()) // 2,
        "left_open": int((both & (ours == CIRCLE) & (theirs != CIRCLE)).sum()),
        "settled": int((both & (ours != CIRCLE) & (theirs == CIRCLE)).sum()),
        "contrary": int((both & (ours * theirs == ARROW * TAIL)).sum()),
    }


def beside_causal_learn(data: NDArray[np.float64], unbounded: bool) -> dict[str, Any]:
    """Return seconds and differing marks on one table: whose graph → our reading → both."""
    table: dict[str, Any] = {}
    for name, largest, faithful in (
        ("causal-learn, bounded", DEPTH, THEIRS_BOUNDED),
        *([("causal-learn", None, AS_CAUSAL_LEARN)] if unbounded else []),
    ):
        seconds, theirs = causal_learn(data, largest)
        readings = {}
        for reading, procedure in (
            ("the same", faithful),
            ("one set", ONE_SET),
            ("default", SETTLED),
        ):
            own, marks = ours(data, procedure)
            readings[reading] = {"seconds": own, **differing(marks, theirs)}
        table[name] = {"seconds": seconds, "readings": readings}
    return table


def show(row: dict[str, Any]) -> None:
    """Print one size."""
    print(f"\n{row['variables']} variables, {row['rows']} rows")
    for name, theirs in row["beside"].items():
        print(f"  {name}: {theirs['seconds']} s")
        for reading, told in theirs["readings"].items():
            print(
                f"    ours, {reading:9} {told['seconds']:7.3f} s  {told['marks']:3} of "
                f"{told['of']} marks differ: {told['edges_only_ours']} edges only ours, "
                f"{told['edges_only_theirs']} only theirs, {told['left_open']} left open, "
                f"{told['settled']} settled, {told['contrary']} contrary"
            )
    print(f"  as the pipeline runs it: {row['pipeline_seconds']} s")
    if "bootstrap_seconds" in row:
        print(
            f"  {BOOTSTRAPS} resamples of {ROWS} rows, {WORKERS} processes: "
            f"{row['bootstrap_seconds']} s ({row['pairs_seen']} pairs seen)"
        )


def main(
    evidence: Annotated[Path, typer.Option(help="Evidence file of the real columns.")] = Path(
        "records/evidence.json.xz"
    ),
    sizes: Annotated[str, typer.Option(help="Variables, comma-separated.")] = "14,18,25",
    unbounded: Annotated[
        int, typer.Option(help="Most variables to run causal-learn's unbounded search at.")
    ] = 14,
    seed: Annotated[int, typer.Option(help="Of the rows drawn and the resampling.")] = 0,
    json_only: Annotated[bool, typer.Option("--json", help="Print the JSON line only.")] = False,
) -> None:
    """Time the search on the bundled evidence and compare its marks with causal-learn's."""
    try:
        counts = sorted({int(part) for part in sizes.split(",")})
    except ValueError as error:
        raise InputError(f"--sizes {sizes!r} is not a list of whole numbers") from error
    design = build_design(load_evidence(evidence), most_factors=counts[-1])
    table, names = design.table, list(design.columns)
    if len(names) < counts[-1]:
        raise InputError(f"only {len(names)} columns for --sizes {sizes}", where=evidence)
    rng = np.random.default_rng(seed)
    scores = one_column_each(table, rng)
    # The scored submissions are fewer than 1,400: the rest are drawn again, whole.
    drawn = np.append(np.arange(len(table)), rng.integers(len(table), size=ROWS - len(table)))
    rows = []
    for count in counts:
        kept = names[: count - 1] + names[-1:]
        tiers = {name: design.columns[name].tier for name in kept}
        data = scores[:, [names.index(name) for name in kept]]
        row: dict[str, Any] = {"variables": count, "rows": len(data)}
        row["beside"] = beside_causal_learn(data, unbounded=count <= unbounded)
        encoded = encode_table(table[kept].iloc[drawn])
        row["pipeline_seconds"], _ = timed(partial(search_encoded, encoded, tiers))
        if count >= 25:
            row["bootstrap_seconds"], found = timed(
                partial(
                    edge_frequencies,
                    encoded,
                    [design.clusters[place] for place in drawn],
                    tiers=tiers,
                    alpha=ALPHA,
                    depth=DEPTH,
                    bootstraps=BOOTSTRAPS,
                    seed=seed,
                    workers=WORKERS,
                )
            )
            row["pairs_seen"] = len(found)
        rows.append(row)
        if not json_only:
            show(row)
    summary = {
        "alpha": ALPHA,
        "depth": DEPTH,
        "bootstraps": BOOTSTRAPS,
        "bootstrap_rows": ROWS,
        "workers": WORKERS,
        "cores": os.cpu_count(),
        "marks_differing": sum(
            theirs["readings"]["the same"]["marks"]
            for row in rows
            for theirs in row["beside"].values()
        ),
    }
    print(json.dumps({**summary, "sizes": rows}))


if __name__ == "__main__":
    run_command(main)
