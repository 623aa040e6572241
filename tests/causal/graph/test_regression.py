import numpy as np
import pytest
from statsmodels.regression.linear_model import OLS

from scripts.causal.graph.regression import fit_model, tail_of


def data(rng, n=400, wild=0.0, effects=(0.02, 0.0, -0.01)):
    columns = rng.integers(0, 2, size=(n, len(effects))).astype(float)
    noise = 0.005 * rng.standard_normal(n)
    noise += np.where(rng.random(n) < wild, rng.normal(0, 0.5, n), 0.0)
    return columns, 1.2 + columns @ np.array(effects) + noise


def test_with_normal_errors_it_is_least_squares():
    rng = np.random.default_rng(1)
    columns, y = data(rng)
    model = fit_model(y, np.ones((400, 1)), columns, range(400))
    answers = model.ask([0, 1, 2])
    fit = OLS(y, np.column_stack([np.ones(400), columns])).fit()
    assert [one.effect for one in answers] == pytest.approx(list(fit.params[1:]), abs=2e-4)
    assert [one.se for one in answers] == pytest.approx(list(fit.bse[1:]), rel=0.2)


def test_wild_scores_pull_little():
    rng = np.random.default_rng(2)
    columns, y = data(rng, wild=0.1)
    model = fit_model(y, np.ones((400, 1)), columns, range(400))
    assert model.df < 5
    (answer, *_) = model.ask([0, 1, 2])
    assert answer.effect == pytest.approx(0.02, abs=0.003)
    assert answer.se < 0.002


def test_intervals_hold_the_truth_with_wild_scores():
    held = []
    for seed in range(60):
        columns, y = data(np.random.default_rng(seed), n=200, wild=0.1)
        model = fit_model(y, np.ones((200, 1)), columns, range(200))
        for answer, truth in zip(model.ask([0, 1, 2]), (0.02, 0.0, -0.01), strict=True):
            held.append(abs(answer.effect - truth) < answer.half_width())
    assert 0.9 < np.mean(held) < 0.99


def test_kin_that_share_their_error_widen_the_interval():
    rng = np.random.default_rng(3)
    family = np.repeat(np.arange(40), 10)
    used = (family % 2).astype(float)[:, None]
    y = 0.01 * rng.standard_normal(40)[family] + 0.001 * rng.standard_normal(400)
    fixed = np.ones((400, 1))
    (kin,) = fit_model(y, fixed, used, family).ask([0])
    (alone,) = fit_model(y, fixed, used, range(400)).ask([0])
    assert kin.effect == pytest.approx(alone.effect)
    assert kin.se > 2 * alone.se
    assert kin.clusters == pytest.approx(40, rel=0.01)


def test_columns_that_cannot_be_told_apart_leave_no_share():
    rng = np.random.default_rng(4)
    columns, y = data(rng)
    twice = np.column_stack([columns, columns[:, :1]])
    model = fit_model(y, np.ones((400, 1)), twice, range(400))
    answers = model.ask([0])
    assert answers[0] is None or answers[0].share < 0.5  # the twin is shrunk, not flat
    assert all(one is None or one.share < 0.02 for one in model.ask([0, 3]))


def test_leaving_a_column_out_is_fitting_without_it():
    rng = np.random.default_rng(5)
    columns, y = data(rng)
    columns[:, 1] = np.where(rng.random(400) < 0.8, columns[:, 0], columns[:, 1])
    y = y + 0.03 * columns[:, 1]
    model = fit_model(y, np.ones((400, 1)), columns, range(400))
    alone = np.column_stack([np.ones(400), columns[:, 0]]) * np.sqrt(model.weights)[:, None]
    slope = np.linalg.lstsq(alone, np.sqrt(model.weights) * y, rcond=None)[0][1]
    assert model.effects([0], without=[1, 2]) == pytest.approx([slope])
    assert abs(model.effects([0])[0] - slope) > 0.01


def test_nothing_is_fitted_to_few_rows_or_equal_scores():
    ones = np.ones((6, 1))
    assert fit_model(np.arange(6.0), ones, ones, range(6)) is None
    many = np.ones((50, 1))
    assert fit_model(many[:, 0], many, np.arange(50.0)[:, None], range(50)) is None


def test_the_tail_is_found():
    rng = np.random.default_rng(6)
    assert tail_of(rng.standard_normal(2000))[0] >= 10
    df, scale2 = tail_of(rng.standard_t(2, 2000))
    assert df <= 3
    assert scale2 == pytest.approx(1.0, rel=0.2)
