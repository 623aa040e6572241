"""One posterior per contrast from reported, observed and tested estimates.

Each estimate enters with its own variance plus the variance of its kind: how far a source of this
kind lies from what is true of this very contrast (another stack, a hidden cause, what authors
choose to report). These spreads are learnt over all contrasts of a leaderboard at once, from how
far two kinds of estimate of the same contrast lie apart beyond their own errors (empirical Bayes).
The start is normal about zero (for a technique's coming into use, about the mean of all) with the
typical size of an effect, wider where the evidence says that this change does far more: most
changes do little, and the few that do much are not shrunk to a half.

Reports and the submissions table tell the mean over stacks, and that is what the posterior is of:
a change whose effects differ a lot from stack to stack (the reports' τ) is not for that a small
one. Own runs are of one stack. Beside them all else counts for as much less as one stack may lie
from the mean of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import t as student

from scripts.causal.graph.schema import (
    QUANTILE,
    CombinedEffect,
    Estimate,
    Level,
    SourceWeight,
    level_words,
)

Numbers = NDArray[np.float64]
Kind = Literal["reported", "differences", "identified", "associated", "tested"]
LEARNT: tuple[Kind, ...] = ("reported", "differences", "identified", "associated")
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
# A value on a line between others, per unit of the line that the evidence does not cover.
BEND = 0.5

Belief = Literal["supported", "contradicted", "cannot_tell"]


def kind_of(estimate: Estimate) -> Kind:
    """Return the kind of source that the estimate is."""
    if estimate.source != "observed":
        return estimate.source
    if estimate.method == "differences":
        return "differences"
    return "associated" if estimate.identified is False else "identified"


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


def same(one: Level, other: Level) -> bool:
    """Say whether two levels are one; True is no 1, and False no 0."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _used(level: Level) -> bool:
    return level is not False and level not in {0, "none"}


@dataclass(frozen=True)
class Evidence:
    """An estimate turned to the contrast asked about, with what carrying it there may cost."""

    estimate: Estimate
    extra: float = 0.0

    @property
    def tau(self) -> float:
        """How far one stack lies from the mean over stacks, as far as it tells."""
        return self.estimate.tau or 0.0

    @property
    def variance(self) -> float:
        """Of its error about the mean over stacks, apart from the spread of its kind."""
        return self.estimate.se**2 + self.extra**2


def _turned(estimate: Estimate, before: Level, after: Level) -> Estimate | None:
    if same(estimate.before, before) and same(estimate.after, after):
        return estimate
    if same(estimate.before, after) and same(estimate.after, before):
        return estimate.turned()
    return None


def _scaled(estimate: Estimate, before: Level, after: Level, factor: float) -> Estimate:
    low, high = sorted((estimate.low * factor, estimate.high * factor))
    bounds = estimate.bounds
    return estimate.model_copy(
        update={
            "before": before,
            "after": after,
            "effect": estimate.effect * factor,
            "low": low,
            "high": high,
            "bounds": None
            if bounds is None
            else tuple(sorted((bounds[0] * factor, bounds[1] * factor))),
            "tau": None if estimate.tau is None else estimate.tau * abs(factor),
        }
    )


def _composed(first: Estimate, second: Estimate, before: Level, after: Level) -> Estimate:
    """Return before → after from two estimates against a common level.

    Their errors are taken for independent. Of two levels in one regression they share that of the
    common level, so that the interval is rather too wide.
    """
    taus = [one.tau for one in (first, second) if one.tau is not None]
    effect = second.effect - first.effect
    half = QUANTILE * float(np.hypot(first.se, second.se))
    return second.model_copy(
        update={
            "before": before,
            "after": after,
            "effect": effect,
            "low": effect - half,
            "high": effect + half,
            "n": min(first.n, second.n),
            "bounds": None,
            "tau": float(np.hypot.reduce(taus)) if taus else None,
        }
    )


def _on_line(estimate: Estimate, before: Level, after: Level, typical: float) -> Evidence | None:
    """Return the estimate carried along a line; None where the two do not overlap."""
    ends = [
        float(one)
        for one in (estimate.before, estimate.after, before, after)
        if not isinstance(one, bool | str)
    ]
    if len(ends) < 4:
        return None
    low, high, here, there = ends
    if low == high or here == there:
        return None
    factor = (there - here) / (high - low)
    if not 1 / 3 <= abs(factor) <= 3:
        return None
    mine, theirs = sorted((here, there)), sorted((low, high))
    union = max(mine[1], theirs[1]) - min(mine[0], theirs[0])
    common = min(mine[1], theirs[1]) - max(mine[0], theirs[0])
    if common <= 0:
        return None
    missed = 1 - common / union
    carried = _scaled(estimate, before, after, factor)
    return Evidence(carried, BEND * missed * (abs(carried.effect) + typical))


def _any_value(
    group: Sequence[Estimate], before: Level, after: Level, typical: float
) -> Evidence | None:
    """Return evidence between "used at whatever value" and one value; None where there is none."""
    flags = sum(isinstance(one, bool) for one in (before, after))
    candidates = []
    for one in (*group, *(each.turned() for each in group)):
        if _used(one.before) or not _used(one.after) or _used(before) or not _used(after):
            continue
        if one.after is True or (after is True and flags):
            candidates.append(one)
    if not candidates:
        return None
    best = min(candidates, key=lambda one: (one.se, -one.n))
    carried = best.model_copy(update={"before": before, "after": after})
    return Evidence(carried, BEND * typical)


def _about(
    group: Sequence[Estimate], before: Level, after: Level, typical: float
) -> Evidence | None:
    """Return what the estimates of one kind and one variable say of a contrast."""
    for one in group:
        turned = _turned(one, before, after)
        if turned is not None:
            return Evidence(turned)
    against: dict[str, list[Estimate]] = {"before": [], "after": []}
    for one in group:
        for side, level in (("before", before), ("after", after)):
            against[side] += [one] if same(one.after, level) else []
    for first in against["before"]:
        for second in against["after"]:
            if same(first.before, second.before):
                return Evidence(_composed(first, second, before, after))
    carried = [found for one in group if (found := _on_line(one, before, after, typical))]
    if _used(before):
        back = _any_value(group, after, before, typical)
        carried += [replace(back, estimate=back.estimate.turned())] if back else []
    else:
        found = _any_value(group, before, after, typical)
        carried += [found] if found else []
    return min(carried, key=lambda one: one.estimate.se**2 + one.extra**2, default=None)


def evidence_about(
    estimates: Sequence[Estimate], before: Level, after: Level, typical: float
) -> tuple[Evidence, ...]:
    """Return, one per kind of source, what a variable's estimates say of before → after.

    The very contrast where it was estimated; else the difference of two against a common level;
    for numbers, the nearest contrast on a straight line; "used at whatever value" for one value.
    Carrying over adds half a typical effect, for a line half of it per share not covered.
    """
    found = []
    for kind in ("tested", *LEARNT):
        group = [one for one in estimates if kind_of(one) == kind]
        one = _about(group, before, after, typical)
        if one is not None:
            found.append(one)
    return tuple(found)


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


def contrasts(estimates: Sequence[Estimate]) -> tuple[tuple[Level, Level], ...]:
    """Return the contrasts that some estimate is about, each in one direction."""
    found: list[tuple[Level, Level]] = []
    for one in estimates:
        if not any(
            (same(one.before, b) and same(one.after, a))
            or (same(one.before, a) and same(one.after, b))
            for b, a in found
        ):
            found.append((one.before, one.after))
    return tuple(found)


def _direction(before: Level, after: Level) -> int:
    """Return +1 where something comes into use, -1 where it goes out of use, else 0."""
    return int(_used(after)) - int(_used(before))


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
                if (found := _turned(one, before, after)) is not None
            )
            effects.append(effect)
            variances.append(variance)
            directions.append(_direction(before, after))
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


@dataclass(frozen=True)
class _Part:
    """One source's say in a posterior; effect, se and between in bpb.

    Attributes:
        between: standard deviation of its kind about what is true of the contrast.
        inflation: factor on its variance.
        wild: its variance may grow with its distance from the rest.
    """

    source: Literal["reported", "observed", "tested", "prior"]
    effect: float
    se: float
    between: float
    words: str
    inflation: float = 1.0
    wild: bool = False

    @property
    def precision(self) -> float:
        return 1 / (max(self.se**2 + self.between**2, 1e-14) * self.inflation)


def _parts(evidence: Sequence[Evidence], spreads: SourceSpreads) -> list[_Part]:
    kinds = [kind_of(one.estimate) for one in evidence]
    observed = sum(one.estimate.source == "observed" for one in evidence)
    parts = []
    for one, kind in zip(evidence, kinds, strict=True):
        item = one.estimate
        shared = item.source == "observed" and observed > 1
        words = {
            "differences": "child − parent",
            "identified": "adjusted",
            "associated": "adjusted, not identified",
        }.get(kind, "")
        parts.append(
            _Part(
                item.source,
                item.effect,
                item.se,
                float(np.hypot(spreads.of(kind), one.extra)),
                ", ".join(
                    filter(None, (words, "carried over from another value" if one.extra else ""))
                ),
                SAME_SCORES if shared else 1.0,
                kind == "associated",
            )
        )
    return parts


def _pool(parts: Sequence[_Part]) -> tuple[float, float]:
    """Return the mean weighted by precision and its standard deviation; parts are not empty."""
    precision = sum(part.precision for part in parts)
    mean = sum(part.effect * part.precision for part in parts) / precision
    return mean, float(precision**-0.5)


def _posterior(
    parts: list[_Part], lean: float, typical: float, tau: float
) -> tuple[list[_Part], float, float]:
    """Return the parts with the prior's, and the posterior's mean and standard deviation.

    An association that lies far from everything else is one that a hidden cause has moved: like
    the prior's, its variance grows with its distance, and with it falls its weight.

    The prior is normal with the typical size. Where the posterior lies farther out, its variance
    becomes what a Cauchy of that scale has there, given the posterior (the expected precision of
    its normal scale mixture): half of typical² + distance² + sd².
    """
    prior = _Part("prior", lean, 0.0, typical, "typical size of an effect")
    given = [_widened(part, [one for one in parts if one is not part]) for part in parts]
    found = _of_one_stack([*given, prior], tau)
    for _ in range(50):
        mean, sd = _pool(found)
        far = ((lean - mean) ** 2 + sd**2 + typical**2) / 2
        wider = replace(prior, between=max(typical, float(np.sqrt(far))))
        found = _of_one_stack([*given, wider], tau)
    mean, sd = _pool(found)
    return found, mean, sd


def _of_one_stack(parts: Sequence[_Part], tau: float) -> list[_Part]:
    """Return the parts such that beside own runs the others, pooled, are τ farther from them."""
    if all(part.source != "tested" for part in parts):
        return list(parts)
    _, sd = _pool([part for part in parts if part.source != "tested"])
    factor = 1 + (tau / sd) ** 2
    return [
        part if part.source == "tested" else replace(part, inflation=part.inflation * factor)
        for part in parts
    ]


def _widened(part: _Part, others: Sequence[_Part]) -> _Part:
    """Return an association with a variance that grows with its distance from the rest.

    That of a Cauchy of its scale at this distance, as of the prior: half of between² + distance²,
    the distance² less what the errors of both sides explain of it.
    """
    if not part.wild or not others:
        return part
    mean, sd = _pool(others)
    far = ((part.effect - mean) ** 2 - sd**2 - part.se**2 + part.between**2) / 2
    return replace(part, between=max(part.between, float(np.sqrt(max(far, 0.0)))))


def judge(published: float, mean: float, sd: float) -> Belief:
    """Return what evidence that is not the publication's own says of a published effect.

    supported: its 95 % interval lies wholly on the published side of zero. contradicted: it lies
    wholly on the other side, or holds neither the published size nor half of it. What is supported
    may still be smaller than half of what was published.
    """
    sign = -1.0 if published < 0 else 1.0
    low, high = sign * mean - QUANTILE * sd, sign * mean + QUANTILE * sd
    if low > 0:
        return "supported"
    return "contradicted" if high < abs(published) / 2 else "cannot_tell"


_SAYS = {
    "supported": "the data supports it",
    "contradicted": "the data contradicts it",
    "cannot_tell": "the data cannot tell",
}


def combine_evidence(
    variable: str,
    before: Level,
    after: Level,
    evidence: Sequence[Evidence],
    spreads: SourceSpreads,
    published: Sequence[float] = (),
) -> CombinedEffect:
    """Return the posterior of one contrast with every source's weight.

    Args:
        variable: vocabulary id.
        before: its value in the control.
        after: its value in the treatment.
        evidence: at most one per kind of source, turned to before → after.
        spreads: of the leaderboard.
        published: effects that somebody claims and that are in no README (the catalog's); each
            counts as a report on another stack whose own error is as large as the spread of
            reports, and no smaller than a typical effect.
    """
    parts = _parts(evidence, spreads)
    claim_sd = max(spreads.of("reported"), spreads.typical)
    parts += [_Part("reported", one, claim_sd, claim_sd, "published claim") for one in published]
    ours = [part for part in parts if part.source in ("observed", "tested")]
    claims = [part for part in parts if part.source == "reported"]
    exact = any(not one.extra and one.estimate.source == "reported" for one in evidence)
    tau = max((one.tau for one in evidence), default=0.0)
    belief: Belief | None = None
    words = ""
    if exact or published:
        claimed, _ = _pool(claims)
        words = f"reported {claimed:+.4f} bpb"
        belief = "cannot_tell"
        if ours:
            mean, sd = _pool(ours)
            sd = float(np.hypot(sd, tau))  # where stacks differ, one says less of another's claim
            belief = judge(claimed, mean, sd)
            half = QUANTILE * sd
            words += f", observed and tested {mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}]"
        else:
            words += ", nothing observed or tested"
        words += f": {_SAYS[belief]}"
    elif ours:
        words = "nobody reports it"
    lean = spreads.lean * _direction(before, after)
    parts, mean, sd = _posterior(parts, lean, spreads.typical, tau)
    total = sum(part.precision for part in parts)
    return CombinedEffect(
        variable=variable,
        before=before,
        after=after,
        mean=mean,
        sd=sd,
        low=mean - QUANTILE * sd,
        high=mean + QUANTILE * sd,
        tau=tau,
        weights=tuple(
            SourceWeight(
                source=part.source,
                weight=part.precision / total,
                effect=part.effect,
                se=part.se,
                between=part.between,
                words=part.words,
            )
            for part in parts
        ),
        belief=belief,
        words=words,
    )


def combine(
    estimates: Sequence[Estimate], spreads: SourceSpreads, variable: str = ""
) -> CombinedEffect:
    """Return the posterior of the one contrast that all these estimates are about.

    Raises:
        ValueError: no estimate, or one that compares something else.
    """
    if not estimates:
        raise ValueError("at least one estimate is needed")
    before, after = estimates[0].before, estimates[0].after
    for one in estimates:
        if _turned(one, before, after) is None:
            raise ValueError(
                f"{one.contrast} does not compare {level_words(before)} with {level_words(after)}"
            )
    evidence = evidence_about(estimates, before, after, spreads.typical)
    return combine_evidence(variable, before, after, evidence, spreads)
