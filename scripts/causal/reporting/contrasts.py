"""A contrast as the page shows it: its verdict, what others say of it, its curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from scripts.causal.campaign.direction import aligned
from scripts.causal.campaign.schema import Contrast, ContrastResult, ContrastRuns, Verdict
from scripts.causal.graph.schema import Estimate
from scripts.causal.reporting import words
from scripts.causal.reporting.campaign_files import CampaignFiles
from scripts.causal.reporting.course_figure import course_figure
from scripts.causal.reporting.figures import (
    Evidence,
    ForestRow,
    Tone,
    difference_figure,
    loss_figure,
    validation_figure,
)
from scripts.causal.reporting.summary import VERDICT_WORDS, sentence
from scripts.causal.reporting.svg import inline

TONES: dict[Verdict, Tone] = {
    "confirmed_better": "better",
    "confirmed_worse": "worse",
    "equivalent": "same",
    "inconclusive": "open",
    "screened_out": "open",
    "failed": "open",
}
MOST_MARKS = 4


@dataclass(frozen=True)
class ContrastView:
    """One row of the verdict table and one foldable section.

    Attributes:
        change: the fields that differ, ``activation: relu_sq → gelu``.
        claims: what was published about it.
        estimates: what the leaderboard says of it, in the direction of the change.
        figures: inline SVG of the curves that were recorded.
    """

    result: ContrastResult
    change: str
    sentence: str
    verdict: str
    tone: Tone
    claims: tuple[Evidence, ...]
    notes: tuple[str, ...]
    estimates: tuple[Estimate, ...]
    figures: tuple[Markup, ...]

    def forest_row(self) -> ForestRow:
        """The contrast in the forest plot."""
        result, interval = self.result, self.result.interval
        tested = None
        if result.effect is not None:
            bounds = (interval.low, interval.high) if interval else (None, None)
            tested = Evidence("tested", result.effect, *bounds)
        others = [
            Evidence("reported" if e.source == "reported" else "observed", e.effect, e.low, e.high)
            for e in self.estimates
        ]
        return ForestRow(
            label=result.contrast.label,
            verdict=self.verdict,
            tone=self.tone,
            tested=tested,
            others=(*self.claims, *others)[:MOST_MARKS],
            solid=result.phase == "confirm",
        )


def view_contrasts(
    campaign: CampaignFiles, results: Sequence[ContrastResult]
) -> tuple[ContrastView, ...]:
    """One view per result, in the order given."""
    return tuple(_view(campaign, result, number) for number, result in enumerate(results, start=1))


def _view(campaign: CampaignFiles, result: ContrastResult, number: int) -> ContrastView:
    contrast = result.contrast
    claims = campaign.claims.get(contrast.id, ())
    return ContrastView(
        result=result,
        change="; ".join(
            f"{name}: {_value(contrast.control.get(name))} → {_value(value)}"
            for name, value in contrast.changes.items()
        ),
        sentence=sentence(result),
        verdict=VERDICT_WORDS[result.verdict],
        tone=TONES[result.verdict],
        claims=tuple(
            Evidence("claim", claim.delta_bpb, text=claim.source)
            for claim in claims
            if claim.delta_bpb is not None
        ),
        notes=tuple(f"{claim.source}: {claim.note}" for claim in claims if claim.note),
        estimates=_estimates(campaign, contrast),
        figures=(
            *_figures(_runs_of(campaign, result), result, f"c{number}"),
            *_stages(result, f"c{number}s"),
        ),
    )


def _value(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    return words.number(value) if isinstance(value, float) else str(value)


def _estimates(campaign: CampaignFiles, contrast: Contrast) -> tuple[Estimate, ...]:
    """What the leaderboard says of a contrast, in its direction; our own tests stand elsewhere."""
    found: list[Estimate] = []
    variable = contrast.variable
    if campaign.dag is not None:
        ends = {variable, campaign.dag.outcome}
        for edge in campaign.dag.edges:
            if {edge.source, edge.target} == ends:
                found.extend(edge.estimates)
    if campaign.identifiability is not None:
        for entry in campaign.identifiability.variables:
            if entry.variable == variable:
                found.extend(entry.estimates)
    control, treatment = contrast.control.get(variable), contrast.treatment.get(variable)
    read = (aligned(each, control, treatment) for each in found if each.source != "tested")
    return tuple(dict.fromkeys(each for each in read if each is not None))


def _runs_of(campaign: CampaignFiles, result: ContrastResult) -> ContrastRuns | None:
    for cycle in campaign.cycles:
        if cycle.number != result.cycle or cycle.runs is None:
            continue
        for runs in cycle.runs.runs:
            if runs.contrast.id == result.contrast.id and runs.phase == result.phase:
                return runs
    return None


def _stages(result: ContrastResult, name: str) -> tuple[Markup, ...]:
    drawing = None if result.courses is None else course_figure(result.courses)
    if drawing is None:
        return ()
    label = words.plain_text(result.contrast.label, 80)
    return (inline(drawing, name, f"the effect by stage during training: {label}"),)


def _figures(runs: ContrastRuns | None, result: ContrastResult, name: str) -> tuple[Markup, ...]:
    if runs is None:
        return ()
    label = words.plain_text(result.contrast.label, 80)
    drawings = (
        ("validation bpb of both arms", validation_figure(runs)),
        ("paired difference of validation bpb", difference_figure(runs, result.mde)),
        ("training loss of both arms", loss_figure(runs)),
    )
    return tuple(
        inline(drawing, f"{name}{letter}", f"{what} during training: {label}")
        for letter, (what, drawing) in zip("vdl", drawings, strict=True)
        if drawing is not None
    )
