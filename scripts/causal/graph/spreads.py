"""How far each kind of source lies from what is true of a contrast, learnt over all contrasts.

From how far two kinds of estimate of the same contrast lie apart beyond their own errors
(empirical Bayes): another stack, a hidden cause, what authors choose to report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import t as student

from scripts.causal.graph.carry import (
    LEARNT,
    Kind,
    contrasts,
    direction,
    evidence_about,
    kind_of,
    turned,
)
from scripts.causal.graph.schema import Estimate

Numbers = NDArray[np.float64]
# Where nothing tells: as shares of the typical effect. A guess that two estimates of one contrast
# soon outvote; an association that a hidden cause may explain starts at half an effect.
ASSUMED: dict[Kind, float] = {
    "reported": 0.25,
    "differences": 0.25,
    "identified": 0.15,
    "associated": 0.5,
}
ASSUMED_SD = 1.5  # of the logarithm of a spread about its guess
SMALLEST_TYPICAL = 0.001  # bpb; smaller effects are not worth telling apart
LEAST_CONTRASTS = 3  # fewer tell the largest effect, not a spread
TAIL = 4.0  # df of the t of true effects: see `_usual`
GAP_TAIL = 20.0  # df of the t of gaps between kinds, nearly normal: see `learn_spreads`
# Differences and adjusted effects are read off the same scores; at equal errors that correlate by
# a half, their mean has half as much again of the variance of independent ones.
SAME_SCORES = 1.5


@dataclass(frozen=True)
class SourceSpreads:
    """Standard deviations in bpb, learnt over all contrasts of a leaderboard.

    Attributes:
        typical: of true effects about zero, or about `lean`.
        lean: mean effect of something's coming into use: people try what promises to help, so
            that a technique of which little is known is not as likely to harm as to help.
        between: per kind of source, of its estimates about what is true of the contrast; 0 for
            tested ones, which are about it at their own scale.
        learnt_from: per kind, the contrasts on which it met another kind.
    """

    typical: float = SMALLEST_TYPICAL
    lean: float = 0.0
    between: Mapping[str, float] = field(default_factory=dict)
    learnt_from: Mapping[str, int] = field(default_factory=dict)

    def of(self, kind: Kind) -> float:
        """Return the spread of a kind of source."""
        if kind == "tested":
            return 0.0
        return self.between.get(kind, ASSUMED[kind] * self.typical)


def _meetings(
    estimates: Mapping[str, Sequence[Estimate]], typical: float
) -> list[tuple[Kind, Kind, float, float]]:
    """Return (kind, kind, difference, variance of its errors) wherever two kinds meet."""
    found = []
    for group in estimates.values():
        for before, after in contrasts(group):
            about = evidence_about(group, before, after, typical)
            for one, other in combinations(about, 2):
                variance = one.variance + other.variance
                if one.estimate.source == other.estimate.source == "observed":
                    shared = SAME_SCORES - 1
                    variance -= 2 * shared * one.estimate.se * other.estimate.se
                if "tested" in (one.estimate.source, other.estimate.source):
                    variance += one.tau**2 + other.tau**2
                gap = one.estimate.effect - other.estimate.effect
                found.append((kind_of(one.estimate), kind_of(other.estimate), gap, variance))
    return found


def _usual(
    estimates: Mapping[str, Sequence[Estimate]], spreads: SourceSpreads
) -> tuple[float, float]:
    """Return the standard deviation of true effects and the mean of coming into use.

    By marginal likelihood, each contrast's most precise estimate counting once. The likelihood is
    Student's t, for a few changes (an n-gram cache) move bpb by a hundred times what others do.
    """
    effects, variances, directions = [], [], []
    for group in estimates.values():
        for before, after in contrasts(group):
            variance, effect = min(
                (found.se**2 + spreads.of(kind_of(found)) ** 2, found.effect)
                for one in group
                if (found := turned(one, before, after)) is not None
            )
            effects.append(effect)
            variances.append(variance)
            directions.append(direction(before, after))
    if len(effects) < LEAST_CONTRASTS:
        return max([SMALLEST_TYPICAL, *(abs(one) for one in effects)]), 0.0
    sizes, noise, used = np.array(effects), np.array(variances), np.array(directions)
    start = max(float(np.median(np.abs(sizes))), SMALLEST_TYPICAL)

    def cost(place: Numbers) -> float:
        scale = np.sqrt((np.exp(2 * place[0]) + noise) * (TAIL - 2) / TAIL)
        gaps = sizes - used * place[1] * start
        fit = float(np.sum(student.logpdf(gaps / scale, TAIL) - np.log(scale)))
        return float(place[1]) ** 2 / 2 - fit

    found = minimize(cost, [np.log(start), 0.0], method="Nelder-Mead").x
    return max(float(np.exp(found[0])), SMALLEST_TYPICAL), float(found[1] * start)


def _likeliest(
    met: Sequence[tuple[Kind, Kind, float, float]], kinds: Sequence[Kind], typical: float
) -> list[float]:
    """Return the kinds' spreads of highest posterior density."""
    gaps = np.array([pair[2] for pair in met])
    noise = np.array([pair[3] for pair in met])
    has = np.array([[float(kind in pair[:2]) for kind in kinds] for pair in met])
    guess = np.log([ASSUMED[kind] * typical for kind in kinds])

    def cost(logs: Numbers) -> float:
        variance = noise + has @ np.exp(2 * logs)
        scale = np.sqrt(variance * (GAP_TAIL - 2) / GAP_TAIL)
        fit = float(np.sum(student.logpdf(gaps / scale, GAP_TAIL) - np.log(scale)))
        return float(np.sum((logs - guess) ** 2)) / (2 * ASSUMED_SD**2) - fit

    best = minimize(cost, guess, method="Nelder-Mead", options={"maxiter": 2000})
    return [float(one) for one in np.exp(best.x)]


def learn_spreads(estimates: Mapping[str, Sequence[Estimate]]) -> SourceSpreads:
    """Return the spreads of a leaderboard's sources.

    Maximum a posteriori of the gaps between kinds (Student's t, so that a few wild ones do not
    set the scale), each spread log-normal about its assumed share of the typical effect: two or
    three contrasts move it little, twenty decide it.
    """
    spreads = SourceSpreads()
    for _ in range(3):
        typical, lean = _usual(estimates, spreads)
        spreads = SourceSpreads(typical, lean, spreads.between, spreads.learnt_from)
        met = _meetings(estimates, spreads.typical)
        kinds = [kind for kind in LEARNT if any(kind in pair[:2] for pair in met)]
        if not kinds:
            return SourceSpreads(typical, lean)
        best = _likeliest(met, kinds, spreads.typical)
        spreads = SourceSpreads(
            typical,
            lean,
            dict(zip(kinds, best, strict=True)),
            {kind: sum(kind in pair[:2] for pair in met) for kind in kinds},
        )
    return spreads
