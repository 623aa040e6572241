import pytest
from graph_results import result, results
from scipy.stats import t as student

from scripts.causal.campaign.schema import Interval
from scripts.causal.graph.effects import findings, own_effects, own_estimate


def test_an_interval_at_another_level_is_carried_over_to_95():
    wide = result("ema", "confirmed_better", interval=Interval(level=0.99, low=-0.02, high=0.0))
    estimate = own_estimate(wide)
    half = 0.01 * student.ppf(0.975, 12) / student.ppf(0.995, 12)
    assert (estimate.low, estimate.high) == pytest.approx((-0.01 - half, -0.01 + half))
    assert estimate.n == 4


def test_at_95_nothing_changes():
    estimate = own_estimate(result("ema", "confirmed_better"))
    assert (estimate.low, estimate.high) == pytest.approx((-0.014, -0.006))


def test_a_failed_contrast_has_no_effect():
    assert own_estimate(result("ema", "failed")) is None
    assert own_estimate(result("ema", "inconclusive", interval=None)) is None


def test_a_later_result_of_the_same_contrast_replaces_the_earlier():
    earlier, later = (results(result("ema", "inconclusive", effect)) for effect in (-0.1, -0.2))
    (estimate,) = own_effects([earlier, later])["ema"]
    assert estimate.effect == -0.2


def test_findings_need_the_confirmatory_phase():
    found = findings(
        [
            results(
                result("ema", "confirmed_worse"),
                result("swa", "equivalent"),
                result("qat", "inconclusive"),
                result("ttt", "screened_out", phase="screen"),
                result("slot", "failed"),
            )
        ]
    )
    assert found == {"ema": "confirmed", "swa": "equivalent", "qat": "undecided"}


def test_one_confirmed_contrast_of_a_variable_is_enough():
    found = findings([results(result("ema", "equivalent"), result("ema", "confirmed_better"))])
    assert found == {"ema": "confirmed"}
