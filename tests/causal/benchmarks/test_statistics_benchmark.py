"""The benchmark of verdicts: reduced error rates, what it counts, and its name among programs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.statistics_worlds import Design, World, independent_world, run_campaign, world_of
from benchmarks.verdicts import Ledger, Share, clustered, errors, promised, share

ROOT = Path(__file__).parents[3]


def book():
    lines = []
    return Ledger(lines.append), lines


@pytest.mark.parametrize("repeats", [25, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("looks", [1, 2])
def test_error_rates_hold_in_a_world_of_unequal_noise(repeats, looks):
    spreads = 0.001 * np.array([1.0, 0.6, 1.6, 0.8, 1.3, 0.5, 1.0, 1.2, 0.9])
    found, _ = book()
    errors(World("unequal", np.diag(spreads**2)), 4, looks, repeats, found)
    assert found.broken == []


@pytest.mark.slow
def test_power_is_what_was_promised_when_the_screens_were_in():
    found, _ = book()
    promised(independent_world("equal", 0.001, 8), 3, 1, 1000, found)
    assert found.broken == []


def test_a_campaign_is_decided_on_fresh_seeds_and_stops_where_it_is_clear():
    world = independent_world("w", 0.001, 4)
    design = Design(screen=2, seeds=6, confirm=2, mde=0.001, looks=3, forced=True)
    effects = np.array([-0.1, 0.0, 0.0, 0.0])
    clear, null = run_campaign(world, effects, design, np.random.default_rng(1))
    assert (clear.verdict, clear.truth) == ("confirmed_better", -0.1)
    assert clear.seeds < 6
    assert clear.plain_confirmed
    assert null.truth == 0.0
    again = run_campaign(world, effects, design, np.random.default_rng(1))
    assert again == [clear, null]


def test_a_world_has_the_spread_and_the_correlation_of_the_runs_it_comes_from():
    rng = np.random.default_rng(0)
    common = rng.normal(size=(2000, 1))
    world = world_of("runs", 0.01 * (common + rng.normal(size=(2000, 3))))
    assert world.contrasts == 2
    assert world.difference_sd == pytest.approx([0.01 * 2**0.5] * 2, rel=0.1)
    drawn = world.scores(rng, 4000, np.array([0.5, 0.0]))
    assert np.corrcoef(drawn.T)[0, 1] == pytest.approx(0.5, abs=0.06)
    assert drawn[:, 1].mean() - drawn[:, 0].mean() == pytest.approx(0.5, abs=0.01)


def test_a_promise_is_broken_beyond_two_errors_only():
    found, lines = book()
    found.hold("kept", Share(0.06, 0.01, 100), 0.0, 0.05)
    found.hold("broken", Share(0.08, 0.01, 100), 0.0, 0.05)
    assert found.broken == ["broken"]
    assert lines[1].startswith("  NOT broken: 0.0800 ± 0.0100")


def test_shares_carry_their_monte_carlo_error():
    assert share([True] * 20 + [False] * 80).error == pytest.approx(0.04)
    # Ten campaigns of two contrasts that always agree know no more than ten contrasts.
    both = clustered([[1.0, 1.0]] * 5 + [[0.0, 0.0]] * 5)
    assert (both.value, both.error) == (0.5, pytest.approx(0.5 / 10**0.5))


def test_the_programs_beside_it_find_pythons_own_statistics():
    code = "import statistics; print(statistics.fmean([1, 2]))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[0] = {str(ROOT / 'benchmarks')!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1.5\n"
