"""Whether what the tool confirms is true at the rate it promises, and what its tests spare.

    python benchmarks/statistics.py [--part errors --part aa --part power] [--quick] [--json]

errors  simulated campaigns (`statistics_worlds`) with the spreads and correlations of real runs,
        decided by the code that decides real campaigns, the plain paired t with Holm beside it:
        wrong confirmations, wrong "equivalent", coverage of 95 % intervals, bias of the confirmed
        estimates after screening, power against what was promised before any fresh seed
aa      real A/A contrasts through `analyse`: the same runs computed twice, which must agree to
        the last bit, and changes that change nothing, of which chaos makes a difference
power   seeds that confirm 0.002 bpb at alpha 0.01 with a chance of 80 %, moderated and with
        looks against the plain paired t with Holm

Two worlds: `published`, runs as the bundled records' seeds scatter, nothing in common by seed;
and `own`, a control and eight treatments run here (`statistics_runs`: a minute or two a seed on a
core the first time, then read from the ledger). Exit status 1 where a promise is not kept by more
than two Monte-Carlo errors.

A bias is promised to be 0 in every design of every world, so these are judged together, at 5 % for
all (Bonferroni: 2.5 errors for four of them; two errors each would fail one run in six for
nothing). For a smaller error every campaign is decided a second time with the noise of its fresh
seeds turned round, and the mean of both is taken (antithetic variates, Hammersley & Morton 1956):
its noise is as likely, so the bias is the same. On all the seeds planned the two cancel but for
rounding, which is a proof: what screening lets into an estimate is not turned round, and shows.
What stopping at a look adds is another thing, and no promise: a mean that stopped for being far
from 0 lies too far from 0 (Whitehead 1986), as every verdict says that stopped. It is measured.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.statistics_runs import (
    Bench,
    catalog_contrasts,
    no_ops,
    open_bench,
    scores,
    twice,
)
from benchmarks.statistics_worlds import (
    Design,
    Numbers,
    Outcome,
    World,
    independent_world,
    run_campaign,
    world_of,
)
from scripts.causal.campaign.published import published_prior, published_spread
from scripts.causal.campaign.schema import ContrastRuns, RawRuns, VariancePrior
from scripts.causal.extract_interventions import EVIDENCE, extract_leaderboard
from scripts.causal.files import InputError
from scripts.causal.statistical_analysis import analyse
from scripts.causal.stats.looks import level_at, planned_looks
from scripts.causal.stats.power import pairs_needed, power

PARTS = ("errors", "aa", "power")
LEDGER = Path("results/causal/statistics/ledger.sqlite")
ALPHA, SEEDS = 0.05, (3, 5, 8)
CONTRASTS, SCREEN, FAMILY = 8, 2, 4
EFFECT, EFFECT_ALPHA, POWER = 0.002, 0.01, 0.8
ROUNDING = 1e-9  # sd: of no consequence, where the error is no larger


@dataclass(frozen=True)
class Share:
    """A rate with its Monte-Carlo standard error."""

    value: float
    error: float
    count: int

    def as_json(self) -> dict[str, float]:
        """For the last line."""
        return {"value": round(self.value, 4), "se": round(self.error, 4), "of": self.count}


def share(hits: Sequence[bool]) -> Share:
    """The share of hits; independent trials."""
    n, p = len(hits), float(np.mean(hits)) if hits else math.nan
    return Share(p, math.sqrt(max(p * (1 - p), 1 / n) / n) if n else math.nan, n)


def clustered(hits: Sequence[Sequence[float]]) -> Share:
    """A mean over contrasts, whose neighbours in one campaign share a control."""
    sizes, sums = np.array([len(one) for one in hits]), np.array([sum(one) for one in hits])
    mean = float(sums.sum() / sizes.sum())
    error = float(np.sqrt(((sums - mean * sizes) ** 2).sum()) / sizes.sum())
    return Share(mean, error, int(sizes.sum()))


class Ledger:
    """What was promised, what was measured, and whether the one holds for the other."""

    def __init__(self, say: Callable[[str], None]):
        self.say, self.rows = say, dict[str, Any]()
        self.broken: list[str] = []

    def note(self, name: str, value: Any, words: str) -> None:
        """Record a figure that nothing is promised of."""
        self.rows[name] = value
        self.say(f"  {words}")

    def hold(
        self,
        name: str,
        found: Share,
        low: float,
        high: float,
        beside: str = "",
        errors: float = 2.0,
    ) -> None:
        """Record a figure that should lie between two bounds, but for so many standard errors."""
        kept = low - errors * found.error <= found.value <= high + errors * found.error
        if not kept:
            self.broken.append(name)
        self.rows[name] = {**found.as_json(), "low": low, "high": high, "kept": kept}
        self.say(
            f"  {'ok ' if kept else 'NOT'} {name}: {found.value:.4f} ± {found.error:.4f} "
            f"(promised {low:g} to {high:g}){beside}"
        )


def many(
    world: World,
    effects: Callable[[np.random.Generator], Numbers],
    design: Design,
    count: int,
    *,
    first: int = 0,
    mirrored: bool = False,
) -> list[list[Outcome]]:
    """So many campaigns, each with effects of its own.

    Args:
        first: number of the first; campaigns of one number draw alike.
        mirrored: the same ones with the noise of their fresh seeds turned round.
    """
    found = []
    for number in range(first, first + count):
        rng = np.random.default_rng([number, design.seeds, design.looks, world.contrasts])
        found.append(run_campaign(world, effects(rng), design, rng, mirrored=mirrored))
    return found


def covers(interval: tuple[float, float] | None, truth: float) -> bool:
    """Whether an interval holds the truth; one that could not be given does not count as held."""
    return interval is not None and interval[0] <= truth <= interval[1]


def errors(
    world: World, seeds: int, looks: int, count: int, ledger: Ledger, biases: int = 1
) -> None:
    """Error rates of one world at one number of fresh seeds.

    Args:
        biases: how many biases are judged together.
    """
    mde = float(np.median(world.difference_sd))
    design = Design(SCREEN, seeds, FAMILY, mde, ALPHA, looks)
    name = f"{world.name}, {seeds} seeds, {looks} look{'s' if looks > 1 else ''}"
    null = many(world, lambda rng: np.zeros(world.contrasts), design, count)
    plain = share([any(one.plain_confirmed for one in each) for each in null])
    ledger.hold(
        f"{name}: wrong confirmations, family-wise",
        share([any(one.confirmed for one in each) for each in null]),
        0.0,
        ALPHA,
        f"; plain t {plain.value:.4f}",
    )
    signs = np.where(np.arange(world.contrasts) % 2, 1.0, -1.0)
    margin = many(world, lambda rng: mde * signs, design, count)
    ledger.hold(
        f"{name}: wrong 'equivalent' at the margin",
        share([any(one.verdict == "equivalent" for one in each) for each in margin]),
        0.0,
        ALPHA,
    )

    def some(rng: np.random.Generator) -> Numbers:
        return rng.normal(0, 1.5 * mde, world.contrasts) * rng.integers(2, size=world.contrasts)

    mixed = many(world, some, design, count)
    every = [each for each in null + mixed if each]
    theirs = clustered([[covers(one.plain_interval, one.truth) for one in each] for each in every])
    ledger.hold(
        f"{name}: coverage of 95 % intervals",
        clustered([[covers(one.interval, one.truth) for one in each] for each in every]),
        0.93,
        0.97,
        f"; plain t {theirs.value:.4f}",
    )
    # Screening prefers what looks good, so an estimate it flattered would be too low.
    turned = many(world, some, design, count, mirrored=True)
    both = [[*one, *other] for one, other in zip(mixed, turned, strict=True) if one]
    bias = clustered([[(one.planned - one.truth) / mde for one in each] for each in both])
    reach = NormalDist().inv_cdf(1 - ALPHA / (2 * biases))
    ledger.hold(
        f"{name}: bias that screening leaves, in sd", bias, -ROUNDING, ROUNDING, errors=reach
    )
    early = [[one for one in each if one.seeds < seeds] for each in both]
    if any(early):
        further = clustered(
            [
                [math.copysign(1 / mde, one.effect) * (one.effect - one.planned) for one in each]
                for each in early
            ]
        )
        words = f"stopped early, {further.value:.3f} ± {further.error:.3f} sd too far from 0"
        ledger.note(
            f"{name}: overstatement where stopped, in sd",
            further.as_json(),
            f"    {name}: {further.count / sum(map(len, both)):.1%} {words}",
        )
    used = float(np.mean([one.seeds for each in mixed for one in each]))
    ledger.note(f"{name}: seeds used", used, f"    {name}: {used:.2f} seeds a contrast, mixed")


def promised(world: World, seeds: int, looks: int, count: int, ledger: Ledger) -> None:
    """Power against what was promised when the screens were in: one true effect among nulls.

    The promise is of a contrast of the campaign, whichever, by the noise of all of them, so each
    has the effect in turn: one that is noisier than the rest has less power, a quieter one more.
    """
    sd = math.sqrt(float(np.mean(world.difference_sd**2)))
    counts = planned_looks(seeds, looks)
    alpha = level_at(ALPHA / FAMILY, counts, len(counts) - 1)
    own = SCREEN - 1 + seeds - 1
    # An effect near the 60 % where a wrong promise shows most.
    effect = sd * (3.1 if seeds == 3 else 1.9 if seeds == 5 else 1.35)
    design = Design(SCREEN, seeds, FAMILY, sd, ALPHA, looks, forced=True)
    effects = np.zeros(world.contrasts)
    effects[0] = effect
    share_of = max(1, count // world.contrasts)
    found = [
        each
        for place in range(world.contrasts)
        for each in many(
            world.led_by(place), lambda rng: effects, design, share_of, first=place * share_of
        )
    ]
    told = []
    for each in found:
        prior = each[0].prior
        expected, df = (
            (sd, own) if prior is None else (prior.pooled or prior.scale, own + prior.df)
        )
        told.append(power(effect, sd=expected, pairs=seeds, df=df, alpha=alpha))
    gap = [float(each[0].confirmed) - one for each, one in zip(found, told, strict=True)]
    plain = share([each[0].plain_confirmed for each in found])
    real = share([each[0].confirmed for each in found])
    error = float(np.std(gap, ddof=1) / math.sqrt(len(gap)))
    ledger.hold(
        f"{world.name}, {seeds} seeds: power minus promise",
        Share(float(np.mean(gap)), error, len(gap)),
        -0.05,
        0.05,
        f"; power {real.value:.3f}, promised {np.mean(told):.3f}, plain t {plain.value:.3f}",
    )


def published_world() -> tuple[World, VariancePrior]:
    """Full-scale runs as the bundled records show them, and the prior they give."""
    board = extract_leaderboard(EVIDENCE)
    found, prior = published_spread(board), published_prior(board)
    if found is None or prior is None:
        raise InputError("the bundled records tell no seed spread", where=EVIDENCE)
    run_sd = math.sqrt(found[0].variance)
    return independent_world("published", run_sd, CONTRASTS), prior


def own_world(bench: Bench, seeds: int) -> World:
    """The scatter of runs made here."""
    return world_of("own", scores(bench.run(catalog_contrasts(), range(1, seeds + 1))))


def real_aa(bench: Bench, families: int, ledger: Ledger) -> None:
    """Twenty real A/A contrasts of either kind."""
    with tempfile.TemporaryDirectory(prefix="statistics-") as folder:
        again = twice(bench, max(1, families - 1), Path(folder))
    same = _verdicts(bench, again, ())
    identical = [one == ("equivalent", 0.0) for one in same]
    ledger.hold("aa: recomputed runs that differ", share([not one for one in identical]), 0.0, 0.0)
    wrong, differences = list[bool](), list[float]()
    for family in range(families):
        first = 101 + 10 * family
        seeds = range(first, first + 5)
        found = bench.run(no_ops(), seeds)
        screens = [
            runs.model_copy(update={"phase": "screen", "pairs": runs.pairs[:2]}) for runs in found
        ]
        fresh = [runs.model_copy(update={"pairs": runs.pairs[2:]}) for runs in found]
        table = scores(found)
        differences += list((table[:, 1:] - table[:, :1]).ravel())
        told = _verdicts(bench, [*screens, *fresh], tuple(seeds[:2]))
        wrong.append(any(verdict.startswith("confirmed") for verdict, _ in told))
    floor = float(np.std(differences))
    ledger.note("aa: no-op differences, sd", floor, f"  no-op: sd {floor:.5f} bpb of a difference")
    ledger.hold("aa: families of no-ops with a confirmation", share(wrong), 0.0, ALPHA)


def _verdicts(
    bench: Bench, runs: Sequence[ContrastRuns], screen: tuple[int, ...]
) -> list[tuple[str, float | None]]:
    seeds = {pair.seed for each in runs if each.phase == "confirm" for pair in each.pairs}
    raw = RawRuns(
        cycle=1,
        platform=bench.platform,
        screen_seeds=screen,
        confirm_seeds=tuple(sorted(seeds)),
        runs=tuple(runs),
    )
    found = analyse(raw, alpha=ALPHA, mde=0.002)
    return [(one.verdict, one.effect) for one in found.results if one.phase == "confirm"]


def bought(
    world: World,
    prior: VariancePrior | None,
    effect: float,
    family: int,
    looks: int,
    count: int,
    ledger: Ledger,
    *,
    must: bool,
) -> None:
    """Seeds to confirm one true effect in a family, moderated with looks against plain."""
    sd, name = float(world.difference_sd[0]), f"{world.name}, family of {family}, {looks} looks"
    plain = pairs_needed(effect, sd=sd, prior_df=0, alpha=EFFECT_ALPHA / family, most=400)
    if plain is None:
        return
    effects = np.zeros(world.contrasts)
    effects[0] = effect
    for seeds in range(2, plain + 1):
        design = Design(
            SCREEN, seeds, family, effect, EFFECT_ALPHA, looks, forced=True, prior=prior
        )
        found = [each[0] for each in many(world, lambda rng: effects, design, count)]
        real = share([one.confirmed for one in found])
        if real.value >= POWER:
            break
    used = float(np.mean([one.seeds for one in found]))
    error = float(np.std([one.seeds for one in found]) / math.sqrt(count))
    beside = share([one.plain_confirmed for one in found])
    words = (
        f"; {used:.2f} of at most {seeds} seeds on average, power {real.value:.3f} "
        f"(plain t at {seeds}: {beside.value:.3f}), plain t needs {plain}"
    )
    found_ratio = Share(used / plain, error / plain, count)
    key = f"{name}: seeds beside the plain t's"
    if must:
        ledger.hold(key, found_ratio, 0.0, 0.5, words)
    else:
        ledger.note(key, found_ratio.as_json(), f"    {key}: {used / plain:.3f}{words}")


def main(
    part: Annotated[list[str] | None, typer.Option(help=f"of {', '.join(PARTS)}")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="a tenth of it, no promise on it")
    ] = False,
    campaigns: Annotated[int, typer.Option(min=20, help="simulated, for each figure")] = 2000,
    real_seeds: Annotated[int, typer.Option(min=6, help="of the real runs")] = 20,
    looks: Annotated[int, typer.Option(min=1, help="planned looks of `power`")] = 3,
    ledger: Annotated[Path, typer.Option(help="where real runs are kept")] = LEDGER,
    published_only: Annotated[
        bool, typer.Option("--published-only", help="no real runs: simulate from the records")
    ] = False,
    json_only: Annotated[bool, typer.Option("--json", help="print the JSON line only")] = False,
) -> None:
    """Hold error rates, real A/A contrasts and the seeds spared against what is promised."""
    parts = part or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        raise InputError(f"no part {min(unknown)!r}", where="--part", mend=", ".join(PARTS))
    count, families = (max(20, campaigns // 10), 1) if quick else (campaigns, 4)
    say: Callable[[str], None] = (lambda text: None) if json_only else print
    book = Ledger(lambda text: say(text) or sys.stdout.flush())
    published, prior = published_world()
    worlds, bench = [published], None
    if not published_only:
        bench = open_bench(ledger, quiet=json_only)
        worlds.append(own_world(bench, 6 if quick else real_seeds))
    for world in worlds:
        spread = f"{np.median(world.difference_sd):.5f}"
        told = world.covariance
        r = float(np.median(told[0, 1:] / np.sqrt(told[0, 0] * np.diag(told)[1:])))
        book.note(
            f"{world.name}: world",
            {"difference_sd": float(np.median(world.difference_sd)), "correlation": round(r, 3)},
            f"{world.name}: a difference scatters by {spread} bpb, arms correlate by {r:.2f}",
        )
    if "errors" in parts:
        designs = [*((seeds, 1) for seeds in SEEDS), (5, 2)]
        for world in worlds:
            for seeds, tried in designs:
                errors(world, seeds, tried, count, book, biases=len(worlds) * len(designs))
            for seeds in SEEDS:
                promised(world, seeds, 1, count, book)
    if "aa" in parts and bench is not None:
        real_aa(bench, families, book)
    if "power" in parts:
        for family in (1, FAMILY):
            for tried in sorted({1, 2, looks}):
                bought(published, prior, EFFECT, family, tried, count, book, must=tried == looks)
        for world in worlds[1:]:
            # The same effect beside the noise: 0.002 bpb itself would take hundreds of seeds.
            ratio = float(world.difference_sd[0] / published.difference_sd[0])
            bought(world, None, EFFECT * ratio, FAMILY, looks, count, book, must=False)
    print(json.dumps({"kept": not book.broken, "broken": book.broken, "figures": book.rows}))
    if book.broken:
        raise typer.Exit(1)
