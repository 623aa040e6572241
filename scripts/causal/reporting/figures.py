"""The report's figures: the forest of effects and the curves of a contrast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

from scripts.causal.campaign.schema import ContrastRuns
from scripts.causal.reporting import words
from scripts.causal.reporting.curves import Band, arm_band, paired_difference
from scripts.causal.reporting.svg import DPI, PALETTE, SETTINGS, figure

Kind = Literal["tested", "claim", "reported", "observed"]
Tone = Literal["better", "worse", "same", "open"]
MARKERS: dict[Kind, str] = {"tested": "o", "claim": "D", "reported": "s", "observed": "^"}
WIDE, NARROW = 880, 340
CURVE_SIZE = (320, 240)


@dataclass(frozen=True)
class Evidence:
    """An effect in bpb from one source; low and high are None where no interval is known."""

    kind: Kind
    value: float
    low: float | None = None
    high: float | None = None
    text: str = ""


@dataclass(frozen=True)
class ForestRow:
    """A contrast: what was tested and, under it, what others say.

    Attributes:
        tested: None when no pair is complete.
        verdict: the verdict in a word or two.
        solid: the effect is of fresh seeds, not of screening.
    """

    label: str
    verdict: str
    tone: Tone
    tested: Evidence | None
    others: tuple[Evidence, ...] = ()
    solid: bool = True


def forest_plot(rows: Sequence[ForestRow], *, mde: float, width: int = WIDE) -> Figure:
    """Effects with their intervals, one row per contrast; the ±mde zone is shaded.

    Below 600 pixels the labels stand above the intervals. What lies beyond the axis ends in an
    arrow: the axis fits the tested effects and the claims, not the widest interval.
    """
    narrow = width < 600
    left, right = (10, width - 10) if narrow else (206, 574)
    tops: list[float] = []
    y = 6.0
    for row in rows:
        tops.append(y)
        y += (42 if narrow else 30) + 17 * len(row.others)
    height = y + 46
    limit = _reach(rows, mde)
    with rc_context(SETTINGS):
        drawing = figure(width, height)
        axes = drawing.add_axes(
            (left / width, 46 / height, (right - left) / width, (height - 46) / height)
        )
        axes.set_xlim(-limit, limit)
        axes.set_ylim(y, 0)
        axes.axvspan(-mde, mde, color=PALETTE["band"], linewidth=0)
        axes.axvline(0, color=PALETTE["muted"], linewidth=0.9)
        place = blended_transform_factory(drawing.transFigure, axes.transData)
        under = axes.transAxes + ScaledTranslation(0, -36 / DPI, drawing.dpi_scale_trans)

        def write(x: float, y: float, text: str, tone: str, side: str = "left") -> None:
            colour = PALETTE[tone]
            axes.text(x / width, y, text, transform=place, color=colour, ha=side, va="center")

        for number, (row, top) in enumerate(zip(rows, tops, strict=True)):
            if number:
                axes.plot(
                    [0, 1],
                    [top, top],
                    transform=place,
                    color=PALETTE["rule"],
                    linewidth=0.6,
                    clip_on=False,
                )
            label = words.plain_text(row.label, 26 if narrow else 30)
            if narrow:
                write(left, top + 12, label, "ink")
                write(right, top + 12, _numbers(row.tested, short=True), row.tone, "right")
                line = top + 30
            else:
                line = top + 15
                write(8, line, label, "ink")
                write(588, line, _numbers(row.tested), "ink")
                write(width - 6, line, row.verdict, row.tone, "right")
            if row.tested is not None:
                _mark(axes, row.tested, line, limit, PALETTE[row.tone], solid=row.solid)
            for step, other in enumerate(row.others, start=1):
                _mark(axes, other, line + 17 * step, limit, PALETTE["muted"], solid=False)
                if not narrow:
                    write(196, line + 17 * step, other.kind, "muted", "right")
                    write(588, line + 17 * step, _numbers(other), "muted")
        quiet_axes(axes, grid=False)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 6, symmetric=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _signed(value)))
        for at, text, side in (
            (0, "← better", "left"),
            (0.5, "bpb", "center"),
            (1, "worse →", "right"),
        ):
            axes.text(at, 0, text, transform=under, ha=side, color=PALETTE["muted"])
    return drawing


def loss_figure(runs: ContrastRuns) -> Figure | None:
    """Training loss of both arms against steps."""
    return _arms_figure(
        runs, "step", "train_loss", "training step", "training loss, nats per token"
    )


def validation_figure(runs: ContrastRuns) -> Figure | None:
    """Validation bpb of both arms against training tokens."""
    return _arms_figure(runs, "val_tokens", "val_bpb", "training tokens", "validation bpb")


def difference_figure(runs: ContrastRuns, mde: float | None) -> Figure | None:
    """Paired difference of validation bpb against training tokens, one thin line per seed."""
    difference = paired_difference(runs)
    if difference is None:
        return None
    with rc_context(SETTINGS):
        drawing = figure(*CURVE_SIZE)
        draw_difference(drawing.add_axes(FRAME), difference, mde)
    return drawing


def curve_sheet(runs: ContrastRuns, mde: float | None = None) -> Figure | None:
    """Training loss, validation bpb and paired difference side by side, for a file."""
    arms = [
        ("step", "train_loss", "training step", "training loss, nats per token"),
        ("val_tokens", "val_bpb", "training tokens", "validation bpb"),
    ]
    difference = paired_difference(runs)
    bands = [
        (arm_band(runs, "control", x, y), arm_band(runs, "treatment", x, y)) for x, y, *_ in arms
    ]
    if difference is None and not any(band for pair in bands for band in pair):
        return None
    width, height = 3 * CURVE_SIZE[0], CURVE_SIZE[1] + 30  # the title's line
    phase = "fresh seeds" if runs.phase == "confirm" else "screening seeds"
    with rc_context(SETTINGS):
        drawing = figure(width, height)
        title = f"{words.plain_text(runs.contrast.label, 80)} · {phase}"
        drawing.text(0.004, 1 - 18 / height, title, fontsize=13, va="center")
        share = CURVE_SIZE[1] / height
        frames = [
            ((FRAME[0] + column) / 3, FRAME[1] * share, FRAME[2] / 3, FRAME[3] * share)
            for column in range(3)
        ]
        for frame, (control, treatment), (_, _, x_label, y_label) in zip(
            frames, bands, arms, strict=False
        ):
            draw_arms(drawing.add_axes(frame), control, treatment, x_label, y_label)
        if difference is not None:
            draw_difference(drawing.add_axes(frames[2]), difference, mde)
    return drawing


FRAME = (0.165, 0.175, 0.815, 0.715)


def _arms_figure(runs: ContrastRuns, x: str, y: str, x_label: str, y_label: str) -> Figure | None:
    control, treatment = arm_band(runs, "control", x, y), arm_band(runs, "treatment", x, y)
    if control is None and treatment is None:
        return None
    with rc_context(SETTINGS):
        drawing = figure(*CURVE_SIZE)
        draw_arms(drawing.add_axes(FRAME), control, treatment, x_label, y_label)
    return drawing


def draw_arms(
    axes: Axes, control: Band | None, treatment: Band | None, x_label: str, y_label: str
) -> None:
    """Both arms' mean curves; the band spans the lowest to the highest seed."""
    for band, name, dashes in ((control, "control", (4, 2)), (treatment, "treatment", ())):
        if band is None:
            continue
        colour = PALETTE[name]
        axes.fill_between(band.x, band.low, band.high, color=colour, alpha=0.2, linewidth=0)
        line = "--" if dashes else "-"
        axes.plot(band.x, band.mean, color=colour, linewidth=1.7, linestyle=line, label=name)
    quiet_axes(axes)
    _label(axes, x_label, y_label)
    _look_at_the_end(axes, [band for band in (control, treatment) if band is not None])
    axes.legend(frameon=False, loc="upper right", handlelength=2.2, borderaxespad=0.2)


def draw_difference(axes: Axes, difference: Band, mde: float | None) -> None:
    """Treatment minus control: each seed thin, their mean bold, the ±mde zone shaded."""
    if mde is not None:
        axes.axhspan(-mde, mde, color=PALETTE["band"], linewidth=0)
    axes.axhline(0, color=PALETTE["muted"], linewidth=0.9)
    for line in difference.lines:
        axes.plot(difference.x, line, color=PALETTE["treatment"], linewidth=0.8, alpha=0.5)
    axes.plot(difference.x, difference.mean, color=PALETTE["treatment"], linewidth=2)
    finish_axes(axes, "training tokens", "treatment − control, bpb (below 0: better)")


def finish_axes(axes: Axes, x_label: str, y_label: str) -> None:
    """Grid, labels and signed numbers of a drawing of differences."""
    quiet_axes(axes)
    _label(axes, x_label, y_label)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _signed(value)))


def _label(axes: Axes, x_label: str, y_label: str) -> None:
    # The label of the upright axis lies flat above it: nobody turns a phone to read it.
    axes.set_title(y_label, loc="left", x=-0.19, fontsize=11, color=PALETTE["muted"], pad=9)
    axes.set_xlabel(x_label)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _look_at_the_end(axes: Axes, bands: Sequence[Band]) -> None:
    """Let the steep first sixth of training run off the top: arms differ where they end."""
    late = [(band, band.x >= band.x[0] + (band.x[-1] - band.x[0]) / 6) for band in bands]
    if late:
        low = min(float(band.low[after].min()) for band, after in late)
        high = max(float(band.high[after].max()) for band, after in late)
        if high > low:
            axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))


def quiet_axes(axes: Axes, *, grid: bool = True) -> None:
    """Nothing but the lower axis and, with `grid`, thin lines across."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, pad=6)
    if grid:
        axes.grid(axis="y", color=PALETTE["rule"], linewidth=0.6)
        axes.set_axisbelow(True)


def _mark(axes: Axes, item: Evidence, y: float, limit: float, colour: str, *, solid: bool) -> None:
    """One estimate: marker, interval, and an arrow head where either leaves the axis."""
    low = item.value if item.low is None else item.low
    high = item.value if item.high is None else item.high
    if low < limit and high > -limit and high > low:
        width = 1.8 if item.kind == "tested" else 1.0
        axes.plot(
            [max(low, -limit), min(high, limit)], [y, y], color=colour, linewidth=width, zorder=3
        )
    for beyond, edge, head in ((low < -limit, -limit, "<"), (high > limit, limit, ">")):
        if beyond:
            axes.plot([edge], [y], head, color=colour, markersize=5, clip_on=False, zorder=3)
    if abs(item.value) <= limit:
        axes.plot(
            [item.value],
            [y],
            MARKERS[item.kind],
            color=colour,
            markersize=8 if item.kind == "tested" else 5.5,
            markerfacecolor=colour if solid else PALETTE["band"],
            markeredgewidth=1.4,
            zorder=4,
        )


def _reach(rows: Sequence[ForestRow], mde: float) -> float:
    """Half the width of the axis, in bpb: one wild effect must not flatten all the others."""
    tested = [abs(row.tested.value) for row in rows if row.tested is not None]
    claims = [abs(e.value) for row in rows for e in row.others if e.kind == "claim"]
    widest = max([*tested, *claims, 2 * mde])
    return 1.3 * min(widest, max(20 * mde, 4 * median(tested or [0.0])), 1e6)


def _numbers(item: Evidence | None, *, short: bool = False) -> str:
    if item is None:
        return "no complete pair"
    if short or item.low is None or item.high is None:
        return words.effect(item.value)
    return f"{words.effect(item.value)}  [{words.span(item.low, item.high)}]"


def _signed(value: float) -> str:
    shown = f"{value:+.4f}".rstrip("0").rstrip(".")
    return "0" if shown in ("+0", "-0", "+", "-") else shown.replace("-", words.MINUS)


def _short(value: float) -> str:
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
