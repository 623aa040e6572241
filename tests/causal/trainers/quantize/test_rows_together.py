"""Rounding the rows of a column together, and columns after one another, under two curvatures."""

from functools import partial

import numpy as np

from trainers.quantize.gptq import compensated, inverse_factor, rounded
from trainers.quantize.joined_rows import JoinedRows


def curvature(size, seed):
    draw = np.random.default_rng(seed).standard_normal((4 * size, size))
    draw += draw[:, :1]  # outputs that pull together
    return draw.T @ draw / len(draw)


ROWS, COLUMNS = curvature(24, 1), curvature(16, 2)
WEIGHT = np.random.default_rng(0).standard_normal((24, 16))
TOGETHER = JoinedRows.of(ROWS, np.argsort(-np.diag(ROWS)))


def loss_by(rounding, step=0.5):
    steps = np.full(WEIGHT.shape, step)
    rest = WEIGHT.copy()
    points = compensated(rest, steps, inverse_factor(COLUMNS), WEIGHT.shape[1], rounding)
    error = WEIGHT - points * steps
    return np.trace(ROWS @ error @ COLUMNS @ error.T)


def test_rows_rounded_together_lose_less_under_their_curvature():
    alone = loss_by(lambda column, steps: rounded(column / steps, 127))
    assert loss_by(partial(TOGETHER.rounded, top=127)) < 0.8 * alone


def test_under_a_trellis_too_and_the_more_states_the_less():
    plain = loss_by(partial(TOGETHER.rounded, top=127), 0.1)
    found = [
        loss_by(partial(TOGETHER.trellis_points, states=states, top=127), 0.1)
        for states in (4, 32)
    ]
    assert found[1] < found[0] < 0.9 * plain


def test_rows_that_do_not_pull_together_are_each_rounded_to_the_nearest():
    column, steps = np.array([0.3, -1.7, 2.4, 90.0]), np.array([1.0, 0.5, 0.5, 0.5])
    together = JoinedRows.of(np.diag([1.0, 3.0, 2.0, 0.5]), np.array([1, 2, 0, 3]))
    assert together.rounded(column, steps, 127).tolist() == [0, -3, 5, 127]
