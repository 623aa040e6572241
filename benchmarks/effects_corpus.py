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
for all contrasts, and without those whose sign everybody knows (`KNOWN`). Most of what is
published helps, so the share of right signs flatters who calls everything better; beside it stand
the mean of the shares over what helps and what harms, and the signs that a method is sure of.
How often two of the READMEs left out agree with each other in sign says what can be reached.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from math import isnan, nan, pi, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, linregress, rankdata

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
OURS = ("observed", "combined")
RIVALS = ("naive", "naive, medians", "always better", "reported")
# Gains of a stage on one checkpoint: that rounding costs and that more context and adapting to
# the text help is what they are for.
KNOWN = frozenset({"quant_bits", "sliding_window_eval", "ttt"})
LEAST_ROWS = 2  # with a level, before its mean is compared
LEAST_TOLD = 5  # contrasts, before figures over them are given

Numbers = NDArray[np.float64]
Statistic = Callable[[Numbers, Numbers], float]


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


def sign_agreement(claims: Numbers, truth: Numbers) -> float:
    """Return the share of equal signs; a claim or truth of 0 has none and counts a half."""
    return float(np.mean(np.sign(claims) * np.sign(truth)) / 2 + 0.5)


def spearman(claims: Numbers, truth: Numbers) -> float:
    """Return the rank correlation, NaN where one side is constant."""
    one, other = rankdata(claims), rankdata(truth)
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return nan
    return float(np.corrcoef(one, other)[0, 1])


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float],
    groups: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> tuple[float, float] | None:
    """Return the 95 % percentile interval over resamples of whole groups.

    Args:
        statistic: of the rows that it is given the places of.
        groups: the rows' groups, (n,).
        resamples: how many.
        seed: of the resampling.

    Returns:
        None with fewer than two groups.
    """
    names, codes = np.unique(np.array(groups), return_inverse=True)
    if len(names) < 2:
        return None
    members = [np.flatnonzero(codes == code) for code in range(len(names))]
    rng = np.random.default_rng(seed)
    values = [
        statistic(
            np.concatenate([members[one] for one in rng.integers(0, len(names), len(names))])
        )
        for _ in range(resamples)
    ]
    low, high = np.nanquantile(values, (0.025, 0.975))
    return round(float(low), 3), round(float(high), 3)


def _share(agree: int, of: int) -> dict[str, Any]:
    """Return a share with its exact binomial interval."""
    exact = binomtest(agree, of).proportion_ci(method="exact")
    interval = round(float(exact.low), 3), round(float(exact.high), 3)
    return {"agree": agree, "of": of, "share": round(agree / of, 3), "interval": interval}


def signs(claims: Numbers, truth: Numbers) -> dict[str, Any] | None:
    """Return how many signs agree; claims and truths of 0 have none and do not count."""
    products = claims * truth
    of = int(np.sum(products != 0))
    return _share(int(np.sum(products > 0)), of) if of else None


def balanced(claims: Numbers, truth: Numbers) -> float:
    """Return the mean of the agreement over what helps and over what harms.

    Who calls everything better has a half of it, however few things harm.
    """
    parts = [
        np.mean((np.sign(claims) == side)[truth * side > 0])
        for side in (-1, 1)
        if np.any(truth * side > 0)
    ]
    return float(np.mean(parts)) if len(parts) == 2 else nan


def figures(contrasts: Sequence[Held], method: str, **settings: int) -> dict[str, Any]:
    """Return a method's coverage, signs and ranks over the contrasts that it speaks of.

    The signs' interval is the exact binomial one, which takes contrasts for independent; the
    others resample whole variables. `sure` counts the contrasts for which the method's own 95 %
    interval excludes zero, `surest_half` the half of which it is surest.
    """
    told = [one for one in contrasts if not isnan(one.claims[method].effect)]
    found: dict[str, Any] = {"covered": len(told), "refused": len(contrasts) - len(told)}
    if len(told) < LEAST_TOLD:
        return found
    claims = np.array([one.claims[method].effect for one in told])
    truth = np.array([one.effect for one in told])
    groups = [one.variable for one in told]
    found["sign"] = signs(claims, truth)
    sureness = np.array([one.claims[method].sureness for one in told])
    if not np.isnan(sureness).all():
        sure = sureness > 1
        found["sure"] = signs(claims[sure], truth[sure])
        half = np.argsort(-sureness, kind="stable")[: len(told) // 2]
        found["surest_half"] = signs(claims[half], truth[half])
        found["median_error"] = round(float(np.median(np.abs(claims - truth))), 5)
    for name, statistic in (("balanced", balanced), ("spearman", spearman)):

        def of_rows(rows: NDArray[np.intp], statistic: Statistic = statistic) -> float:
            return statistic(claims[rows], truth[rows])

        whole = statistic(claims, truth)
        if not isnan(whole):
            interval = bootstrap(of_rows, groups, **settings)
            found[name] = {"value": round(whole, 3), "interval": interval}
    return found


def duel(contrasts: Sequence[Held], mine: str, other: str, **settings: int) -> dict[str, Any]:
    """Return two methods' figures over the contrasts that both speak of, and their difference.

    `signs_only` counts the contrasts on which just one has the sign right, with the exact
    two-sided probability of so uneven a split (McNemar). The differences' intervals resample
    whole variables.
    """
    both = [
        one
        for one in contrasts
        if not isnan(one.claims[mine].effect) and not isnan(one.claims[other].effect)
    ]
    found: dict[str, Any] = {
        "contrasts": len(both),
        mine: figures(both, mine, **settings),
        other: figures(both, other, **settings),
    }
    if len(both) < LEAST_TOLD:
        return found
    ours = np.array([one.claims[mine].effect for one in both])
    theirs = np.array([one.claims[other].effect for one in both])
    truth = np.array([one.effect for one in both])
    right, rival = (one * truth > 0 for one in (ours, theirs))
    alone, beaten = int(np.sum(right & ~rival)), int(np.sum(rival & ~right))
    chance = binomtest(alone, alone + beaten).pvalue if alone + beaten else 1.0
    found["signs_only"] = {mine: alone, other: beaten, "p": round(float(chance), 4)}
    groups = [one.variable for one in both]
    for name, statistic in (
        ("sign", sign_agreement),
        ("balanced", balanced),
        ("spearman", spearman),
    ):

        def ahead(rows: NDArray[np.intp], statistic: Statistic = statistic) -> float:
            return statistic(ours[rows], truth[rows]) - statistic(theirs[rows], truth[rows])

        whole = ahead(np.arange(len(both)))
        if not isnan(whole):
            interval = bootstrap(ahead, groups, **settings)
            found[f"{name}_ahead"] = {"value": round(whole, 3), "interval": interval}
    return found


def concord(contrasts: Sequence[Held]) -> dict[str, Any] | None:
    """Return how often two reports of one contrast agree in sign, every contrast counting once."""
    shares = [
        np.mean([one * other > 0 for one, other in combinations(told, 2)])
        for held in contrasts
        if len(told := [one for one in held.reported if one != 0]) > 1
    ]
    if not shares:
        return None
    return {"contrasts": len(shares), "share": round(float(np.mean(shares)), 3)}


def summary(contrasts: Sequence[Held], *, resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Return all figures: every method on its own, and ours beside the others on common ones."""
    scopes = {
        "all": list(contrasts),
        "sign not known beforehand": [one for one in contrasts if one.variable not in KNOWN],
    }
    found: dict[str, Any] = {}
    for scope, chosen in scopes.items():
        settings = {"resamples": resamples, "seed": seed}
        found[scope] = {
            "contrasts": len(chosen),
            "variables": len({one.variable for one in chosen}),
            "reports": sum(len(one.reported) for one in chosen),
            "two_reports": concord(chosen),
            "methods": {method: figures(chosen, method, **settings) for method in METHODS},
            "beside": {
                f"{mine} / {other}": duel(chosen, mine, other, **settings)
                for mine in OURS
                for other in RIVALS
            },
        }
    return found


def rows(contrasts: Sequence[Held]) -> list[dict[str, Any]]:
    """Return the contrasts themselves, for who wants to see which are missed."""
    return [
        {
            "fold": one.fold,
            "variable": one.variable,
            "before": one.before,
            "after": one.after,
            "reports": len(one.reported),
            "effect": round(one.effect, 6),
            **{
                name: None if isnan(claim.effect) else round(claim.effect, 6)
                for name, claim in one.claims.items()
            },
        }
        for one in contrasts
    ]


HEADS = ("sign", "balanced", "sure", "surest half", "Spearman")


def _interval(pair: Sequence[float] | None) -> str:
    return "" if pair is None else f" [{pair[0]:.2f}, {pair[1]:.2f}]"


def _cells(row: Mapping[str, Any]) -> str:
    cells = []
    for head in HEADS:
        one = row.get(head.casefold().replace(" ", "_"))
        if not one:
            cells.append("—")
        elif "share" in one:
            of = f" of {one['of']}" if head.startswith("sure") else ""
            cells.append(f"{one['share']:.2f}{_interval(one['interval'])}{of}")
        else:
            cells.append(f"{one['value']:.2f}{_interval(one['interval'])}")
    return "".join(f"{cell:>25}" for cell in cells)


def show_corpus(told: Mapping[str, Any]) -> None:
    """Print the tables."""
    for scope, found in told.items():
        print(
            f"\nreal corpus, {scope}: {found['contrasts']} held-out contrasts "
            f"({found['variables']} variables, {found['reports']} reports)"
        )
        if two := found["two_reports"]:
            print(f"two of the reports of a contrast agree in sign in {two['share']:.0%}")
        print(f"{'':18}{'told':>5}" + "".join(f"{head:>25}" for head in HEADS))
        for method, row in found["methods"].items():
            print(f"{method:18}{row['covered']:>5}{_cells(row)}")
        print("on the contrasts of both:")
        for pair, row in found["beside"].items():
            mine, other = pair.split(" / ")
            for name in (mine, other):
                print(f"  {name:16}{row['contrasts']:>5}{_cells(row[name])}")
            ahead = [
                f"{name} {row[key]['value']:+.2f}{_interval(row[key]['interval'])}"
                for name in ("sign", "balanced", "Spearman")
                if (key := f"{name.casefold()}_ahead") in row
            ]
            if ahead:
                only = row["signs_only"]
                print(
                    f"  {mine} ahead: {', '.join(ahead)}; signs that only one has right "
                    f"{only[mine]} : {only[other]} (p = {only['p']:.3f})"
                )


def corpus_part(
    leaderboard: Leaderboard, *, folds: int, seed: int, resamples: int, pool: Executor | None
) -> dict[str, Any]:
    """Return what the benchmark prints of the real corpus."""
    contrasts = measure(leaderboard, folds=folds, seed=seed, pool=pool)
    families = lineage_clusters(leaderboard.submissions)
    return {
        "submissions": len(leaderboard.submissions),
        "families": len(set(families)),
        "folds": folds,
        "scopes": summary(contrasts, resamples=resamples, seed=seed),
        "contrasts": rows(contrasts),
    }
