"""How near effect estimates come to the truth, and whether their 95 % intervals hold it.

    python benchmarks/effects.py [--part both] [--worlds 20] [--classes all] [--rows 1000]
        [--evidence records/evidence.json.xz] [--folds 5] [--json] [--quick]

Synthetic part: in worlds whose direct effects on bpb are known (worlds.py), every estimate that a
method gives of a contrast (variable, from, to) is held against the truth:
  naive                 difference of mean bpb between the two levels' submissions
  all columns           least squares on every column of the table, a yardstick without a graph
  child − parent        least squares of the difference to the parent on all that was changed,
                        a yardstick where there are parents
  ours, …               what the pipeline reads off the submissions, by method and by whether it
                        says that the graph identifies the effect; what READMEs report; and its
                        posterior of every contrast from all of them, with and without the reports
The error is the root mean square over all contrasts of all worlds; beside it stands that of naive
on the very same contrasts, and how many of the worlds' contrasts were answered at all. Standard
errors are by leaving out one world at a time.

Real part (effects_corpus.py, effects_figures.py): what families of submissions report of a
contrast, against what the pipeline makes of all the others' reports and scores, beside naive. The
last line is one JSON object.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from effects_figures import corpus_part, show_corpus
from numpy.typing import NDArray
from scipy.stats import t as student
from statsmodels.regression.linear_model import OLS
from worlds import chosen_classes, draw_world
from worlds_sample import Sample, draw_sample

from interventions.vocabulary import load_variables
from scripts.causal.cli import run_command
from scripts.causal.files import InputError
from scripts.causal.graph.citest import encode_table
from scripts.causal.graph.descent import descent_of, suiting_test
from scripts.causal.graph.design import OUTCOME, RARE, Design, build_design
from scripts.causal.graph.effects import estimate_effects
from scripts.causal.graph.fci import run_fci
from scripts.causal.graph.schema import Estimate, Level
from scripts.causal.leaderboard.evidence import load_evidence

Numbers = NDArray[np.float64]
EVIDENCE = Path(__file__).parents[1] / "records" / "evidence.json.xz"


@dataclass(frozen=True)
class Claim:
    """One estimate of one contrast; low and high are NaN where the method gives no interval."""

    method: str
    variable: str
    before: Level
    after: Level
    effect: float
    low: float
    high: float


@dataclass(frozen=True)
class Error:
    """A claim held against the truth, and what naive says of the same contrast (NaN: nothing)."""

    method: str
    error: float
    covered: bool
    width: float
    naive: float
    truth: float


def true_effect(sample: Sample, variable: str, before: Level, after: Level) -> float:
    """Return the direct effect of a contrast in this world.

    "With" and "without" of a variable that is not a flag stand for the baseline and for the mix
    of other levels that the submissions have.

    Raises:
        ValueError: a level that the world does not have.
    """
    world, factor = sample.world, sample.world.by_id[variable]

    def place(level: Level) -> float:
        if isinstance(level, bool) and factor.variable.kind != "binary":
            used = [code for code in sample.rows.codes[variable] if code]
            return float(np.mean([factor.effects[code] for code in used])) if level else 0.0
        return world.direct_effect(variable, factor.levels[0], level)

    return place(after) - place(before)


def naive_effect(
    design: Design, variable: str, before: Level, after: Level
) -> tuple[float, float] | None:
    """Return the difference of mean bpb between two levels and its standard error (Welch).

    Between two numbers that too few submissions have, the slope of the straight line through all
    submissions takes its place. None where there is nothing to compare.
    """
    if variable not in design.table:
        return None
    cells = design.table[variable].to_numpy()
    bpb = design.table[OUTCOME].to_numpy(dtype=float)
    ends = [before, after]
    if not isinstance(cells[0], str) and any(isinstance(end, bool) for end in ends):
        off = design.coded[variable].off
        groups = [bpb[cells != off if end is True else cells == off] for end in ends]
    elif isinstance(cells[0], str):
        groups = [bpb[cells == str(end)] for end in ends]
    else:
        groups = [bpb[cells == float(end)] for end in ends]
    if min(map(len, groups)) >= 2:
        variances = [float(np.var(group, ddof=1)) / len(group) for group in groups]
        return float(groups[1].mean() - groups[0].mean()), math.sqrt(sum(variances))
    if isinstance(cells[0], str) or np.ptp(cells.astype(float)) == 0:
        return None
    numbers = cells.astype(float)
    fit = OLS(bpb, np.column_stack([np.ones(len(bpb)), numbers])).fit()
    step = float(after) - float(before)
    return float(fit.params[1]) * step, float(fit.bse[1]) * abs(step)


def naive(sample: Sample, design: Design) -> Iterator[Claim]:
    """Yield naive claims on every contrast of the world."""
    for variable, before, after in sample.world.contrasts():
        found = naive_effect(design, variable, before, after)
        if found is not None:
            effect, error = found
            half = 1.96 * error
            yield Claim("naive", variable, before, after, effect, effect - half, effect + half)


def _columns(design: Design) -> tuple[list[tuple[str, Level, Level]], Numbers]:
    """Return what each column of the whole table compares, and the columns; context without."""
    means: list[tuple[str, Level, Level]] = []
    blocks = []
    for name in design.columns:
        cells = design.table[name].to_numpy()
        coded = design.coded.get(name)
        if name == OUTCOME:
            continue
        if not isinstance(cells[0], str):
            off, unit = (0.0, 1.0) if coded is None else (float(coded.off), 1.0)
            typical = off + unit if coded is None else float(coded.typical)
            step = typical - off or 1.0
            means.append((name if coded else "", off, typical))
            blocks.append((cells.astype(float) - off) / step)
            continue
        base = str(coded.off) if coded is not None else cells[0]
        for level in sorted(set(cells) - {base}):
            value: Level = level == "True" if coded and coded.kind == "binary" else level
            start: Level = base == "True" if coded and coded.kind == "binary" else base
            means.append((name if coded and level != RARE else "", start, value))
            blocks.append((cells == level).astype(float))
    return means, np.column_stack(blocks)


def _regression(
    method: str,
    outcome: Numbers,
    columns: Numbers,
    means: Sequence[tuple[str, Level, Level]],
    groups: Sequence[str],
) -> Iterator[Claim]:
    """Yield a claim per column that varies, with errors robust within groups."""
    kept = [place for place in range(columns.shape[1]) if np.ptp(columns[:, place]) > 0]
    predictors = np.column_stack([np.ones(len(outcome)), columns[:, kept]])
    full = np.linalg.matrix_rank(predictors) == predictors.shape[1]
    if not full or len(outcome) < predictors.shape[1] + 8:
        return
    labels = np.unique(np.array(groups), return_inverse=True)[1]
    fit = OLS(outcome, predictors).fit(cov_type="cluster", cov_kwds={"groups": labels})
    quantile = float(student.ppf(0.975, len(outcome) - predictors.shape[1]))
    for place, column in enumerate(kept, start=1):
        variable, before, after = means[column]
        if variable:
            effect, half = float(fit.params[place]), quantile * float(fit.bse[place])
            yield Claim(method, variable, before, after, effect, effect - half, effect + half)


def all_columns(sample: Sample, design: Design) -> Iterator[Claim]:
    """Yield the claims of least squares on the whole table."""
    means, columns = _columns(design)
    bpb = design.table[OUTCOME].to_numpy(dtype=float)
    yield from _regression("all columns", bpb, columns, means, design.clusters)


def child_minus_parent(sample: Sample, design: Design) -> Iterator[Claim]:
    """Yield the claims of least squares on the differences to the parent, where it is named."""
    place = {one: row for row, one in enumerate(design.table.index)}
    known = {one.pr: place[one.id] for one in sample.leaderboard.submissions if one.id in place}
    links = [
        (place[one.id], known[one.parent_prs[0]])
        for one in sample.leaderboard.submissions
        if one.parent_prs and one.parent_prs[0] in known
    ]
    if not links:
        return
    children, parents = map(list, zip(*links, strict=True))
    means, columns = _columns(design)
    bpb = design.table[OUTCOME].to_numpy(dtype=float)
    yield from _regression(
        "child − parent",
        bpb[children] - bpb[parents],
        columns[children] - columns[parents],
        means,
        [str(parent) for parent in parents],
    )


def _method(estimate: Estimate) -> str:
    """Return where an estimate comes from, in words."""
    if estimate.source == "reported":
        return "ours, reported"
    if estimate.method == "differences":
        return "ours, child − parent"
    told = {True: "identified", False: "not identified", None: "no edge"}
    return f"ours, adjusted, {told[estimate.identified]}"


def ours(sample: Sample, design: Design) -> Iterator[Claim]:
    """Yield every estimate of the pipeline, and its posterior of every contrast of the world.

    The posterior is given with and without what READMEs report.
    """
    tiers = {name: column.tier for name, column in design.columns.items()}
    encoded = encode_table(design.table)
    test, varying = suiting_test(encoded, descent_of(encoded, design.parents), tiers)
    pag = run_fci(test, alpha=0.05, depth=2, tiers=varying)
    for words, reports in (("ours, combined", True), ("ours, combined without reports", False)):
        table = estimate_effects(
            sample.leaderboard, design, pag, load_variables(), use_reported=reports
        )
        for variable, before, after in sample.world.contrasts():
            one = table.effect(variable, before, after)
            yield Claim(words, variable, before, after, one.mean, one.low, one.high)
        if reports:
            for variable, found in table.estimates.items():
                for each in found:
                    ends = each.before, each.after
                    yield Claim(_method(each), variable, *ends, each.effect, each.low, each.high)


METHODS: tuple[Callable[[Sample, Design], Iterator[Claim]], ...] = (
    naive,
    all_columns,
    child_minus_parent,
    ours,
)


def measure_world(name: str, seed: int, rows: int) -> dict[str, Any]:
    """Return the errors of all claims in one world, and how many contrasts it has."""
    sample = draw_sample(draw_world(name, seed), rows, seed)
    design = build_design(sample.leaderboard, most_factors=len(sample.world.factors))
    errors = []
    for method in METHODS:
        for claim in method(sample, design):
            if claim.variable not in sample.world.by_id:
                continue
            contrast = claim.variable, claim.before, claim.after
            truth = true_effect(sample, *contrast)
            other = naive_effect(design, *contrast)
            errors.append(
                Error(
                    method=claim.method,
                    error=claim.effect - truth,
                    covered=claim.low <= truth <= claim.high,
                    width=claim.high - claim.low,
                    naive=math.nan if other is None else other[0] - truth,
                    truth=truth,
                )
            )
    return {"errors": errors, "contrasts": len(sample.world.contrasts())}


def left_out(
    worlds: Sequence[Sequence[Error]], figure: Callable[[Sequence[Error]], float]
) -> tuple[float, float | None]:
    """Return a figure over all worlds' errors and its jackknife standard error over worlds."""
    whole = figure([one for world in worlds for one in world])
    if len(worlds) < 2:
        return round(whole, 6), None
    parts = [
        figure([one for place, world in enumerate(worlds) if place != out for one in world])
        for out in range(len(worlds))
    ]
    count = len(parts)
    variance = (count - 1) / count * sum((part - sum(parts) / count) ** 2 for part in parts)
    return round(whole, 6), round(math.sqrt(variance), 6)


def rmse(errors: Sequence[Error]) -> float:
    """Return the root mean squared error."""
    return math.sqrt(sum(one.error**2 for one in errors) / len(errors))


def ratio(errors: Sequence[Error]) -> float:
    """Return the RMSE over naive's on the same contrasts."""
    both = [one for one in errors if not math.isnan(one.naive)]
    return math.sqrt(sum(one.error**2 for one in both) / sum(one.naive**2 for one in both))


def coverage(errors: Sequence[Error]) -> float:
    """Return the share of intervals that hold the truth."""
    return sum(one.covered for one in errors) / len(errors)


def summary(worlds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return per method its errors beside naive's, and its coverage."""
    contrasts = sum(world["contrasts"] for world in worlds)
    names = dict.fromkeys(one.method for world in worlds for one in world["errors"])
    figures = {}
    for name in names:
        mine = [[one for one in world["errors"] if one.method == name] for world in worlds]
        mine = [errors for errors in mine if errors]
        flat = [one for errors in mine for one in errors]
        figures[name] = {
            "worlds": len(mine),
            "claims": len(flat),
            "answered": round(len(flat) / contrasts, 3),
            "rmse": left_out(mine, rmse),
            "rmse_over_naive": left_out(mine, ratio),
            "coverage": left_out(mine, coverage),
            "median_width": round(float(np.median([one.width for one in flat])), 6),
            "bias": round(float(np.mean([one.error for one in flat])), 6),
        }
    return {"worlds": len(worlds), "contrasts": contrasts, "methods": figures}


def show(name: str, figures: Mapping[str, Any]) -> None:
    """Print one class's table, bpb in thousandths."""
    print(f"\n{name}: {figures['worlds']} worlds, {figures['contrasts']} contrasts (mbpb)")
    heads = f"{'RMSE':>15}{'over naive':>15}{'coverage':>15}{'width':>8}{'bias':>8}"
    print(f"{'':40}{'claims':>7}{heads}")
    for method, row in figures["methods"].items():
        rmse_cell = cell([None if one is None else 1e3 * one for one in row["rmse"]])
        cells = rmse_cell, cell(row["rmse_over_naive"]), cell(row["coverage"])
        width, bias = 1e3 * row["median_width"], 1e3 * row["bias"]
        words = "".join(f"{one:>15}" for one in cells)
        print(f"{method:40}{row['claims']:>7}{words}{width:>8.2f}{bias:>8.2f}")


def cell(pair: Sequence[float | None]) -> str:
    """Return a figure with its standard error, if it has one."""
    return f"{pair[0]:.3f}" + ("" if pair[1] is None else f"±{pair[1]:.3f}")


def main(
    part: Annotated[
        Literal["synthetic", "corpus", "both"], typer.Option(help="What to measure.")
    ] = "both",
    worlds: Annotated[int, typer.Option(help="Worlds per class.")] = 20,
    classes: Annotated[str, typer.Option(help="Comma-separated, or all.")] = "all",
    rows: Annotated[int, typer.Option(help="Submissions per world.")] = 1000,
    workers: Annotated[int, typer.Option(help="Processes.")] = 2,
    first: Annotated[int, typer.Option(help="Seed of the first world.")] = 0,
    evidence: Annotated[Path, typer.Option(help="The real corpus's facts.")] = EVIDENCE,
    folds: Annotated[int, typer.Option(help="Parts that families are dealt into.")] = 5,
    resamples: Annotated[int, typer.Option(help="Of variables, for the intervals.")] = 2000,
    quick: Annotated[
        bool, typer.Option(help="2 worlds a class, 300 rows; 2 folds, 200 resamples.")
    ] = False,
    json_only: Annotated[bool, typer.Option("--json", help="Print the JSON line only.")] = False,
) -> None:
    """Measure effect estimates against the truth and against the naive difference of means."""
    chosen = chosen_classes(classes)
    if worlds < 1 or workers < 1 or resamples < 1:
        raise InputError("--worlds, --workers and --resamples must be at least 1")
    if folds < 2:
        raise InputError("--folds must be at least 2, so that something is left to fit")
    if quick:
        worlds, rows, folds, resamples = 2, 300, 2, 200
    result: dict[str, Any] = {}
    with ProcessPoolExecutor(workers) as pool:
        if part != "corpus":
            result |= {"rows": rows, "synthetic": {}}
            for name in chosen:
                run = partial(measure_world, name, rows=rows)
                measured = list(pool.map(run, range(first, first + worlds)))
                result["synthetic"][name] = summary(measured)
                if not json_only:
                    show(name, result["synthetic"][name])
        if part != "synthetic":
            result["corpus"] = corpus_part(
                load_evidence(evidence), folds=folds, seed=first, resamples=resamples, pool=pool
            )
            if not json_only:
                show_corpus(result["corpus"]["scopes"])
    print(json.dumps(result))


if __name__ == "__main__":
    run_command(main)
