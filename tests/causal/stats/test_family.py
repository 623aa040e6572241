import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from scripts.causal.stats.family import holm, spend


def test_holm_agrees_with_statsmodels():
    for p_values in ([0.01, 0.04, 0.03, 0.005], [0.5], [0.2, 0.2, 0.2], [0.0, 1.0, 0.9, 0.6]):
        assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


def test_a_member_without_a_p_keeps_the_family_as_large_as_planned():
    assert holm([0.01, None, 0.02]) == pytest.approx([0.03, None, 0.04])
    assert holm([None]) == [None]
    assert holm([]) == []


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_holm_does_not_depend_on_the_order(p_values, random):
    places = list(range(len(p_values)))
    random.shuffle(places)
    assert holm([p_values[k] for k in places]) == pytest.approx(
        [holm(p_values)[k] for k in places]
    )


def test_cycles_share_alpha_and_no_more():
    assert spend(0.05, 4) == (0.0125,) * 4
    assert sum(spend(0.05, 7)) == pytest.approx(0.05)
    assert spend(0.01, 1) == (0.01,)


@pytest.mark.parametrize(("alpha", "cycles"), [(0.0, 1), (1.0, 1), (float("nan"), 1), (0.05, 0)])
def test_what_cannot_be_shared_is_refused(alpha, cycles):
    with pytest.raises(ValueError):
        spend(alpha, cycles)
