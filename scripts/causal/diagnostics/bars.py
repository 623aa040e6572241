"""Rows of bars with a number behind each: how the diagnostics show parts of a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.causal.reporting import words
from scripts.causal.reporting.figures import quiet_axes
from scripts.causal.reporting.svg import PALETTE, SETTINGS, figure

ROW, HEAD, FOOT = 22, 34, 40  # pixels
PANEL, LABELS, NUMBERS = 420, 150, 70


@dataclass(frozen=True)
class Bar:
    """One row: its value, how far that may be off, and what stands behind it."""

    label: str
    value: float
    text: str
    error: float = 0.0


@dataclass(frozen=True)
class Panel:
    """Bars under one title; `axis` says what their length means."""

    title: str
    axis: str
    bars: tuple[Bar, ...]


def bar_figure(panels: Sequence[Panel]) -> Figure:
    """The panels side by side, each with its first bar on top."""
    rows = max(len(panel.bars) for panel in panels)
    width, height = PANEL * len(panels), HEAD + ROW * max(rows, 3) + FOOT
    with rc_context(SETTINGS):
        drawing = figure(width, height)
        for place, panel in enumerate(panels):
            tall = ROW * len(panel.bars)
            axes = drawing.add_axes(
                (
                    (place * PANEL + LABELS) / width,
                    (height - HEAD - tall) / height,
                    (PANEL - LABELS - NUMBERS) / width,
                    tall / height,
                )
            )
            _draw(axes, panel)
    return drawing


def _draw(axes: Axes, panel: Panel) -> None:
    places = range(len(panel.bars))
    axes.barh(
        places,
        [bar.value for bar in panel.bars],
        height=0.62,
        color=[PALETTE["treatment" if bar.value >= 0 else "better"] for bar in panel.bars],
        xerr=[bar.error for bar in panel.bars] if any(bar.error for bar in panel.bars) else None,
        error_kw={"ecolor": PALETTE["ink"], "elinewidth": 1.0},
    )
    axes.set_ylim(len(panel.bars) - 0.5, -0.5)
    quiet_axes(axes, grid=False)
    axes.axvline(0, color=PALETTE["muted"], linewidth=0.9)
    axes.set_yticks(places, [words.plain_text(bar.label, 24) for bar in panel.bars])
    axes.locator_params(axis="x", nbins=4)
    axes.set_xlabel(panel.axis)
    axes.set_title(panel.title, loc="left", fontsize=12, color=PALETTE["ink"], pad=9)
    for place, bar in zip(places, panel.bars, strict=True):
        axes.text(
            1.03,
            place,
            bar.text,
            transform=axes.get_yaxis_transform(),
            va="center",
            color=PALETTE["muted"],
        )
