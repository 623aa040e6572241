"""Signs and ranks of claimed effects against reported ones, with intervals, and their tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from itertools import combinations
from math import isnan, nan
from typing import Any

import numpy as np
from effects_corpus import METHODS, Held, Numbers, measure
from numpy.typing import NDArray
from scipy.stats import binomtest, rankdata

from scripts.causal.graph.lineage import lineage_clusters
from scripts.causal.leaderboard.schema import Leaderboard

OURS = ("observed", "combined")
RIVALS = ("naive", "naive, medians", "always better", "reported")
# Gains of a stage on one checkpoint: that rounding costs and that more context and adapting to
# the text help is what they are for.
KNOWN = frozenset({"quant_bits", "sliding_window_eval", "ttt"})
LEAST_TOLD = 5  # contrasts, before figures over them are given
HEADS = ("sign", "balanced", "sure", "surest half", "Spearman")

Statistic = Callable[[Numbers, Numbers], float]


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
