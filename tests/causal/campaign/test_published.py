"""The seed spread of the bundled records, and what it says of a paired difference."""

import math

import numpy as np
import pytest

from scripts.causal.campaign.paired_effect import detectable_effect, paired_effects
from scripts.causal.campaign.published import published_prior, published_spread
from scripts.causal.campaign.schema import (
    ArmRun,
    Contrast,
    ContrastRuns,
    Pair,
    VariancePrior,
)
from scripts.causal.extract_interventions import EVIDENCE, extract_leaderboard
from scripts.causal.leaderboard.schema import Leaderboard, SeedResult, Submission
from scripts.causal.select_interventions import published_noise


def record(name, *scores):
    seeds = tuple(SeedResult(seed=n, val_bpb=score) for n, score in enumerate(scores))
    return Submission(id=name, seeds=seeds)


def test_only_merged_records_with_two_scored_seeds_tell_a_spread():
    board = Leaderboard(
        source="here",
        submissions=(
            record("track_10min_16mb/a", 1.10, 1.12),
            record("track_10min_16mb/b", 1.20, 1.21, None),
            record("track_10min_16mb/c", 1.05, 1.06, 1.07),
            record("track_10min_16mb/one", 1.05),
            record("pulls/9", 1.0, 2.0),
        ),
    )
    spread, records = published_spread(board)
    variances = [np.var(x, ddof=1) for x in ([1.10, 1.12], [1.20, 1.21], [1.05, 1.06, 1.07])]
    assert records == 3
    assert spread.df == 4
    assert spread.variance == pytest.approx(np.average(variances, weights=[1, 1, 2]))
    assert published_prior(board).scale == pytest.approx(math.sqrt(2 * spread.variance))
    assert published_prior(Leaderboard(source="here", submissions=())) is None


def test_the_bundled_records_agree_with_what_is_said_of_them():
    board = extract_leaderboard(EVIDENCE)
    spread, records = published_spread(board)
    # Equal over records: no more scatter than their two degrees of freedom each explain.
    assert spread.df >= 50
    assert records >= 22
    assert math.sqrt(spread.variance) == pytest.approx(0.00072, rel=0.1)
    assert published_noise() == published_prior(board).scale == pytest.approx(0.00102, rel=0.1)


def runs(*differences, failed=False):
    config = {"activation": "gelu"}
    contrast = Contrast(
        id="gelu",
        variable="activation",
        label="GELU",
        changes=config,
        control={"activation": "relu_sq"},
        treatment=config,
        stage="train",
        matched_by="steps",
        flops_per_pair=1.0,
        reason="test",
    )
    pairs = [
        Pair(
            seed=seed,
            control=ArmRun(key=f"c{seed}", metrics={"val_bpb": 1.1}),
            treatment=ArmRun(key=f"t{seed}", metrics={"val_bpb": 1.1 + difference}),
        )
        for seed, difference in enumerate(differences)
    ]
    if failed:
        pairs[0] = pairs[0].model_copy(update={"treatment": ArmRun(key="t0", failure="diverged")})
    return ContrastRuns(contrast=contrast, phase="confirm", pairs=tuple(pairs))


PRIOR = VariancePrior(scale=0.001, df=50, origin="test")


def test_three_seeds_at_full_scale_borrow_the_published_spread():
    (found, other) = paired_effects(
        [runs(-0.0019, -0.0020, -0.0021), runs(0.001, -0.001, 0)], PRIOR
    )
    assert (found.df, found.effect) == (52, pytest.approx(-0.002))
    assert found.sd**2 == pytest.approx((50 * 0.001**2 + 2 * 0.0001**2) / 52)
    assert found.p == pytest.approx(0.000874, abs=1e-6)  # t(52) = -3.532
    assert found.p_adjusted == pytest.approx(2 * found.p)
    assert found.interval.level == 0.99
    assert other.p_adjusted == 1.0


def test_a_seed_that_failed_or_arms_that_are_one_give_no_effect():
    assert paired_effects([runs(-0.01, -0.01, -0.01, failed=True)], PRIOR) == [None]
    assert paired_effects([runs(0.0, 0.0, 0.0)], PRIOR) == [None]
    assert paired_effects([runs(-0.002)], PRIOR) == [None]


def test_what_three_seeds_can_show_is_told_before_they_are_run():
    assert detectable_effect(1, 3, PRIOR) == pytest.approx(0.00207, abs=5e-5)
    assert detectable_effect(4, 3, PRIOR) > detectable_effect(1, 3, PRIOR)
