"""Rounding the rows of a column together, and columns after one another, under two curvatures."""

import numpy as np

from trainers.quantize.gptq import JoinedRows, compensated, inverse_factor


def curvature(size, seed):
    draw = np.random.default_rng(seed).standard_normal((4 * size, size))
    draw += draw[:, :1]  # outputs that pull together
    return draw.T @ draw / len(draw)


def loss_of(weight, rows, columns, together):
    steps = np.full(weight.shape, 0.5)
    rest = weight.copy()
    codes = compensated(rest, steps, inverse_factor(columns), 127, weight.shape[1], together)
    error = weight - codes * steps
    return np.trace(rows @ error @ columns @ error.T)


def test_rows_rounded_together_lose_less_under_their_curvature():
    weight = np.random.default_rng(0).standard_normal((24, 16))
    rows, columns = curvature(24, 1), curvature(16, 2)
    alone = loss_of(weight, rows, columns, None)
    assert loss_of(weight, rows, columns, JoinedRows.of(rows)) < 0.8 * alone


def test_rows_that_do_not_pull_together_are_each_rounded_to_the_nearest():
    column, steps = np.array([0.3, -1.7, 2.4, 90.0]), np.array([1.0, 0.5, 0.5, 0.5])
    together = JoinedRows.of(np.diag([1.0, 3.0, 2.0, 0.5]))
    assert together.rounded(column, steps, 127).tolist() == [0, -3, 5, 127]
    assert together.order.tolist() == [1, 2, 0, 3]
