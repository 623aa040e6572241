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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from scripts.causal.graph.carry import Evidence, direction, evidence_about, kind_of, turned
from scripts.causal.graph.schema import (
    QUANTILE,
    CombinedEffect,
    Estimate,
    Level,
    SourceWeight,
    level_words,
)
from scripts.causal.graph.spreads import SAME_SCORES, SourceSpreads

Belief = Literal["supported", "contradicted", "cannot_tell"]


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
        if belief != "cannot_tell" and any(part.source == "tested" for part in ours):
            words += " at the scale of the own runs, which does not settle it at another"
    elif ours:
        words = "nobody reports it"
    lean = spreads.lean * direction(before, after)
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
        if turned(one, before, after) is None:
            raise ValueError(
                f"{one.contrast} does not compare {level_words(before)} with {level_words(after)}"
            )
    evidence = evidence_about(estimates, before, after, spreads.typical)
    return combine_evidence(variable, before, after, evidence, spreads)
