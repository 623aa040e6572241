"""The drawing of an effect by stage along the run."""

from scripts.causal.campaign.schema import Course, EffectCourses
from scripts.causal.reporting.course_figure import course_figure
from scripts.causal.reporting.svg import standalone

TOKENS = tuple(1e5 * k for k in range(1, 9))


def course(*effect):
    return Course(
        effect=effect,
        low=tuple(value - 0.001 for value in effect),
        high=tuple(value + 0.001 for value in effect),
        trend="steady",
    )


TRAINING = course(*(0.004 for _ in TOKENS))
ROUNDING = course(*(0.001 * k / 8 for k in range(8)))
COURSES = EffectCourses(
    tokens=TOKENS,
    tokens_per_parameter=tuple(10.0 * k for k in range(1, 9)),
    level=0.8,
    outcome=course(*(a + b for a, b in zip(TRAINING.effect, ROUNDING.effect, strict=True))),
    training=TRAINING,
    quantization=ROUNDING,
)


def test_each_stage_has_its_line():
    text = standalone(course_figure(COURSES))
    assert all(word in text for word in ("after int8", "training", "quantization"))
    assert "tokens per parameter" in text


def test_without_a_known_size_the_axis_is_tokens():
    unknown = COURSES.model_copy(update={"tokens_per_parameter": ()})
    assert "training tokens" in standalone(course_figure(unknown))


def test_runs_that_were_not_looked_at_as_int8_have_no_drawing():
    assert course_figure(COURSES.model_copy(update={"quantization": None})) is None
