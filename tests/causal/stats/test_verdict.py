import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.causal.stats.verdict import Evidence, decide

CLEAR = Evidence(
    tested=True,
    pairs=3,
    effect=-0.004,
    identical=False,
    treatment_failures=0,
    p_adjusted=0.01,
    p_equivalence_adjusted=0.9,
)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "confirmed_better"),
        ({"effect": 0.004}, "confirmed_worse"),
        ({"p_adjusted": 0.0126}, "inconclusive"),
        ({"p_adjusted": 0.0125}, "confirmed_better"),
        ({"p_adjusted": 0.5, "p_equivalence_adjusted": 0.01}, "equivalent"),
        ({"p_equivalence_adjusted": 0.01}, "confirmed_better"),
        ({"p_adjusted": None, "p_equivalence_adjusted": None}, "inconclusive"),
        ({"tested": False}, "screened_out"),
        ({"tested": False, "pairs": 0, "effect": None}, "failed"),
        ({"pairs": 0, "effect": None}, "failed"),
        ({"pairs": 1}, "inconclusive"),
        ({"effect": 0.0, "identical": True, "p_adjusted": None}, "equivalent"),
        ({"treatment_failures": 1}, "inconclusive"),
        ({"treatment_failures": 1, "effect": 0.004}, "confirmed_worse"),
        (
            {"treatment_failures": 1, "p_adjusted": 1.0, "p_equivalence_adjusted": 0.0},
            "inconclusive",
        ),
    ],
)
def test_each_row_of_the_table(change, expected):
    assert decide(dataclasses.replace(CLEAR, **change), share=0.0125) == expected


@settings(deadline=None)
@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.integers(2, 9), st.integers(0, 2))
def test_nothing_is_claimed_without_its_p(effect, p, p_tost, pairs, failures):
    decided = decide(Evidence(True, pairs, effect, False, failures, p, p_tost), share=0.05)
    if decided.startswith("confirmed"):
        assert p <= 0.05
        assert (effect < 0) == (decided == "confirmed_better")
    if decided == "equivalent":
        assert p_tost <= 0.05
