"""Folded designs: what they balance, what their least squares give back, what they cost."""

import numpy as np
import pytest
import statsmodels.api as sm

from scripts.causal.stats.factorial import (
    aliased_interactions,
    folded,
    folded_design,
    main_effects,
    one_at_a_time,
    runs_to_reach,
    seeds_of_pairs,
)

SIZES = {3: 4, 4: 4, 5: 8, 8: 8, 9: 16}


def runs_of(factors, seeds=(1, 2)):
    design = folded_design(factors)
    shares = seeds_of_pairs(len(design), seeds)
    rows = [row for row, share in zip(design, shares, strict=True) for _ in share]
    blocks = [seed for share in shares for seed in share]
    return np.vstack([rows, -np.array(rows)]), [*blocks, *blocks]


@pytest.mark.parametrize(("factors", "pairs"), SIZES.items())
def test_main_effects_are_clear_of_each_other_of_seeds_and_of_interactions(factors, pairs):
    levels, blocks = runs_of(factors)
    assert levels.shape == (2 * pairs, factors)
    assert np.array_equal(levels.T @ levels, 2 * pairs * np.eye(factors))
    for seed in (1, 2):
        assert not levels[np.array(blocks) == seed].sum(axis=0).any()
    for one in range(factors):
        for other in range(one):
            assert not (levels.T @ (levels[:, one] * levels[:, other])).any()


def test_aliases_of_eight_factors_in_sixteen_runs():
    groups = aliased_interactions(folded_design(8))
    assert len(groups) == 7
    assert all(len(group) == 4 for group in groups)


def test_effects_are_those_of_ordinary_least_squares():
    levels, blocks = runs_of(8)
    rng = np.random.default_rng(0)
    effects = np.linspace(-0.02, 0.015, 8)
    outcomes = 2.0 + levels @ effects / 2 + 0.01 * np.array(blocks) + rng.normal(0, 0.001, 16)
    found = main_effects(levels, outcomes, blocks)
    indicator = np.equal.outer(blocks, [1, 2]).astype(float)
    oracle = sm.OLS(outcomes, np.hstack([indicator, levels / 2])).fit()
    assert [each.mean for each in found] == pytest.approx(oracle.params[2:])
    assert [each.standard_error for each in found] == pytest.approx(oracle.bse[2:])
    assert {each.df for each in found} == {oracle.df_resid} == {6}


def test_an_interaction_of_two_moves_no_main_effect():
    levels, blocks = runs_of(5)
    outcomes = levels @ np.arange(5.0) / 2 + 0.3 * levels[:, 0] * levels[:, 1]
    assert [each.mean for each in main_effects(levels, outcomes, blocks)] == pytest.approx(
        range(5)
    )


def test_a_lost_run_costs_precision_and_nothing_else():
    levels, blocks = runs_of(6)
    outcomes = levels @ np.arange(6.0) / 2
    kept = np.arange(16) != 5
    found = main_effects(levels[kept], outcomes[kept], list(np.array(blocks)[kept]))
    assert [each.mean for each in found] == pytest.approx(np.arange(6.0), abs=1e-9)
    with pytest.raises(ValueError, match="do not tell"):
        main_effects(levels[:6], outcomes[:6], blocks[:6])


def test_seeds_take_turns_and_more_seeds_mean_more_replicates():
    assert seeds_of_pairs(4, (1, 2)) == [(1,), (2,), (1,), (2,)]
    assert seeds_of_pairs(4, (1, 2, 3)) == [(1,), (2,), (3,), (1,)]
    assert seeds_of_pairs(4, (1, 2, 3, 4)) == [(1, 3), (2, 4), (1, 3), (2, 4)]


def test_what_a_precision_costs():
    assert one_at_a_time(8, 2, 0.004).runs == 18
    assert folded(8, 1, 0.004).runs == 16
    assert folded(8, 1, 0.004).standard_error == one_at_a_time(8, 8, 0.004).standard_error
    single, fold = runs_to_reach(0.002, 8, 0.004)
    assert (single.runs, fold.runs) == (36, 16)
    with pytest.raises(ValueError, match="must hold"):
        folded_design(2)
