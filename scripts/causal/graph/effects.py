"""Everything known of each variable's effect on the outcome, by where it comes from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from scipy.stats import norm
from scipy.stats import t as student

from interventions.vocabulary import Variable
from scripts.causal.campaign.schema import AblationResults, ContrastResult
from scripts.causal.graph.design import Design
from scripts.causal.graph.observed import observed_effects
from scripts.causal.graph.pag import Pag
from scripts.causal.graph.reported import reported_effects
from scripts.causal.graph.schema import Estimate
from scripts.causal.leaderboard.schema import Leaderboard

Finding = Literal["confirmed", "equivalent", "undecided"]
_CONFIRMED = ("confirmed_better", "confirmed_worse")


def own_estimate(result: ContrastResult) -> Estimate | None:
    """Return the contrast's effect with its 95 % interval; None when it has none.

    The campaign's interval is at its own family-wise level; the half-width is carried over to
    95 % by the quantiles of the same t distribution.
    """
    if result.effect is None or result.interval is None or result.verdict == "failed":
        return None
    level = result.interval.level
    half = (result.interval.high - result.interval.low) / 2
    if result.df is None:
        ratio = norm.ppf(0.975) / norm.ppf((1 + level) / 2)
    else:
        ratio = student.ppf(0.975, result.df) / student.ppf((1 + level) / 2, result.df)
    half *= float(ratio)
    contrast = result.contrast
    return Estimate(
        source="tested",
        before=contrast.control.get(contrast.variable, False),
        after=contrast.treatment.get(contrast.variable, True),
        effect=result.effect,
        low=result.effect - half,
        high=result.effect + half,
        n=len(result.seeds_used),
        detail=contrast.label,
    )


def findings(results: Sequence[AblationResults]) -> dict[str, Finding]:
    """Return what own experiments say of each variable that was carried to confirmation.

    confirmed by any of its contrasts; equivalent when all that were decided are so.
    """
    verdicts: dict[str, set[str]] = defaultdict(set)
    for file in results:
        for result in file.results:
            if result.phase == "confirm" and result.verdict != "failed":
                verdicts[result.contrast.variable].add(result.verdict)
    found: dict[str, Finding] = {}
    for variable, seen in verdicts.items():
        if seen.intersection(_CONFIRMED):
            found[variable] = "confirmed"
        else:
            found[variable] = "equivalent" if seen == {"equivalent"} else "undecided"
    return found


def own_effects(results: Sequence[AblationResults]) -> dict[str, tuple[Estimate, ...]]:
    """Return per variable the estimates of its contrasts, latest file's last."""
    found: dict[str, dict[str, Estimate]] = defaultdict(dict)
    for file in results:
        for result in file.results:
            estimate = own_estimate(result)
            if estimate is not None:
                found[result.contrast.variable][result.contrast.id] = estimate
    return {variable: tuple(by_id.values()) for variable, by_id in found.items()}


def all_effects(
    leaderboard: Leaderboard,
    design: Design,
    pag: Pag,
    variables: Mapping[str, Variable],
    results: Sequence[AblationResults] = (),
) -> dict[str, tuple[Estimate, ...]]:
    """Return per variable its estimates: tested, then observed, then reported."""
    sources = (
        own_effects(results),
        observed_effects(design, pag),
        reported_effects(leaderboard, variables),
    )
    names = {name for source in sources for name in source}
    return {
        name: tuple(one for source in sources for one in source.get(name, ()))
        for name in sorted(names)
    }
