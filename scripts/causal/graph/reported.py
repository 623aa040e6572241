"""Effects that READMEs report: random-effects meta-analysis of their single-change ablations."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, median

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student
from statsmodels.stats.meta_analysis import combine_effects

from interventions.vocabulary import Variable
from scripts.causal.graph.schema import Estimate, Level
from scripts.causal.leaderboard.schema import Ablation, Leaderboard

OFF_WORDS = frozenset({"none", "no", "off", "without", "false", "disabled", "baseline"})
UNIT_WORDS = frozenset(
    {"layers", "layer", "blocks", "tokens", "token", "steps", "iters", "buckets", "stride"}
    | {"heads", "bits", "rate", "decay", "lr", "k", "x"}
)
LEAST_SEED_DF = 5


@dataclass(frozen=True)
class Report:
    """One submission's effect for one contrast, in bpb."""

    submission: str
    contrast: tuple[Level, Level]
    effect: float


def seed_variance(leaderboard: Leaderboard) -> tuple[float, int]:
    """Return the variance of one seed's bpb pooled within submissions, and its df."""
    squares, df = 0.0, 0
    for submission in leaderboard.submissions:
        scores = [one.val_bpb for one in submission.seeds if one.val_bpb is not None]
        if len(scores) > 1:
            squares += float(np.var(scores)) * len(scores)
            df += len(scores) - 1
    return (squares / df if df else 0.0), df


def can_be_off(variable: Variable) -> bool:
    """Say whether not using the variable is one of its values."""
    return variable.kind == "binary" or variable.baseline in (0, "none")


def off_level(variable: Variable) -> Level:
    """Return the value that stands for not using the variable."""
    return False if variable.kind == "binary" else variable.baseline


def read_level(variable: Variable, text: str | None) -> Level | None:
    """Return the value that an ablation row's words mean, None when they name none.

    A number must stand alone but for a unit ("stride 64", "4 layers"); "int6 roundtrip" is no 6,
    and 1.1036 is a score, not a number of layers.
    """
    words = re.findall(r"[a-z]+|\d+(?:[.,]\d+)*(?:e-?\d+)?", (text or "").casefold())
    if not words:
        return None
    if words[0] in OFF_WORDS:
        return off_level(variable)
    if variable.kind == "binary":
        return True
    if variable.kind == "categorical":
        plain = "_".join(re.findall(r"[a-z0-9]+", (text or "").casefold()))
        found = [one for one in variable.levels if re.search(rf"(^|_){one}(_|$)", plain)]
        return max(found, key=len) if found else None
    known = UNIT_WORDS | set(variable.id.split("_"))
    numbers = [word for word in words if word[0].isdigit()]
    if len(numbers) != 1 or any(word not in known for word in words if not word[0].isdigit()):
        return None
    try:
        value = float(numbers[0].replace(",", ""))
    except ValueError:
        return None
    if isinstance(variable.baseline, int) and round(value, 2) != value:
        return None
    if "k" in words:
        value *= 1000
    return value


def _rank(variable: Variable, level: Level) -> tuple[int, float, str]:
    """Order of levels, so that a → b and b → a become one contrast."""
    if level == off_level(variable):
        return (0, 0.0, "")
    return (1, 0.0, level) if isinstance(level, str) else (1, float(level), "")


def read_contrast(variable: Variable, row: Ablation) -> tuple[tuple[Level, Level], float] | None:
    """Return the contrast and its effect in bpb, control first; None when it is not clear.

    Rows in nats are left out: the factor to bpb is the submission's own and is not stated.
    """
    if row.kind != "single" or row.unit != "bpb":
        return None
    before, after = read_level(variable, row.from_), read_level(variable, row.to)
    off = off_level(variable)
    if can_be_off(variable):
        before = off if before is None else before
        after = True if after is None and variable.kind != "categorical" else after
    if before is None or after is None or before == after:
        return None
    effect = row.delta
    if variable.kind == "numeric" and can_be_off(variable) and off in (before, after):
        before, after = (off if one == off else True for one in (before, after))
    if _rank(variable, before) > _rank(variable, after):
        before, after, effect = after, before, -effect
    return (before, after), effect


def _collect(leaderboard: Leaderboard, variable: Variable) -> list[Report]:
    """Return one report per submission and contrast, its rows averaged."""
    rows: dict[tuple[str, tuple[Level, Level]], list[float]] = defaultdict(list)
    for submission in leaderboard.submissions:
        for row in submission.ablations:
            read = read_contrast(variable, row) if row.variable == variable.id else None
            if read is not None:
                rows[submission.id, read[0]].append(read[1])
    return [Report(name, contrast, fmean(effects)) for (name, contrast), effects in rows.items()]


def _heterogeneity(effects: Sequence[float], variance: float) -> float:
    """Return the between-report variance by DerSimonian and Laird, at least 0."""
    if max(effects) == min(effects):
        return 0.0  # combine_effects divides by Q, which is zero here
    result = combine_effects(np.array(effects), np.full(len(effects), variance), method_re="chi2")
    return max(float(result.tau2), 0.0)


def _estimate(
    contrast: tuple[Level, Level], effects: Sequence[float], within: float, tau2: float
) -> Estimate:
    """Return the combined effect with its 95 % interval.

    Equal within-report variances make the random-effects mean the plain mean; its standard error
    is the larger of the model's and of Hartung & Knapp's, on t with reports − 1 df.
    """
    count = len(effects)
    mean = fmean(effects)
    variance = (within + tau2) / count
    if count > 1:
        variance = max(variance, float(np.var(effects, ddof=1)) / count)
    quantile = float(student.ppf(0.975, count - 1) if count > 1 else norm.ppf(0.975))
    half = quantile * sqrt(variance)
    return Estimate(
        source="reported",
        before=contrast[0],
        after=contrast[1],
        effect=mean,
        low=mean - half,
        high=mean + half,
        n=count,
    )


def reported_effects(
    leaderboard: Leaderboard, variables: Mapping[str, Variable]
) -> dict[str, tuple[Estimate, ...]]:
    """Return per variable the meta-analytic effect of each contrast that READMEs report.

    A report's own variance is that of a difference of two single runs, 2 s², with s² pooled over
    the seeds that submissions list (no estimates when those are too few). A contrast with one
    report borrows the median heterogeneity of those with several; when there are none, it is
    left out, for its interval would hold seed noise only.
    """
    noise, df = seed_variance(leaderboard)
    if df < LEAST_SEED_DF or noise <= 0:
        return {}
    within = 2 * noise
    effects: dict[tuple[str, tuple[Level, Level]], list[float]] = defaultdict(list)
    for variable in variables.values():
        for report in _collect(leaderboard, variable):
            effects[variable.id, report.contrast].append(report.effect)
    spread = {
        key: _heterogeneity(values, within) for key, values in effects.items() if len(values) > 1
    }
    borrowed = median(spread.values()) if spread else None
    found: dict[str, list[Estimate]] = defaultdict(list)
    for (name, contrast), values in effects.items():
        tau2 = spread.get((name, contrast), borrowed)
        if tau2 is not None:
            found[name].append(_estimate(contrast, values, within, tau2))
    return {
        name: tuple(sorted(estimates, key=lambda one: (-one.n, one.contrast)))
        for name, estimates in found.items()
    }
