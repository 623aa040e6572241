import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.causal.reporting import words


def test_invisible_marks_are_written_out() -> None:
    assert words.plain_text("a\u202eb") == "a[U+202E]b"
    assert words.plain_text("two\nlines\tand\x00") == "two lines and[U+0000]"


def test_long_text_is_cut() -> None:
    assert words.plain_text("x" * 50, limit=10) == "x" * 10 + "…"


@given(st.text(alphabet=st.characters(codec=None)))
def test_nothing_that_steers_the_display_is_left(text: str) -> None:
    shown = words.plain_text(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [(-0.00213, "−0.0021"), (0.0214, "+0.0214"), (-0.00001, "0.0000"), (None, "–")],
)
def test_an_effect_shows_its_sign(value: float | None, shown: str) -> None:
    assert words.effect(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "< 0.001"), (0.0123, "0.012"), (1.0, "1.000"), (None, "–")]
)
def test_a_p_value_is_never_zero(value: float | None, shown: str) -> None:
    assert words.probability(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.004, "< 1%"), (0.86, "86%"), (0.999, "> 99%"), (1.0, "100%")]
)
def test_a_share_is_not_rounded_to_certainty(value: float, shown: str) -> None:
    assert words.percent(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (3.14e13, "3.1 × 10<sup>13</sup>"),
        (9.97e12, "1.0 × 10<sup>13</sup>"),
        (1234.0, "1,234"),
    ],
)
def test_flops_are_a_power_of_ten(value: float, shown: str) -> None:
    assert words.flops(value).replace(words.NO_BREAK, " ") == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(2.34, "2.3 s"), (59.7, "1 min 0 s"), (385.2, "6 min 25 s"), (7260, "2 h 1 min")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert words.duration(seconds) == shown


def test_lists_read_as_english() -> None:
    assert words.listed([]) == ""
    assert words.listed(["a"]) == "a"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.listed(list("abcdefgh"), most=4) == "a, b, c and 5 more"
