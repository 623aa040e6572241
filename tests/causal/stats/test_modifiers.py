"""Two settings of one contrast: Welch's test against SciPy's, and the answers."""

import math

import numpy as np
import pytest
from scipy import stats

from scripts.causal.stats.modifiers import answer, compare
from scripts.causal.stats.paired import Estimate, plain_estimate

HERE = [-0.012, -0.010, -0.011, -0.009]
THERE = [0.004, 0.006, 0.009]


def test_the_difference_is_welchs():
    found = compare(plain_estimate(HERE), plain_estimate(THERE), margin=0.005)
    oracle = stats.ttest_ind(THERE, HERE, equal_var=False)
    assert found.difference.mean == pytest.approx(np.mean(THERE) - np.mean(HERE))
    assert found.difference.df == pytest.approx(oracle.df)
    assert found.p == pytest.approx(oracle.pvalue)
    assert found.p_equivalence == pytest.approx(1, abs=0.01)


def test_a_known_variance_has_no_end_of_freedom():
    known = Estimate(0.0, 0.001, math.inf, 4)
    assert compare(known, known, 0.005).difference.df == math.inf


def test_one_pair_each_tells_nothing():
    single = plain_estimate([0.01])
    assert compare(single, plain_estimate(HERE), 0.005).p is None


@pytest.mark.parametrize(
    ("second", "p", "tost", "expected"),
    [
        (THERE, 0.001, 0.9, "turns"),
        ([-0.001, 0.001, 0.0], 0.001, 0.9, "depends"),
        (HERE, 0.9, 0.01, "same"),
        (THERE, 0.2, 0.3, "cannot_tell"),
        (THERE, None, None, "cannot_tell"),
    ],
)
def test_one_answer(second, p, tost, expected):
    found = answer(
        plain_estimate(HERE),
        plain_estimate(second),
        p_adjusted=p,
        p_equivalence_adjusted=tost,
        alpha=0.05,
    )
    assert found == expected


def test_false_dependence_stays_at_its_rate():
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(2000):
        one = plain_estimate(rng.normal(0.01, 0.001, 4))
        other = plain_estimate(rng.normal(0.01, 0.003, 3))
        p = compare(one, other, 0.005).p
        wrong += p is not None and p <= 0.05
    assert wrong / 2000 < 0.065
