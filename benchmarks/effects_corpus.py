"""How near effects come to what READMEs report of submissions that they never saw.

Families of submissions (`lineage_clusters`) are dealt into folds. All that is of a fold's
families, their ablations and their rows of the table, leaves the fit; what they report of a
contrast is then held against
  naive               difference of mean bpb between the submissions that use it and the others
  naive, medians      the same of medians, which no wild score moves
  always better       whatever comes into use helps, a yardstick for the signs
  reported            the other families' ablations alone
  observed            the pipeline's posterior without any report
  combined            its posterior with the reports of the other families
A number that an author also gives in the fit is no news and is not asked for. Everything is told
for all contrasts, and without those whose sign everybody knows (`KNOWN`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, rankdata

from interventions.vocabulary import Variable, load_variables
from scripts.causal.graph.coding import CodedVariable
from scripts.causal.graph.design import OUTCOME, Design, build_design
from scripts.causal.graph.effects import EffectsTable, estimate_effects
from scripts.causal.graph.estimate import estimate_data_graph, pag_of
from scripts.causal.graph.lineage import lineage_clusters
from scripts.causal.graph.reported import SAME_NUMBER, collect_reports
from scripts.causal.graph.schema import Level
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


@dataclass(frozen=True)
class Held:
    """A contrast of the families left out, and what each method says of it.

    Attributes:
        effect: mean over their reports in bpb, after minus before.
        reports: how many.
        claims: method → effect; NaN where it gives none.
    """

    fold: int
    variable: str
    before: Level
    after: Level
    effect: float
    reports: int
    claims: Mapping[str, float]


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


def naive_difference(
    design: Design,
    variable: str,
    before: Level,
    after: Level,
    middle: Callable[[Numbers], Any] = np.mean,
) -> float:
    """Return the difference of middles between the submissions at two levels.

    Between two numbers that hardly anybody has, the slope of the straight line through all
    submissions that say a number takes its place. NaN where there is nothing to compare.
    """
    coded = design.coded[variable]
    bpb = design.table[OUTCOME].to_numpy(dtype=float)
    groups = [bpb[_cells_at(coded, level)] for level in (before, after)]
    if min(map(len, groups)) >= LEAST_ROWS:
        return float(middle(groups[1]) - middle(groups[0]))
    ends = [one for one in (before, after) if not isinstance(one, bool | str)]
    if coded.kind != "numeric" or len(ends) < 2:
        return nan
    told = np.array([one != "unknown" for one in coded.origins])
    numbers = np.array(coded.values, dtype=float)
    if told.sum() < LEAST_ROWS or np.ptp(numbers[told]) == 0:
        return nan
    slope = np.polyfit(numbers[told], bpb[told], 1)[0]
    return float(slope * (ends[1] - ends[0]))


def _posterior(table: EffectsTable, variable: str, before: Level, after: Level) -> float:
    """Return the posterior's mean, NaN where nothing but the prior stands behind it."""
    effect = table.effect(variable, before, after)
    told = any(one.source != "prior" for one in effect.weights)
    return effect.mean if told else nan


def _meta_analysis(table: EffectsTable, variable: str, before: Level, after: Level) -> float:
    for one in table.estimates.get(variable, ()):
        if one.source == "reported" and (one.before, one.after) == (before, after):
            return one.effect
    return nan


def _coming_into_use(before: Level, after: Level) -> float:
    """Return -1 where something comes into use, NaN for another kind of change."""
    off = (False, 0, "none")
    return -1.0 if before in off and after not in off else nan


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
            "naive, medians": naive_difference(design, *contrast, middle=np.median),
            "always better": _coming_into_use(before, after),
            "reported": _meta_analysis(combined, *contrast),
            "observed": _posterior(observed, *contrast),
            "combined": _posterior(combined, *contrast),
        }
        found.append(Held(fold, *contrast, float(np.mean(effects)), len(effects), claims))
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


def figures(contrasts: Sequence[Held], method: str, **settings: int) -> dict[str, Any]:
    """Return a method's coverage, signs and ranks over the contrasts that it speaks of.

    The signs' interval is the exact binomial one, which takes contrasts for independent; that of
    the ranks resamples whole variables.
    """
    told = [one for one in contrasts if not np.isnan(one.claims[method])]
    found: dict[str, Any] = {"covered": len(told), "refused": len(contrasts) - len(told)}
    if len(told) < LEAST_TOLD:
        return found
    claims = np.array([one.claims[method] for one in told])
    truth = np.array([one.effect for one in told])
    right = int(np.sum(claims * truth > 0))
    signed = int(np.sum(claims * truth != 0))
    if signed:
        exact = binomtest(right, signed).proportion_ci(method="exact")
        interval = round(float(exact.low), 3), round(float(exact.high), 3)
        found["sign"] = {"agree": right, "of": signed, "share": round(right / signed, 3)}
        found["sign"]["interval"] = interval
    variables = [one.variable for one in told]

    def ranks(rows: NDArray[np.intp]) -> float:
        return spearman(claims[rows], truth[rows])

    whole = spearman(claims, truth)
    if not np.isnan(whole):
        found["spearman"] = {
            "value": round(whole, 3),
            "interval": bootstrap(ranks, variables, **settings),
        }
        found["median_error"] = round(float(np.median(np.abs(claims - truth))), 5)
    return found


def duel(contrasts: Sequence[Held], mine: str, other: str, **settings: int) -> dict[str, Any]:
    """Return two methods' figures over the contrasts that both speak of, and their difference.

    `signs_only` counts the contrasts on which just one has the sign right, with the exact
    two-sided probability of so uneven a split (McNemar). The differences' intervals resample
    whole variables.
    """
    both = [one for one in contrasts if not np.isnan([one.claims[mine], one.claims[other]]).any()]
    found: dict[str, Any] = {
        "contrasts": len(both),
        mine: figures(both, mine, **settings),
        other: figures(both, other, **settings),
    }
    if len(both) < LEAST_TOLD:
        return found
    ours = np.array([one.claims[mine] for one in both])
    theirs = np.array([one.claims[other] for one in both])
    truth = np.array([one.effect for one in both])
    right, wrong = (np.sign(one) == np.sign(truth) for one in (ours, theirs))
    alone, beaten = int(np.sum(right & ~wrong)), int(np.sum(wrong & ~right))
    chance = binomtest(alone, alone + beaten).pvalue if alone + beaten else 1.0
    found["signs_only"] = {mine: alone, other: beaten, "p": round(float(chance), 4)}
    variables = [one.variable for one in both]
    for name, statistic in (("sign", sign_agreement), ("spearman", spearman)):

        def ahead(rows: NDArray[np.intp], statistic: Statistic = statistic) -> float:
            return statistic(ours[rows], truth[rows]) - statistic(theirs[rows], truth[rows])

        whole = ahead(np.arange(len(both)))
        if not np.isnan(whole):
            found[f"{name}_ahead"] = {
                "value": round(whole, 3),
                "interval": bootstrap(ahead, variables, **settings),
            }
    return found


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
            "reports": sum(one.reports for one in chosen),
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
            "reports": one.reports,
            "effect": round(one.effect, 6),
            **{name: None if np.isnan(c) else round(c, 6) for name, c in one.claims.items()},
        }
        for one in contrasts
    ]


def _interval(pair: Sequence[float] | None) -> str:
    return "" if pair is None else f" [{pair[0]:.2f}, {pair[1]:.2f}]"


def show_corpus(told: Mapping[str, Any]) -> None:
    """Print the tables."""
    for scope, found in told.items():
        print(
            f"\nreal corpus, {scope}: {found['contrasts']} held-out contrasts "
            f"({found['variables']} variables, {found['reports']} reports)"
        )
        print(f"{'':28}{'told':>6}{'refused':>9}{'sign':>22}{'Spearman':>23}")
        for method, row in found["methods"].items():
            print(f"{method:28}{row['covered']:>6}{row['refused']:>9}{_cells(row)}")
        print("on the contrasts of both:")
        for pair, row in found["beside"].items():
            mine, other = pair.split(" / ")
            for name in (mine, other):
                print(f"  {name:26}{row['contrasts']:>6}{'':9}{_cells(row[name])}")
            ahead = [
                f"{name} {row[key]['value']:+.2f}{_interval(row[key]['interval'])}"
                for name, key in (("sign", "sign_ahead"), ("Spearman", "spearman_ahead"))
                if key in row
            ]
            if ahead:
                only = row["signs_only"]
                print(
                    f"  {mine} ahead: {', '.join(ahead)}; signs that only one has right "
                    f"{only[mine]} : {only[other]} (p = {only['p']:.3f})"
                )


def _cells(row: Mapping[str, Any]) -> str:
    sign, ranks = row.get("sign"), row.get("spearman")
    one = f"{sign['share']:.2f}{_interval(sign['interval'])}" if sign else "—"
    other = f"{ranks['value']:.2f}{_interval(ranks['interval'])}" if ranks else "—"
    return f"{one:>22}{other:>23}"


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
