"""Two changes and their sum: answers and numbers from literal cells."""

import pytest

from scripts.causal.stats.interaction import Cell, answer, interaction_prior
from scripts.causal.stats.moderated import Prior


def test_what_both_bring_beyond_the_sum():
    cell = Cell(control=2.0, one=1.99, other=1.97, both=1.95)
    assert cell.interaction == pytest.approx(-0.01)


@pytest.mark.parametrize(
    ("interactions", "p", "tost", "expected"),
    [
        ([-0.01, -0.02], 0.01, 0.9, "reinforce"),
        ([0.01, 0.02], 0.01, 0.9, "hinder"),
        ([0.0001, -0.0001], 0.8, 0.02, "add_up"),
        ([0.001, 0.002], 0.01, 0.01, "hinder"),
        ([0.01, -0.02], 0.3, 0.4, "cannot_tell"),
        ([0.0, 0.0], None, None, "add_up"),
        ([-0.02], None, None, "cannot_tell"),
    ],
)
def test_one_answer(interactions, p, tost, expected):
    found = answer(interactions, p_adjusted=p, p_equivalence_adjusted=tost, share=0.05)
    assert found == expected


def test_an_interaction_has_twice_the_variance_of_a_difference():
    assert interaction_prior(Prior(4e-6, 6.0)) == Prior(8e-6, 6.0)
    assert interaction_prior(None) is None
