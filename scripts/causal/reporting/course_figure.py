"""An effect along the run, split by the stage it arises in."""

from __future__ import annotations

from matplotlib import rc_context
from matplotlib.figure import Figure

from scripts.causal.campaign.schema import EffectCourses
from scripts.causal.reporting.figures import CURVE_SIZE, FRAME, finish_axes
from scripts.causal.reporting.svg import PALETTE, SETTINGS, figure


def course_figure(courses: EffectCourses) -> Figure | None:
    """Outcome with its band, what the weights give and what rounding adds, against training.

    None where the runs were not looked at after int8: then it would be the plain difference.
    """
    if courses.quantization is None:
        return None
    x = courses.tokens_per_parameter or courses.tokens
    outcome = courses.outcome
    with rc_context(SETTINGS):
        drawing = figure(*CURVE_SIZE)
        axes = drawing.add_axes(FRAME)
        axes.axhline(0, color=PALETTE["muted"], linewidth=0.9)
        if outcome.low:
            axes.fill_between(
                x, outcome.low, outcome.high, color=PALETTE["treatment"], alpha=0.2, linewidth=0
            )
        for course, name, line, colour in (
            (outcome, "after int8", "-", "treatment"),
            (courses.training, "training", "--", "control"),
            (courses.quantization, "quantization", ":", "ink"),
        ):
            axes.plot(x, course.effect, line, color=PALETTE[colour], linewidth=1.7, label=name)
        what = "tokens per parameter" if courses.tokens_per_parameter else "training tokens"
        finish_axes(axes, what, "effect by stage, bpb (below 0: better)")
        # Early on both arms are far from anything: the second half is what the trend is read from.
        late = len(x) // 4
        shown = [*outcome.effect[late:], *courses.training.effect[late:], 0.0]
        margin = 0.5 * (max(shown) - min(shown)) or 0.001
        axes.set_ylim(min(shown) - margin, max(shown) + margin)
        axes.legend(
            frameon=False, loc="lower center", ncols=3, columnspacing=0.9, handlelength=1.6
        )
    return drawing
