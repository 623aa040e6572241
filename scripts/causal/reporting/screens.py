"""A cycle's factorial screen as the page shows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scripts.causal.campaign.factorial_screen import screen_effects
from scripts.causal.campaign.schema import Contrast, FactorialRuns
from scripts.causal.reporting import words
from scripts.causal.reporting.campaign_files import CampaignFiles
from scripts.causal.stats import factorial, paired
from scripts.causal.stats.paired import Estimate


@dataclass(frozen=True)
class ScreenView:
    """One screen.

    Attributes:
        sentence: what was screened, in plain words.
        rows: each change with its effect and 95 % interval; None where runs are lacking.
        aliased: interactions that the screen cannot tell apart, in words.
    """

    cycle: int
    sentence: str
    rows: tuple[tuple[Contrast, Estimate | None, tuple[float, float] | None], ...]
    aliased: tuple[str, ...]


def view_screens(campaign: CampaignFiles) -> tuple[ScreenView, ...]:
    """One view per cycle that screened several changes together."""
    return tuple(
        _view(cycle.number, cycle.runs.factorial)
        for cycle in campaign.cycles
        if cycle.runs is not None and cycle.runs.factorial is not None
    )


def _view(cycle: int, screen: FactorialRuns) -> ScreenView:
    effects = screen_effects(screen)
    labels = [each.label for each in screen.factors]
    pairs = [pair for runs in screen.runs for pair in runs.pairs]
    seeds = sorted({pair.seed for pair in pairs})
    rows = []
    for contrast in screen.factors:
        effect = effects.get(contrast.id)
        band = None if effect is None else paired.interval(effect, 0.95)
        rows.append((contrast, effect, band))
    design = np.array([[2 * level - 1 for level in row] for row in screen.levels])
    groups = factorial.aliased_interactions(design)
    return ScreenView(
        cycle=cycle,
        sentence=(
            f"{len(labels)} changes screened together in {2 * len(pairs)} runs on seeds "
            f"{words.listed([str(seed) for seed in seeds])}. One at a time, effects as precise "
            f"would take {factorial.one_at_a_time(len(labels), len(pairs), 1.0).runs} runs."
        ),
        rows=tuple(rows),
        aliased=tuple(
            " = ".join(f"{labels[one]} × {labels[other]}" for one, other in group)
            for group in groups
        ),
    )
