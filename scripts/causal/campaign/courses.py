"""An effect along the run, split by stage, in the form of the results file."""

from __future__ import annotations

from scripts.causal.campaign.measured import INT8_LOOKS, LOOKS, Measured
from scripts.causal.campaign.schema import Course, EffectCourses
from scripts.causal.stats.trend import CONFIDENCE, Trajectory, band, difference, trend


def courses(measured: Measured) -> EffectCourses | None:
    """The effect against tokens per parameter; None where no curve was recorded.

    Raises:
        InputError: a curve is malformed.
    """
    training, outcome = measured.path(LOOKS), measured.path(INT8_LOOKS)
    if training is None:
        return None
    if outcome is not None and outcome.effects.shape != training.effects.shape:
        outcome = None  # a run from before there were looks at int8
    size = measured.control_size
    tokens = tuple(training.tokens.tolist())
    return EffectCourses(
        tokens=tokens,
        tokens_per_parameter=() if size is None else tuple(t / size[0] for t in tokens),
        level=CONFIDENCE,
        outcome=_course(training if outcome is None else outcome),
        training=_course(training),
        quantization=None if outcome is None else _course(difference(outcome, training)),
    )


def _course(path: Trajectory) -> Course:
    heading, edges = trend(path), band(path)
    horizon = None
    if heading.horizon_effect is not None and heading.horizon_band is not None:
        horizon = (heading.horizon_effect, *heading.horizon_band)
    return Course(
        effect=tuple(path.effects.mean(axis=0).tolist()),
        low=() if edges is None else tuple(edges[0].tolist()),
        high=() if edges is None else tuple(edges[1].tolist()),
        trend=heading.answer,
        horizon=horizon,
    )
