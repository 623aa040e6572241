"""The trellis: what is written is read, and what it wins at the same bits is what it should."""

import numpy as np
import pytest

from trainers.quantize.artifact import read_artifact
from trainers.quantize.gptq import rounded
from trainers.quantize.int8 import ArtifactError
from trainers.quantize.joined_rows import JoinedRows
from trainers.quantize.lattice import lattice
from trainers.quantize.pack import Stored, pack
from trainers.quantize.recipe import Recipe, quantized
from trainers.quantize.statistics import Inputs
from trainers.quantize.trellis import CHECKS, halves, next_states, row_order
from trainers.quantize.trellis_search import nearest_points

DRAW = np.random.default_rng(8)
VALUES = 8 * DRAW.standard_normal((400, 100))
ORDER = DRAW.permutation(400)


def entropy(codes):
    share = np.unique(codes, return_counts=True)[1] / codes.size
    return float(-(share * np.log2(share)).sum())


def gain(states):
    """Decibels of squared error won over rounding, at the same entropy."""
    plain, points = rounded(VALUES, 127), nearest_points(VALUES, ORDER, states, 127)
    errors = [np.square(VALUES - found).mean() for found in (plain, points)]
    more = entropy(np.floor(points)) - entropy(plain)
    return 10 * np.log10(errors[0] / errors[1]) - 20 * np.log10(2) * more


@pytest.mark.parametrize("states", CHECKS)
def test_every_state_is_reached_from_two_by_different_halves(states):
    after = next_states(states)
    assert np.array_equal(np.sort(after.ravel()), np.repeat(np.arange(states), 2))
    assert (after[:, 0] != after[:, 1]).all()


@pytest.mark.parametrize("states", CHECKS)
def test_the_reader_finds_the_points_that_the_search_chose(states):
    points = nearest_points(VALUES, ORDER, states, 127)
    codes = np.floor(points).astype(np.int8)
    assert np.array_equal(halves(codes, ORDER, states), 2 * points)
    near = points + 1e-3 * VALUES / np.abs(VALUES).max()
    assert np.array_equal(nearest_points(near, ORDER, states, 127), points)


def test_it_wins_what_is_known_of_these_codes_at_five_bits():
    """Of a memoryless source under an entropy coder, less at the columns' starts."""
    assert gain(4) == pytest.approx(0.99, abs=0.08)
    assert gain(32) == pytest.approx(1.22, abs=0.08)


def test_no_path_is_nearer():
    """Against all paths of eight rows."""
    values, order = VALUES[:8, :5], np.arange(8)
    found = np.square(values - nearest_points(values, order, 4, 127)).sum(axis=0)
    least = np.full(5, np.inf)
    for odd in range(2**8):
        parity = odd >> order & 1
        q = halves(np.repeat(parity[:, None], 1, 1).astype(np.int8), order, 4)[:, 0] - 2 * parity
        grid = (parity + q / 2)[:, None]
        error = values - (2 * np.rint((values - grid) / 2) + grid)
        least = np.minimum(least, np.square(error).sum(axis=0))
    assert np.allclose(found, least)


def test_codes_stay_within_a_byte():
    points = nearest_points(40 * VALUES, ORDER, 8, 127)
    assert np.abs(np.floor(points)).max() <= 127


@pytest.fixture(scope="module")
def known():
    x = DRAW.standard_normal((1024, 24)) * np.where(np.arange(24) == 5, 20.0, 1.0)
    g = DRAW.standard_normal((512, 96)) * np.exp(0.5 * DRAW.standard_normal(96))
    weight = DRAW.standard_normal((96, 24)).astype(np.float32)
    slope = np.square(g).mean(axis=0)
    return weight, Inputs(x.T @ x / len(x), slope, np.zeros(96), g.T @ g / len(g))


def artifact_of(known, **fields):
    recipe = Recipe(clip="curvature", k=0.05, trellis=8, **fields)
    return pack(quantized({"w": known[0]}, recipe, {"w": known[1]}), "best")


@pytest.mark.parametrize("compensated", [False, True])
def test_an_artifact_holds_points_of_its_lattice(known, compensated):
    found = lattice(known[0], known[1], 0.05, states=8)
    stored = read_artifact(artifact_of(known, compensated=compensated))["w"]
    assert len(found.split)
    assert len(np.unique(found.rows)) > 4
    codes = found.nearest(stored)
    points = halves(codes, row_order(found.rows), 8) / 2
    assert np.allclose(stored, found.offset() + points * found.grid, rtol=1e-6, atol=1e-6)


def test_rows_rounded_together_are_read_as_well(known):
    found = lattice(known[0], known[1], 0.05, states=16)
    rounding = found.rounding(known[1].outputs)
    column = known[0][:, 3].astype(np.float64)
    points = rounding(column, found.grid[:, 3].astype(np.float64))
    codes = np.floor(points).astype(np.int8)[:, None]
    assert np.array_equal(halves(codes, row_order(found.rows), 16)[:, 0], 2 * points)


def test_of_uncorrelated_rows_together_each_weighs_its_own_curvature():
    """Then it is the search without feedback, of weighted errors."""
    column, order = VALUES[:64, 0], np.arange(64)
    steps = np.ones(64)
    together = JoinedRows.of(np.eye(64), order)
    alone = nearest_points(column[:, None], order, 8, 127)[:, 0]
    assert np.array_equal(together.trellis_points(column, steps, 8, 127), alone)


@pytest.mark.parametrize(
    ("role", "shape", "steps", "message"),
    [
        ("code of 8", (4, 6), (), "the trellis of 'w' does not fit"),
        ("code of 8", (4, 6), (4, 1), "the trellis of 'w' does not fit"),
        ("code of 8", (4, 6), (3,), "the trellis of 'w' does not fit"),
        ("code of 8", (4,), (4,), "the trellis of 'w' does not fit"),
        ("code of 8", (), (), "the trellis of 'w' does not fit"),
        ("code of 5", (4, 6), (4,), "describes no array"),
        ("code of", (4, 6), (4,), "describes no array"),
    ],
)
def test_a_trellis_that_does_not_fit_is_refused(role, shape, steps, message):
    arrays = [
        Stored("w", role, "i1", np.ones(shape, np.int8), "codes"),
        Stored("w", "step", "f2", np.ones(steps, np.float16), "steps"),
    ]
    with pytest.raises(ArtifactError, match=message):
        read_artifact(pack(arrays))  # the writer reads its own header, so it may refuse already


def test_codes_with_and_without_a_trellis_are_not_both_read():
    code = np.ones((4, 6), np.int8)
    step = Stored("w", "step", "f2", np.ones(4, np.float16), "steps")
    both = [Stored("w", role, "i1", code, "codes") for role in ("code", "code of 4")]
    with pytest.raises(ArtifactError, match="is made of code, code of 4, step"):
        read_artifact(pack([*both, step]))
