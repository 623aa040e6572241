"""The competition's test against scipy, on records' own numbers, and where nothing can be told."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from scripts.causal.stats.record import MARGIN_NATS, beats

SCORES = st.lists(st.floats(0.9, 1.5), min_size=3, max_size=6)


@given(SCORES, SCORES, st.floats(0, 0.01))
def test_welch_is_scipys(ours, theirs, margin):
    assume(len(set(ours)) > 1 and len(set(theirs)) > 1)
    assume(max(ours) - min(ours) > 1e-6)
    expected = stats.ttest_ind(
        [score + margin for score in ours], theirs, equal_var=False, alternative="less"
    )
    found = beats(ours, theirs, margin)
    assert found.method == "Welch"
    assert found.p == pytest.approx(expected.pvalue, abs=1e-9)
    assert found.df == pytest.approx(expected.df)


@given(SCORES, st.floats(0.9, 1.5), st.floats(0, 0.01))
def test_one_sample_is_scipys(ours, theirs, margin):
    assume(max(ours) - min(ours) > 1e-6)
    expected = stats.ttest_1samp([s + margin for s in ours], theirs, alternative="less")
    found = beats(ours, [theirs], margin)
    assert found.method == "one-sample"
    assert found.p == pytest.approx(expected.pvalue, abs=1e-9)
    assert found.df == pytest.approx(len(ours) - 1)


def test_a_published_record_against_the_one_before():
    """Per-seed bpb of records 2026-04-27 and 2026-04-23 as their READMEs give them."""
    later, before = (1.05989454, 1.06124613, 1.06208695), (1.064, 1.06308, 1.06297)
    found = beats(later, before, margin=0.0)
    assert found.improvement == pytest.approx(0.002274, abs=1e-6)
    assert found.p is not None and 0.02 < found.p < 0.05
    with_margin = beats(later, before, MARGIN_NATS * 0.457)  # bpb per nat of their tokenizer
    assert with_margin.p is not None and with_margin.p > 0.4


def test_the_margin_is_part_of_the_null():
    ours, theirs = (1.200, 1.201, 1.199), (1.203, 1.204, 1.202)
    assert beats(ours, theirs, 0.0).p < 0.02
    assert beats(ours, theirs, 0.003).p == pytest.approx(0.5)
    assert beats(ours, theirs, 0.005).p > 0.9


def test_runs_without_spread_cannot_be_tested():
    found = beats((1.1, 1.1, 1.1), (1.2, 1.2, 1.2), 0.001)
    assert found.p is None and found.df is None
    assert found.improvement == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("ours", "theirs"), [((1.1,), (1.2, 1.3)), ((1.1, 1.2), ()), ((1.1, float("nan")), (1.0,))]
)
def test_too_few_or_no_numbers_are_refused(ours, theirs):
    with pytest.raises(ValueError):
        beats(ours, theirs, 0.0)
