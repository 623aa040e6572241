"""How near effects come to what READMEs report of submissions that they never saw.

Families of submissions (`lineage_clusters`) are dealt into folds. All that is of a fold's
families, their ablations and their rows of the table, leaves the fit; the median of what they
report of a contrast (one broken run among thirty would rule the mean) is then held against
  naive               difference of mean bpb between the submissions that use it and the others
  naive, medians      the same of medians, which no wild score moves
  always better       whatever comes into use helps, a yardstick for the signs
  reported            the other families' ablations alone
  observed            the pipeline's posterior without any report
  combined            its posterior with the reports of the other families
A number that an author also gives in the fit is no news and is not asked for. Everything is told
for all contrasts, and without those whose sign everybody knows (`effects_figures.KNOWN`). Most of
what is published helps, so the share of right signs flatters who calls everything better; beside
it stand the mean of the shares over what helps and what harms, and the signs that a method is sure
of. How often two of the READMEs left out agree with each other in sign says what can be reached.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from math import nan, pi, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import linregress

from interventions.vocabulary import Variable, load_variables
from scripts.causal.graph.coding import CodedVariable
from scripts.causal.graph.design import OUTCOME, Design, build_design
from scripts.causal.graph.effects import EffectsTable, estimate_effects
from scripts.causal.graph.estimate import estimate_data_graph, pag_of
from scripts.causal.graph.lineage import lineage_clusters
from scripts.causal.graph.reports import SAME_NUMBER, collect_reports
from scripts.causal.graph.schema import QUANTILE, Level
from scripts.causal.leaderboard.schema import Leaderboard

METHODS = ("naive", "naive, medians", "always better", "reported", "observed", "combined")
LEAST_ROWS = 2  # with a level, before its mean is compared

Numbers = NDArray[np.float64]


class Claim(NamedTuple):
    """An effect with its 95 % interval; NaN where a method gives none."""

    effect: float
    low: float = nan
    high: float = nan

    @property
    def sureness(self) -> float:
        """How far from zero it is in half-widths of its interval; above 1 it excludes zero."""
        half = (self.high - self.low) / 2
        return abs(self.effect) / half if half > 0 else nan


NO_CLAIM = Claim(nan)


@dataclass(frozen=True)
class Held:
    """A contrast of the families left out, and what each method says of it.

    Attributes:
        reported: their effects in bpb, after minus before, one per author.
        claims: method → its effect.
    """

    fold: int
    variable: str
    before: Level
    after: Level
    reported: tuple[float, ...]
    claims: Mapping[str, Claim]

    @property
    def effect(self) -> float:
        """Median of the reports."""
        return float(np.median(self.reported))


def deal(families: Sequence[str], folds: int, seed: int) -> dict[str, int]:
    """Return a fold for every family, with about as many submissions in each."""
    sizes = Counter(families)
    order = sorted(sizes)
    np.random.default_rng(seed).shuffle(order)
    fold_of, filled = {}, [0] * folds
    for family in sorted(order, key=lambda one: -sizes[one]):  # stable: equal ones stay shuffled
        fold_of[family] = filled.index(min(filled))
        filled[fold_of[family]] += sizes[family]
    return fold_of


def part_of(leaderboard: Leaderboard, kept: Sequence[bool]) -> Leaderboard:
    """Return the leaderboard of some of its submissions."""
    chosen = tuple(one for one, keep in zip(leaderboard.submissions, kept, strict=True) if keep)
    return leaderboard.model_copy(update={"submissions": chosen})


def _cells_at(coded: CodedVariable, level: Level) -> Numbers:
    """Return which rows have a level; those of which nothing is said are without, (n,)."""
    off = [one == coded.off for one in coded.values]
    if isinstance(level, bool):
        flags = [not one for one in off] if level else off
    else:
        flags = [not isinstance(one, bool) and one == level for one in coded.values]
    return np.array(flags, dtype=bool)


def _mean(bpb: Numbers) -> tuple[float, float]:
    """Return the mean and its standard error."""
    return float(bpb.mean()), float(bpb.std(ddof=1) / sqrt(len(bpb)))


def _median(bpb: Numbers) -> tuple[float, float]:
    """Return the median and its standard error, were the middle of the scores normal."""
    median = float(np.median(bpb))
    scale = 1.4826 * float(np.median(np.abs(bpb - median)))
    return median, sqrt(pi / 2) * scale / sqrt(len(bpb))


def naive_difference(
    design: Design,
    variable: str,
    before: Level,
    after: Level,
    middle: Callable[[Numbers], tuple[float, float]] = _mean,
) -> Claim:
    """Return the difference of middles between the submissions at two levels.

    Between two numbers that hardly anybody has, the slope of the straight line through all
    submissions that say a number takes its place.
    """
    coded = design.coded[variable]
    bpb = design.table[OUTCOME].to_numpy(dtype=float)
    groups = [bpb[_cells_at(coded, level)] for level in (before, after)]
    if min(map(len, groups)) >= LEAST_ROWS:
        (before_bpb, one), (after_bpb, other) = map(middle, groups)
        return _claim(after_bpb - before_bpb, sqrt(one**2 + other**2))
    ends = [float(one) for one in (before, after) if not isinstance(one, bool | str)]
    if coded.kind != "numeric" or len(ends) < 2:
        return NO_CLAIM
    told = np.array([one != "unknown" for one in coded.origins])
    numbers = np.array(coded.values, dtype=float)[told]
    if len(numbers) < LEAST_ROWS or np.ptp(numbers) == 0:
        return NO_CLAIM
    line = linregress(numbers, bpb[told])
    step = ends[1] - ends[0]
    return _claim(float(line.slope) * step, float(line.stderr) * abs(step))


def _claim(effect: float, se: float) -> Claim:
    return Claim(effect, effect - QUANTILE * se, effect + QUANTILE * se)


def _posterior(table: EffectsTable, variable: str, before: Level, after: Level) -> Claim:
    """Return the posterior, nothing where only the prior stands behind it."""
    effect = table.effect(variable, before, after)
    told = any(one.source != "prior" for one in effect.weights)
    return Claim(effect.mean, effect.low, effect.high) if told else NO_CLAIM


def _meta_analysis(table: EffectsTable, variable: str, before: Level, after: Level) -> Claim:
    for one in table.estimates.get(variable, ()):
        if one.source == "reported" and (one.before, one.after) == (before, after):
            return Claim(one.effect, one.low, one.high)
    return NO_CLAIM


def _coming_into_use(before: Level, after: Level) -> Claim:
    """Return -1 where something comes into use, nothing for another kind of change."""
    off = (False, 0, "none")
    return Claim(-1.0) if before in off and after not in off else NO_CLAIM


def news(
    leaderboard: Leaderboard, held: Sequence[bool], variables: Mapping[str, Variable]
) -> Iterator[tuple[str, Level, Level, Sequence[float]]]:
    """Yield each contrast that the held-out families report, with their effects.

    Without a number that the same author gives for the contrast in the rest.
    """
    rest = part_of(leaderboard, [not one for one in held])
    known = collect_reports(rest, variables).by_contrast
    found = collect_reports(part_of(leaderboard, held), variables).by_contrast
    for (variable, contrast), reports in found.items():
        told = known.get((variable, contrast), ())
        fresh = [
            one.effect
            for one in reports
            if not any(
                one.author == other.author and abs(one.effect - other.effect) < SAME_NUMBER
                for other in told
            )
        ]
        if fresh:
            yield variable, *contrast, fresh


def measure_fold(
    fold: int, leaderboard: Leaderboard, fold_of: Mapping[str, int]
) -> tuple[Held, ...]:
    """Return the contrasts of one fold's families, with what the others' submissions say."""
    variables = load_variables()
    held = [fold_of[family] == fold for family in lineage_clusters(leaderboard.submissions)]
    rest = part_of(leaderboard, [not one for one in held])
    design = build_design(rest, variables=variables)
    pag = pag_of(estimate_data_graph(rest, bootstraps=0))
    observed, combined = (
        estimate_effects(rest, design, pag, variables, use_reported=reports)
        for reports in (False, True)
    )
    found = []
    for variable, before, after, effects in news(leaderboard, held, variables):
        contrast = variable, before, after
        claims = {
            "naive": naive_difference(design, *contrast),
            "naive, medians": naive_difference(design, *contrast, middle=_median),
            "always better": _coming_into_use(before, after),
            "reported": _meta_analysis(combined, *contrast),
            "observed": _posterior(observed, *contrast),
            "combined": _posterior(combined, *contrast),
        }
        found.append(Held(fold, *contrast, tuple(effects), claims))
    return tuple(found)


def measure(
    leaderboard: Leaderboard, *, folds: int, seed: int, pool: Executor | None = None
) -> tuple[Held, ...]:
    """Return every fold's contrasts; the same seed deals the same folds."""
    fold_of = deal(lineage_clusters(leaderboard.submissions), folds, seed)
    one = partial(measure_fold, leaderboard=leaderboard, fold_of=fold_of)
    parts = (map if pool is None else pool.map)(one, range(folds))
    return tuple(held for part in parts for held in part)
