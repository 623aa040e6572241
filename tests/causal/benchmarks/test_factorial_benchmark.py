"""The simulated part of the benchmark; its real part trains and is run by hand."""

from benchmarks.factorial import Spread, simulated_screens


def test_half_the_runs_give_at_least_the_precision():
    found = simulated_screens(Spread(0.01, 0.003), 200, 0, interacting=False)
    assert found["share_of_runs"] <= 0.5
    assert found["error_together"] < found["error_alone"]
    assert 0.93 < found["coverage_together"] < 0.97
