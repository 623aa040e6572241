"""The other half of `trainers.quantize.trellis`: it looks for the nearest path (Viterbi 1967).

Two branches lead into each state. A branch is of one of four kinds, 2 q + parity of k, and its
points lie two steps apart, from OFFSETS on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trainers.quantize.trellis import next_states

Floats = NDArray[np.float64]
OFFSETS = np.array([0.0, 1.0, 0.5, 1.5])


@dataclass(frozen=True)
class Branches:
    """The branches into every state.

    Attributes:
        source: the states they come from, (states, 2).
        kind: which of the four they are, (states, 2).
    """

    states: int
    source: NDArray[np.int64] = field(init=False)
    kind: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        into = np.argsort(next_states(self.states).reshape(-1), kind="stable")
        into = into.reshape(self.states, 2)  # numbers 2 · state + parity
        object.__setattr__(self, "source", into >> 1)
        object.__setattr__(self, "kind", into & 3)

    def start(self, columns: int) -> Floats:
        """What it costs to be in each state before the first row: (states, columns)."""
        cost = np.full((self.states, columns), np.inf)
        cost[0] = 0
        return cost

    def traced(
        self, cost: Floats, taken: Sequence[NDArray[np.bool_]]
    ) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
        """The best paths, from the last row to the first: row, states led into, which branch.

        Args:
            cost: of the best path into each state, (states, columns).
            taken: of each row whether the second branch into a state was the better one.
        """
        columns = np.arange(cost.shape[1])
        state = cost.argmin(axis=0)
        for row in range(len(taken) - 1, -1, -1):
            second = taken[row][state, columns].astype(np.int64)
            yield row, state, second
            state = self.source[state, second]


def nearest_points(values: Floats, order: NDArray[np.int64], states: int, top: int) -> Floats:
    """Points k + q / 2 of the nearest path down each column of values in steps.

    Args:
        values: (rows, columns).
        order: in which the paths take the rows.
        top: codes k are −top to top.
    """
    branches, columns = Branches(states), np.arange(values.shape[1])
    points = points_near(values[order, None], OFFSETS[:, None], top)
    paid = np.square(points - values[order, None])
    cost, taken = branches.start(len(columns)), []
    for row in range(len(values)):
        total = cost[branches.source] + paid[row, branches.kind]
        taken.append(total[:, 1] < total[:, 0])
        cost = np.minimum(total[:, 0], total[:, 1])
    found = np.empty(values.shape)
    for row, state, second in branches.traced(cost, taken):
        found[order[row]] = points[row, branches.kind[state, second], columns]
    return found


def points_near(values: Floats, offsets: Floats, top: int) -> Floats:
    """The nearest of the points that lie two steps apart, one of them at this offset."""
    reach = top // 2
    whole = np.rint((values - offsets) / 2)
    nearest: Floats = 2 * np.minimum(np.maximum(whole, -reach), reach) + offsets
    return nearest


def points_with_feedback(
    column: Floats, steps: Floats, shares: Floats, weights: Floats, states: int, top: int
) -> Floats:
    """Points of the path down a column (rows,) that costs least.

    Every path has its own rest of the column, from which what it spoils has been taken.

    Args:
        steps: of the rows.
        shares: how much of a row's error is taken from each row after it, (rows, rows).
        weights: of the rows' squared errors.
    """
    branches = Branches(states)
    offsets, each, prices = OFFSETS[branches.kind], np.arange(states), weights * steps * steps
    rest = np.repeat(column[None], states, axis=0)
    cost, taken, points = branches.start(1)[:, 0], [], []
    for row, step in enumerate(steps.tolist()):
        values = (rest[:, 0] / step)[branches.source]
        near = points_near(values, offsets, top)
        error = values - near
        total = cost[branches.source] + prices[row] * error * error
        second = total[:, 1] < total[:, 0]
        cost = np.minimum(total[:, 0], total[:, 1])
        pick = (each, second.astype(np.int64))
        rest = rest[branches.source[pick], 1:]
        rest -= (step * error[pick])[:, None] * shares[row, row + 1 :]
        taken.append(second[:, None])
        points.append(near)
    found = np.empty(len(column))
    for row, state, second in branches.traced(cost[:, None], taken):
        found[row] = points[row][state[0], second[0]]
    return found


def column_points(
    column: Floats, steps: Floats, order: NDArray[np.int64], states: int, top: int
) -> Floats:
    """`nearest_points` of one column (rows,) of these steps."""
    return nearest_points((column / steps)[:, None], order, states, top)[:, 0]
