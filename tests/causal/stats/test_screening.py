import pytest

from scripts.causal.stats.paired import Estimate
from scripts.causal.stats.screening import promise, worth_confirming


def screened(mean, sd=0.001, df=6, pairs=2):
    return Estimate(mean, sd, df, pairs)


def test_improvements_by_size_then_clear_harms():
    estimates = {
        "harm": screened(0.02),
        "small gain": screened(-0.003),
        "nothing": screened(0.0),
        "big gain": screened(-0.02),
        "slight harm": screened(0.0015),
    }
    assert worth_confirming(estimates, mde=0.002) == ["big gain", "small gain", "harm"]


def test_what_is_uncertain_gets_its_chance():
    assert worth_confirming({"noisy": screened(0.001, sd=0.01)}, mde=0.002) == ["noisy"]
    assert worth_confirming({"sure": screened(0.001, sd=0.0001)}, mde=0.002) == []


def test_without_a_spread_the_point_decides():
    assert promise(Estimate(-0.003, 0.0, 0, 1), 0.002).gain == 1
    assert worth_confirming({"one": Estimate(-0.001, 0.0, 0, 1)}, mde=0.002) == []


def test_probabilities_mirror_when_the_arms_are_swapped():
    there, back = promise(screened(0.0013), 0.002), promise(screened(-0.0013), 0.002)
    assert there.gain == pytest.approx(back.harm)
    assert there.harm == pytest.approx(back.gain)


@pytest.mark.parametrize(("mde", "threshold"), [(0.0, 0.1), (0.002, 0.0), (0.002, 0.5)])
def test_senseless_terms_are_refused(mde, threshold):
    with pytest.raises(ValueError):
        worth_confirming({"a": screened(0.1)}, mde=mde, threshold=threshold)
