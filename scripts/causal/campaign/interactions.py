"""From the runs of a pair and of its two changes alone to whether they add up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from scripts.causal.campaign.schema import (
    ArmRun,
    ContrastResult,
    ContrastRuns,
    InteractionResult,
    Interval,
    RawRuns,
    VariancePrior,
)
from scripts.causal.stats import moderated, paired
from scripts.causal.stats.equivalence import tost_p
from scripts.causal.stats.family import holm
from scripts.causal.stats.interaction import Answer, Cell, answer, interaction_prior

WORDS: dict[Answer, str] = {
    "reinforce": "together they bring more than the sum of each alone",
    "hinder": "together they bring less than the sum of each alone",
    "add_up": "they add up",
    "cannot_tell": "whether they add up cannot be told",
}


@dataclass(frozen=True)
class Square:
    """A pair's complete 2 × 2 cells by seed."""

    pair: ContrastRuns
    cells: dict[int, Cell]

    @property
    def interactions(self) -> list[float]:
        """One per seed, bpb."""
        return [cell.interaction for cell in self.cells.values()]


def with_interactions(
    results: Iterable[ContrastResult],
    raw: RawRuns,
    *,
    share: float,
    mde: float,
    prior: VariancePrior | None,
) -> tuple[ContrastResult, ...]:
    """Add to each pair what its two changes do to each other, where the four runs are there.

    The interactions of a cycle are a family of their own: neither of the two changes is
    confirmed by one. Only seeds that took no part in the choice count.

    Args:
        share: the cycle's part of alpha.
        mde: smallest interaction of interest, bpb.
        prior: of a paired difference; borrowed where the pair differs in training.
    """
    squares = {square.pair.contrast.id: square for square in _squares(raw)}
    judged = _judge(list(squares.values()), share, mde, prior)
    return tuple(
        result
        if (found := judged.get(result.contrast.id)) is None
        else result.model_copy(
            update={"interaction": found, "words": f"{result.words} {found.words}"}
        )
        for result in results
    )


def _squares(raw: RawRuns) -> list[Square]:
    fresh = {runs.contrast.id: runs for runs in raw.runs if runs.phase == "confirm"}
    alone = fresh | {runs.contrast.id: runs for runs in raw.parts}
    squares = []
    for runs in fresh.values():
        parts = runs.contrast.parts
        if len(parts) != 2 or not all(part in alone for part in parts):
            continue
        cells = _cells(runs, alone[parts[0]], alone[parts[1]])
        if cells:
            squares.append(Square(runs, cells))
    return squares


def _cells(pair: ContrastRuns, one: ContrastRuns, other: ContrastRuns) -> dict[int, Cell]:
    """The seeds at which all four runs have a result, against one and the same control."""
    singles = [{each.seed: each for each in runs.pairs} for runs in (one, other)]
    cells: dict[int, Cell] = {}
    for both in pair.pairs:
        if not all(both.seed in runs for runs in singles):
            continue
        first, second = (runs[both.seed] for runs in singles)
        if not both.control.key == first.control.key == second.control.key:
            continue
        arms = (both.control, first.treatment, second.treatment, both.treatment)
        scores = [score for arm in arms if (score := _score(arm)) is not None]
        if len(scores) == len(arms):
            cells[both.seed] = Cell(*scores)
    return cells


def _score(arm: ArmRun) -> float | None:
    return None if arm.failure is not None else arm.metrics.get("val_bpb")


def _judge(
    squares: Sequence[Square], share: float, mde: float, prior: VariancePrior | None
) -> dict[str, InteractionResult]:
    estimates = []
    for square in squares:
        estimate = paired.plain_estimate(square.interactions)
        if prior is not None and square.pair.contrast.stage == "train" and estimate.testable:
            lent = interaction_prior(moderated.Prior(prior.scale**2, prior.df))
            estimate = moderated.moderate(estimate, lent)
        estimates.append(estimate)
    raw_p = [paired.p_value(each) for each in estimates]
    raw_tost = [tost_p(each, mde) for each in estimates]
    rows = zip(squares, estimates, raw_p, holm(raw_p), raw_tost, holm(raw_tost), strict=True)
    judged: dict[str, InteractionResult] = {}
    for square, estimate, p, p_adjusted, tost, tost_adjusted in rows:
        found = answer(
            square.interactions,
            p_adjusted=p_adjusted,
            p_equivalence_adjusted=tost_adjusted,
            share=share,
        )
        band = paired.interval(estimate, 1 - share)
        interval = band and Interval(level=1 - share, low=band[0], high=band[1])
        cells = square.cells.values()
        alone = (
            fmean(cell.one - cell.control for cell in cells),
            fmean(cell.other - cell.control for cell in cells),
        )
        contrast = square.pair.contrast
        judged[contrast.id] = InteractionResult(
            alone=alone,
            effect=estimate.mean,
            interval=interval,
            p=p,
            p_adjusted=p_adjusted,
            p_equivalence=tost,
            p_equivalence_adjusted=tost_adjusted,
            sd=estimate.sd,
            df=estimate.df,
            seeds=tuple(square.cells),
            answer=found,
            words=_words(contrast.label, found, alone, estimate, band, share),
        )
    return judged


def _words(
    label: str,
    found: Answer,
    alone: tuple[float, float],
    estimate: paired.Estimate,
    band: tuple[float, float] | None,
    share: float,
) -> str:
    reach = ""
    if band is not None:
        reach = f", {100 * (1 - share):.4g} % interval {band[0]:+.5f} to {band[1]:+.5f}"
    return (
        f"{label}: {WORDS[found]}. Alone {alone[0]:+.5f} and {alone[1]:+.5f} bpb, together "
        f"{estimate.mean:+.5f} beyond their sum ({estimate.pairs} fresh seeds{reach})."
    )
