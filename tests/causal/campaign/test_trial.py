"""What a trial brings and costs, against simulation."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from scripts.causal.campaign.trial import Trial
from scripts.causal.stats.paired import Estimate
from scripts.causal.stats.screening import worth_confirming

TRIAL = Trial(noise=0.002, screen=2, confirm=4, alpha=0.01, mde=0.001)
DRAWS = 400_000


@pytest.mark.parametrize("mean", [-0.004, 0.0, 0.003])
@pytest.mark.parametrize("held", [0.0, 0.005])
def test_the_gain_is_what_deciding_as_the_campaign_does_brings(mean, held):
    rng = np.random.default_rng(0)
    effects = rng.normal(mean, 0.004, DRAWS)
    measured = effects + rng.normal(0, 0.002 / 2, DRAWS)
    bar = norm.isf(0.005) * 0.002 / 2
    adopted = measured <= -max(bar, held)
    assert TRIAL.gain(mean, 0.004, held) == pytest.approx(
        float(np.where(adopted, -effects - held, 0.0).mean()), rel=0.03, abs=2e-6
    )


def test_the_seeds_are_those_of_the_screening_rule():
    rng = np.random.default_rng(1)
    screened = rng.normal(-0.001, 0.003, 4000) + rng.normal(0, 0.002 / math.sqrt(2), 4000)
    estimates = {
        str(place): Estimate(float(value), 0.002, math.inf, 2)
        for place, value in enumerate(screened)
    }
    go_on = len(worth_confirming(estimates, mde=0.001)) / len(estimates)
    assert TRIAL.seeds(-0.001, 0.003) == pytest.approx(2 + 4 * go_on, abs=0.1)


def test_fresh_seeds_that_cost_twice_are_paid_where_the_screen_says_so():
    dear = replace(TRIAL, cost=3.0).of_pair()
    seeds = TRIAL.seeds(-0.001, 0.003)
    assert TRIAL.price(-0.001, 0.003) == pytest.approx(seeds)
    assert dear.price(-0.001, 0.003) == pytest.approx(3 * (2 + 2 * (seeds - 2)))


def test_the_chance_is_that_of_measuring_beyond_hurdle_and_what_is_held():
    rng = np.random.default_rng(2)
    measured = rng.normal(-0.002, 0.004, DRAWS) + rng.normal(0, 0.002 / 2, DRAWS)
    for held in (0.0, 0.005):
        bar = max(norm.isf(0.005) * 0.002 / 2, held)
        share = float((measured <= -bar).mean())
        assert TRIAL.chance(-0.002, 0.004, held) == pytest.approx(share, abs=0.005)


def test_a_trial_costs_at_most_all_of_its_seeds():
    assert TRIAL.most == 2 + 4
    assert TRIAL.of_pair().most == 2 + 2 * 4


def test_without_noise_and_hurdle_it_is_the_expected_improvement():
    exact = Trial(noise=1e-9, screen=2, confirm=4, alpha=0.999999, mde=0.001)
    z = -0.002 / 0.004
    mockus = 0.004 * (norm.pdf(z) + z * norm.cdf(z))
    assert exact.gain(0.002, 0.004) == pytest.approx(mockus, rel=1e-4)


def test_what_is_known_brings_itself_or_nothing():
    assert TRIAL.gain(-0.02, 1e-9) == pytest.approx(0.02, rel=1e-6)
    assert TRIAL.gain(+0.02, 1e-9) == 0.0


def test_a_wide_belief_is_worth_more_than_a_narrow_one():
    gains = [TRIAL.gain(0.0, sd) for sd in (0.0005, 0.002, 0.008)]
    assert gains == sorted(gains)
    assert gains[0] < 0.1 * gains[2]


def test_noise_takes_away_from_what_can_be_confirmed():
    loud = Trial(noise=0.02, screen=2, confirm=4, alpha=0.01, mde=0.001)
    assert loud.gain(-0.002, 0.004) < 0.5 * TRIAL.gain(-0.002, 0.004)
