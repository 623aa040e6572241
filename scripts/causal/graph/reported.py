"""Effects that READMEs report: random-effects meta-analysis of their single-change ablations.

Reports scatter far more than their seeds do, for each was measured on another stack; that scatter
is the heterogeneity. Two to five reports hardly tell it: like few seeds, they borrow from the
scatter of all other contrasts (`scripts.causal.stats.moderated`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import median

import numpy as np
from scipy.stats import chi2

from interventions.vocabulary import Variable
from scripts.causal.graph.regression import LEAST_SHARPNESS, tail_of
from scripts.causal.graph.reports import Report, collect_reports
from scripts.causal.graph.schema import Estimate, Level
from scripts.causal.leaderboard.schema import Leaderboard
from scripts.causal.stats import moderated
from scripts.causal.stats.paired import Estimate as Mean
from scripts.causal.stats.paired import interval

LEAST_SEED_DF = 5  # of the variance of a seed, without which no report has an error of its own
LEAST_FOR_TAILS = 8  # reports; a tail cannot be told from fewer


def seed_variance(leaderboard: Leaderboard) -> tuple[float, int]:
    """Return the variance of one seed's bpb within submissions, and its df.

    The median over submissions, each divided by the median of its χ²/df, so that the few that
    list different evaluations as seeds do not count (pooled, they would make it 200 times larger).
    """
    scaled, df = [], 0
    for submission in leaderboard.submissions:
        scores = [one.val_bpb for one in submission.seeds if one.val_bpb is not None]
        if len(scores) > 1:
            own = len(scores) - 1
            scaled.append(float(np.var(scores, ddof=1)) * own / float(chi2.ppf(0.5, own)))
            df += own
    return (median(scaled) if scaled else 0.0), df


@dataclass(frozen=True)
class _Spread:
    """Between-report variance and its share of all, for one contrast."""

    tau2: float
    i_squared: float


def _heterogeneity(reports: Sequence[Report], within: float) -> _Spread:
    """Return the between-report variance by DerSimonian and Laird, at least 0, and I².

    As statsmodels' `combine_effects(method_re="chi2")`, which fails where the variance is
    estimated below zero or the reports are equal.
    """
    effects = np.array([one.effect for one in reports])
    weights = 1 / (within * np.array([one.inflation for one in reports]))
    q = float(np.sum(weights * (effects - np.average(effects, weights=weights)) ** 2))
    excess = q - (len(effects) - 1)
    if excess <= 0:
        return _Spread(0.0, 0.0)
    total = float(weights.sum())
    return _Spread(excess / (total - float(np.sum(weights**2)) / total), excess / q)


def _middle(reports: Sequence[Report], within: float, tau2: float) -> tuple[Mean, float]:
    """Return the mean effect with the spread of one report behind it, and τ.

    The standard error is the larger of the model's and of the sandwich's, which with equal weights
    is that of Hartung & Knapp (2001, Stat. Med. 20), on t with reports - 1 df. From eight reports
    on, those far out weigh less, as on a t distribution whose tail is estimated: one n-gram cache
    in the same README moves bpb by more than any technique. τ² is then no more than the squared
    scale of the bulk.
    """
    effects = np.array([one.effect for one in reports])
    inflation = np.array([one.inflation for one in reports])
    count = len(effects)
    weights = 1 / inflation
    sharp = 1.0
    if count >= LEAST_FOR_TAILS and np.ptp(effects) > 0:
        centre = float(np.median(effects))
        for _ in range(30):
            scaled = (effects - centre) / np.sqrt(inflation)
            df, scale2 = tail_of(scaled)
            u2 = scaled**2 / scale2
            bulk = (df + 1) / (df + u2)
            centre = float(np.average(effects, weights=bulk / inflation))
        weights = bulk / inflation
        slope = float(np.mean((df + 1) * (df - u2) / (df + u2) ** 2) / np.mean(bulk))
        sharp = min(max(slope, LEAST_SHARPNESS), 1.0)
        tau2 = min(tau2, max(scale2 - within, 0.0))
    mean = float(np.average(effects, weights=weights))
    model = (within + tau2) / float(np.sum(1 / inflation))
    variance = model
    if count > 1:
        residuals = weights * (effects - mean)
        knapp = float(residuals @ residuals) / float(weights.sum()) ** 2 * count / (count - 1)
        variance = max(model, knapp / sharp**2)
    # A lone report has no spread of its own: that of the median contrast is taken for known.
    freedom = count - 1 if count > 1 else inf
    return Mean(mean, sqrt(variance * count), freedom, count), sqrt(tau2)


def _estimate(contrast: tuple[Level, Level], mean: Mean, tau: float, i_squared: float) -> Estimate:
    """Return the combined effect with its 95 % interval."""
    low, high = interval(mean, 0.95) or (mean.mean, mean.mean)
    return Estimate(
        source="reported",
        before=contrast[0],
        after=contrast[1],
        effect=mean.mean,
        low=low,
        high=high,
        n=mean.pairs,
        tau=tau,
        i_squared=i_squared,
    )


def reported_effects(
    leaderboard: Leaderboard, variables: Mapping[str, Variable]
) -> dict[str, tuple[Estimate, ...]]:
    """Return per variable the meta-analytic effect of each contrast that READMEs report.

    A report's own variance is that of a difference of two single runs, 2 s², with s² taken from
    the seeds that submissions list (no estimates when those are too few). The spread that a
    contrast's few reports show is moderated by what all contrasts show. A contrast with one
    report borrows the median heterogeneity of those with several; when there are none, it is
    left out, for its interval would hold seed noise only.
    """
    noise, df = seed_variance(leaderboard)
    if df < LEAST_SEED_DF or noise <= 0:
        return {}
    within = 2 * noise
    reports = collect_reports(leaderboard, variables).by_contrast
    spreads = {
        key: _heterogeneity(group, within) for key, group in reports.items() if len(group) > 1
    }
    if not spreads:
        return {}
    borrowed = _Spread(
        median(one.tau2 for one in spreads.values()),
        median(one.i_squared for one in spreads.values()),
    )
    middles = {
        key: _middle(group, within, spreads.get(key, borrowed).tau2)
        for key, group in reports.items()
    }
    several = [middles[key][0] for key in spreads]
    prior = moderated.fit_prior([one.sd**2 for one in several], [one.df for one in several])
    found: dict[str, list[Estimate]] = defaultdict(list)
    for key, (mean, tau) in middles.items():
        if key in spreads:
            mean = moderated.moderate(mean, prior)
        i_squared = spreads.get(key, borrowed).i_squared
        found[key[0]].append(_estimate(key[1], mean, tau, i_squared))
    return {
        name: tuple(sorted(estimates, key=lambda one: (-one.n, one.contrast)))
        for name, estimates in found.items()
    }
