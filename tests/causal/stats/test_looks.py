"""Interim looks: levels that add up, sequential p-values that hold for dependent looks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scripts.causal.stats.family import holm
from scripts.causal.stats.looks import MOST, level_at, planned_looks, sequential_p, spent


@pytest.mark.parametrize(
    ("seeds", "looks", "counts"),
    [
        (4, 1, (4,)),
        (4, 2, (2, 4)),
        (4, 3, (2, 3, 4)),
        (8, 4, (2, 4, 6, 8)),
        (7, 2, (4, 7)),
        (3, 3, (2, 3)),
        (2, 5, (2,)),
    ],
)
def test_looks_are_spread_over_the_seeds_from_two_on(seeds, looks, counts):
    assert planned_looks(seeds, looks) == counts


def test_no_look_is_refused():
    with pytest.raises(ValueError, match="at least one look"):
        planned_looks(4, 0)


def test_spending_is_lan_and_demets():
    # Two-sided 0.05 at half the information: z = 2.2414 / sqrt(1/2), Lan & DeMets' table: 0.0031.
    assert spent(0.05, 0.5) == pytest.approx(0.00305, abs=2e-5)
    assert spent(0.05, 1.0) == 0.05


@given(st.floats(1e-12, MOST), st.integers(2, 30), st.integers(1, 6))
def test_the_looks_levels_add_up_to_the_whole(alpha, seeds, looks):
    counts = planned_looks(seeds, looks)
    levels = [level_at(alpha, counts, look) for look in range(len(counts))]
    assert min(levels) >= 0
    assert sum(levels) == pytest.approx(alpha)


@given(st.floats(1e-9, MOST), st.floats(1.0, 1.2), st.integers(2, 30), st.integers(1, 6))
def test_every_level_grows_with_the_whole(alpha, factor, seeds, looks):
    counts = planned_looks(seeds, looks)
    more = min(alpha * factor, MOST)
    for look in range(len(counts)):
        assert level_at(more, counts, look) >= level_at(alpha, counts, look) * (1 - 1e-9)


@settings(deadline=None)
@given(st.floats(1e-300, 1.0), st.integers(2, 12), st.integers(1, 4), st.floats(1e-6, 0.5))
def test_a_sequential_p_is_the_least_level_that_rejects(p, seeds, looks, alpha):
    counts = planned_looks(seeds, looks)
    for look in range(len(counts)):
        found = sequential_p([None] * look + [p], counts)
        assert found >= p * (1 - 1e-6)
        level = level_at(alpha, counts, look)
        if abs(p - level) > 1e-6 * level:
            assert (found <= alpha) == (p <= level)


def test_one_look_leaves_the_p_value_as_it_is():
    assert sequential_p([0.71], (4,)) == 0.71
    assert sequential_p([None], (4,)) is None
    assert sequential_p([0.0, None], (2, 4)) == 0.0


def test_more_looks_can_only_lower_it():
    counts = (2, 3, 4)
    assert sequential_p([0.001], counts) >= sequential_p([0.001, 0.2], counts)
    assert sequential_p([0.001, 0.01], counts) > sequential_p([0.001, 0.01, 1e-5], counts)
    with pytest.raises(ValueError, match="2 looks were taken, 1 planned"):
        sequential_p([0.1, 0.1], (4,))


@pytest.mark.parametrize("repeats", [4000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_stopping_early_under_holm_keeps_the_family_wise_error(repeats):
    # Three null contrasts that share a control, plain t with few df, three looks: no help at all.
    rng = np.random.default_rng(3)
    counts, alpha = (3, 5, 8), 0.05
    differences = rng.normal(size=(repeats, 3, 8)) - rng.normal(size=(repeats, 1, 8))
    p = np.stack(
        [stats.ttest_1samp(differences[..., :n], 0, axis=-1).pvalue for n in counts], axis=-1
    )
    wrong = 0
    for family in p[(p.min(axis=(1, 2)) <= alpha)]:
        wrong += min(holm([sequential_p(list(looks), counts) for looks in family])) <= alpha
    assert wrong / repeats <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / repeats)
    assert wrong / repeats > alpha / 2
