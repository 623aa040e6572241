"""Everything known of each variable's effect on the outcome, by where it comes from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from scipy.stats import norm
from scipy.stats import t as student

from interventions.vocabulary import Variable
from scripts.causal.campaign.schema import AblationResults, ContrastResult
from scripts.causal.graph.carry import contrasts, evidence_about
from scripts.causal.graph.combine import combine_evidence
from scripts.causal.graph.design import Design
from scripts.causal.graph.differences import difference_effects
from scripts.causal.graph.observed import adjusted_effects, by_variable, submissions_panel
from scripts.causal.graph.pag import Pag
from scripts.causal.graph.reported import reported_effects
from scripts.causal.graph.schema import CombinedEffect, Estimate, Level
from scripts.causal.graph.spreads import SourceSpreads, learn_spreads
from scripts.causal.graph.threads import one_thread
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
    if not result.contrast.of_bpb:
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
            if not result.contrast.of_bpb:
                continue
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


@dataclass(frozen=True)
class EffectsTable:
    """All evidence on a leaderboard's contrasts, and the one posterior of each.

    Attributes:
        estimates: per variable, tested, then observed (child − parent, then adjusted), then
            reported.
        spreads: how far each kind of source lies from the truth, learnt over all contrasts.
        refused: variable → why the submissions give no number of their own for it, in words.
    """

    estimates: Mapping[str, tuple[Estimate, ...]]
    spreads: SourceSpreads
    refused: Mapping[str, str]

    def effect(
        self, variable: str, before: Level, after: Level, published: Sequence[float] = ()
    ) -> CombinedEffect:
        """Return the posterior of any contrast; one of which nothing is known is the prior."""
        known = self.estimates.get(variable, ())
        evidence = evidence_about(known, before, after, self.spreads.typical)
        return combine_evidence(variable, before, after, evidence, self.spreads, published)

    @cached_property
    def combined(self) -> tuple[CombinedEffect, ...]:
        """The posterior of every contrast that some estimate is about."""
        return tuple(
            self.effect(variable, before, after)
            for variable, known in self.estimates.items()
            for before, after in contrasts(known)
        )


@one_thread()
def leaderboard_effects(
    leaderboard: Leaderboard,
    design: Design,
    pag: Pag,
    variables: Mapping[str, Variable],
    *,
    use_reported: bool = True,
) -> EffectsTable:
    """Return what submissions say without any run of ours: costly, and the same in every cycle.

    Args:
        leaderboard: for what READMEs report.
        design: of the same leaderboard.
        pag: the data graph; variables that are no node of it count as not identified.
        variables: the vocabulary.
        use_reported: False leaves out what READMEs report, to see what scores alone say.
    """
    panel = submissions_panel(design)
    adjusted, unadjusted = adjusted_effects(design, pag, panel)
    usual = panel.model.tau2 if panel.model else 0.0
    differences, unpaired = difference_effects(design, usual)
    reported = reported_effects(leaderboard, variables) if use_reported else {}
    estimates = by_variable((differences, adjusted, reported))
    refused = {
        name: f"adjusted: {reason}; child − parent: {unpaired.get(name, 'no estimate')}"
        for name, reason in unadjusted.items()
        if name in variables and name not in differences
    }
    return EffectsTable(estimates, learn_spreads(estimates), refused)


def with_own_results(
    table: EffectsTable, variables: Mapping[str, Variable], results: Sequence[AblationResults]
) -> EffectsTable:
    """Return the table with verdicts of own experiments, earlier cycles first, before the rest."""
    tested = {name: own for name, own in own_effects(results).items() if name in variables}
    if not tested:
        return table
    estimates = by_variable((tested, table.estimates))
    return EffectsTable(estimates, learn_spreads(estimates), table.refused)


def estimate_effects(
    leaderboard: Leaderboard,
    design: Design,
    pag: Pag,
    variables: Mapping[str, Variable],
    results: Sequence[AblationResults] = (),
    *,
    use_reported: bool = True,
) -> EffectsTable:
    """Return every source's estimates and what they say together.

    Arguments as of `leaderboard_effects` and `with_own_results`.
    """
    table = leaderboard_effects(leaderboard, design, pag, variables, use_reported=use_reported)
    return with_own_results(table, variables, results)
