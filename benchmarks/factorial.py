"""Eight changes screened together and one at a time: runs, precision, agreement.

    python benchmarks/factorial.py [--campaigns 4000] [--seed 0] [--ledger PATH] [--json]

real       Eight changes of the catalog at the tiny scale, really trained: 16 runs of the folded
           design on seeds 1 and 2, and one at a time on four other seeds, 36 runs. Do the effects
           agree within their errors?
simulated  The same two screens with true effects drawn, and with the spreads that the real runs
           showed: of runs over seeds, of paired differences. Counted are the errors of the
           effects, how often their 95 % interval holds the truth, and the runs that one at a time
           needs for the factorial's precision. Then again with interactions of every two changes,
           a quarter as large as effects are: the truth of the factorial is then the effect on
           average over the other changes, that of one at a time the effect in the control.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from scipy import stats

from interventions.catalog import load_catalog
from scripts.causal.campaign.contrast import build_contrast
from scripts.causal.campaign.executor import open_executor
from scripts.causal.campaign.factorial_screen import plan_screen, screen_effects
from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.campaign.measured import measure
from scripts.causal.campaign.platform import choose_platform
from scripts.causal.campaign.schema import ContrastRuns, FactorialRuns
from scripts.causal.cli import progress_bar, run_command
from scripts.causal.experiment_runner import run_contrasts, run_pairs
from scripts.causal.stats import factorial
from scripts.causal.stats.paired import interval
from trainers.api import load_trainer

# Of eight variables; numbers that reach the compiled step as tensors, so one engine serves all.
CHANGES = (
    "qk_gain_4",
    "softcap_20",
    "rope_base_1000",
    "matrix_lr_0.02",
    "muon_momentum_0.90",
    "weight_decay_0.09",
    "grad_clip_0.3",
    "warmdown_x2",
)
TOGETHER, ALONE = (1, 2), (3, 4, 5, 6)
TYPICAL = 2.0  # sd of true effects, in sd of a paired difference
INTERACTION = 0.25  # of it, sd of interactions of two

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """Standard deviations in bpb: of what a seed does to all runs alike, of a run beside it."""

    seed: float
    run: float


def real_screens(ledger: Path, *, quiet: bool = False) -> tuple[dict[str, Any], Spread]:
    """Train both screens; their effects with standard errors, and the spreads they showed."""
    trainer, catalog = load_trainer("gpt"), load_catalog()
    platform = choose_platform(trainer, "cpu", "tiny")
    contrasts = [build_contrast(catalog[name], "tiny", trainer) for name in CHANGES]
    design, rest = plan_screen(contrasts, catalog, trainer, "tiny", {}, TOGETHER)
    if design is None or rest:
        raise RuntimeError("the eight changes do not share a design")
    store = open_ledger(ledger)
    try:
        with (
            open_executor(trainer, store, platform.backend, 0) as executor,
            progress_bar("real screens", quiet=quiet) as show,
        ):
            done = iter(run_pairs(design.asked, platform, store, executor, show))
            alone = run_contrasts(contrasts, ALONE, "screen", platform, store, executor, show)
    finally:
        store.close()
    runs = tuple(
        ContrastRuns(contrast=pair, phase="screen", pairs=tuple(next(done) for _ in seeds))
        for pair, seeds in design.pairs
    )
    screen = FactorialRuns(factors=design.factors, levels=design.levels, runs=runs)
    together = screen_effects(screen)
    differences = np.array([measure(each).differences for each in alone])  # (changes, seeds)
    variance = float(differences.var(axis=1, ddof=1).mean())
    control = [pair.control.metrics["val_bpb"] for pair in alone[0].pairs]
    error = float((variance / len(ALONE)) ** 0.5)
    rows = {
        name: {
            "together": round(together[name].mean, 5),
            "together_se": round(together[name].standard_error, 5),
            "alone": round(float(row.mean()), 5),
            "alone_se": round(error, 5),
        }
        for name, row in zip(CHANGES, differences, strict=True)
    }
    gaps = [
        (together[name].mean - row.mean()) / (together[name].standard_error ** 2 + error**2) ** 0.5
        for name, row in zip(CHANGES, differences, strict=True)
    ]
    spread = Spread(float(np.std(control, ddof=1)), (variance / 2) ** 0.5)
    found = {
        "runs_together": 2 * len(design.asked),
        "runs_alone": (len(CHANGES) + 1) * len(ALONE),
        "effects": rows,
        "largest_gap_in_errors": round(float(np.max(np.abs(gaps))), 2),
        "p_of_gaps": round(float(stats.chi2.sf(np.sum(np.square(gaps)), len(gaps))), 3),
        "sd_of_a_difference": round(variance**0.5, 5),
        "sd_over_seeds": round(spread.seed, 5),
    }
    return found, spread


def simulated_screens(
    spread: Spread, campaigns: int, seed: int, *, interacting: bool
) -> dict[str, float]:
    """Both screens in worlds of known truth: errors, coverage, and runs for equal precision."""
    rng = np.random.default_rng(seed)
    k, sd = len(CHANGES), 2**0.5 * spread.run
    design = factorial.folded_design(k)
    shares = factorial.seeds_of_pairs(len(design), TOGETHER)
    levels = np.vstack([design, -design])
    blocks = [share[0] for share in shares] * 2
    pairs = list(combinations(range(k), 2))
    errors: dict[str, list[float]] = {"together": [], "alone": []}
    held: dict[str, list[bool]] = {"together": [], "alone": []}
    for _ in range(campaigns):
        effects = rng.normal(0, TYPICAL * sd, k)
        extra = rng.normal(0, INTERACTION * TYPICAL * sd, len(pairs)) * interacting
        truth = effects.copy()  # on average over the others, each made half of the time
        for (one, other), size in zip(pairs, extra, strict=True):
            truth[[one, other]] += size / 2
        outcomes = _outcomes((levels + 1) // 2, effects, pairs, extra)
        outcomes = outcomes + _noise(rng, blocks, spread)
        for estimate, true in zip(
            factorial.main_effects(levels, outcomes, blocks), truth, strict=True
        ):
            band = interval(estimate, 0.95)
            errors["together"].append(estimate.mean - true)
            held["together"].append(band is not None and band[0] <= true <= band[1])
        made = np.vstack([np.zeros(k, dtype=int), np.eye(k, dtype=int)])
        rows = _outcomes(made, effects, pairs, extra)
        scores = np.array([rows + _noise(rng, [0] * (k + 1), spread) for _ in ALONE])
        differences = scores[:, 1:] - scores[:, :1]
        variance, df = float(differences.var(axis=0, ddof=1).mean()), len(ALONE) - 1
        half = float(stats.t.isf(0.025, df * k)) * (variance / len(ALONE)) ** 0.5
        for mean, true in zip(differences.mean(axis=0), effects, strict=True):
            errors["alone"].append(mean - true)
            held["alone"].append(abs(mean - true) <= half)
    rms = {name: float(np.sqrt(np.mean(np.square(values)))) for name, values in errors.items()}
    needed = factorial.runs_to_reach(rms["together"], k, sd)[0].runs
    return {
        "runs_together": 2 * len(design),
        "runs_alone": (k + 1) * len(ALONE),
        "share_of_runs": round(2 * len(design) / ((k + 1) * len(ALONE)), 3),
        "error_together": round(rms["together"] / sd, 3),
        "error_alone": round(rms["alone"] / sd, 3),
        "coverage_together": round(float(np.mean(held["together"])), 4),
        "coverage_alone": round(float(np.mean(held["alone"])), 4),
        "runs_alone_for_equal_precision": needed,
    }


def _outcomes(
    made: NDArray[np.int64],
    effects: Numbers,
    pairs: Sequence[tuple[int, int]],
    extra: Numbers,
) -> Numbers:
    """True bpb of runs that make these changes (runs, changes), beside a constant."""
    total = made @ effects
    for (one, other), size in zip(pairs, extra, strict=True):
        total = total + size * made[:, one] * made[:, other]
    return np.asarray(total, dtype=np.float64)


def _noise(rng: np.random.Generator, blocks: Sequence[int], spread: Spread) -> Numbers:
    seeds = {block: rng.normal(0, spread.seed) for block in sorted(set(blocks))}
    own = rng.normal(0, spread.run, len(blocks))
    return np.array([seeds[block] for block in blocks]) + own


def main(
    campaigns: Annotated[int, typer.Option(min=2, help="simulated worlds")] = 4000,
    seed: Annotated[int, typer.Option(min=0, help="of the worlds")] = 0,
    ledger: Annotated[Path, typer.Option(help="real runs are kept here")] = Path(
        "results/benchmarks/factorial.sqlite"
    ),
    json_only: Annotated[bool, typer.Option("--json", help="print the JSON line only")] = False,
) -> None:
    """Compare both screens, on real runs and in simulated worlds with their spreads."""
    real, spread = real_screens(ledger, quiet=json_only)
    simulated = {
        name: simulated_screens(spread, campaigns, seed, interacting=interacting)
        for name, interacting in (("additive", False), ("interacting", True))
    }
    if not json_only:
        for name, row in real["effects"].items():
            print(
                f"{name:20} together {row['together']:+.5f} ± {row['together_se']:.5f}"
                f"   alone {row['alone']:+.5f} ± {row['alone_se']:.5f}"
            )
        for name, summary in simulated.items():
            print(f"{name:12} " + ", ".join(f"{key} {value}" for key, value in summary.items()))
    print(json.dumps({"campaigns": campaigns, "real": real, "simulated": simulated}))


if __name__ == "__main__":
    run_command(main)
