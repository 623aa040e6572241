"""Steps as the loss allows them, and columns that a byte does not reach."""

from dataclasses import replace

import numpy as np
import pytest

from trainers.quantize.artifact import read_artifact
from trainers.quantize.lattice import lattice
from trainers.quantize.magnitudes import EXPONENT_STEPS
from trainers.quantize.pack import pack
from trainers.quantize.recipe import MOST_LEVELS, SMALL_TOP, Recipe, quantized
from trainers.quantize.statistics import Inputs


@pytest.fixture
def loud():
    """A matrix one of whose inputs is twenty times as large as the others."""
    draw = np.random.default_rng(3)
    weight = draw.standard_normal((96, 24)).astype(np.float32)
    scales = np.where(np.arange(24) == 5, 20.0, 1.0)
    x = draw.standard_normal((4096, 24)) * scales
    return weight, Inputs(x.T @ x / len(x), np.ones(96), np.zeros(96))


def loss(weight, stored, known):
    error = weight.astype(np.float64) - stored
    return float(np.einsum("rc,cd,rd->", error, known.hessian, error))


def test_a_column_beyond_a_bytes_reach_is_split_and_costs_no_more_than_the_others(loud):
    weight, known = loud
    whole, split = (lattice(weight, known, 0.05, split=wanted) for wanted in (False, True))
    assert len(whole.split) == 0
    assert split.split.tolist() == [5]
    stored = {
        name: found.offset() + found.compensated(weight, known) * found.grid
        for name, found in (("whole", whole), ("split", split))
    }
    assert loss(weight, stored["split"], known) < 0.3 * loss(weight, stored["whole"], known)


def test_a_lean_grid_is_coarser_where_it_is_rounded_first(loud):
    weight, known = loud
    plain, lean = (lattice(weight, known, 0.05, lean=by) for by in (0.0, 1.0))
    coarser = lean.columns / plain.columns
    first = np.argsort(-np.diag(known.curvature()), kind="stable")
    assert coarser[first[0]] > 1.4 and coarser[first[-1]] < 0.7
    assert np.exp(np.log(coarser).mean()) == pytest.approx(1, abs=0.05)


def test_a_row_whose_error_another_makes_good_is_coarser(loud):
    weight, known = loud
    outputs = np.eye(96)
    outputs[0, 0], outputs[0, 1], outputs[1, 0] = 1.01, 0.95, 0.95
    rows = lattice(weight, replace(known, outputs=outputs), 0.05).rows
    assert rows[0] > 1.5 * rows[1]
    assert np.unique(rows[1:]).size == 1


def test_what_is_packed_comes_back_to_the_point(loud):
    weight, known = loud
    recipe = Recipe(clip="curvature", k=0.05, compensated=True)
    found = lattice(weight, known, 0.05)
    codes = found.compensated(weight, known)
    artifact = pack(quantized({"w": weight}, recipe, {"w": known}), "best")
    stored = read_artifact(artifact)["w"]
    assert np.allclose(stored, found.offset() + codes * found.grid, rtol=1e-6, atol=1e-6)
    assert np.array_equal(found.nearest(stored), codes)


def test_a_low_rank_correction_takes_the_place_of_split_columns(loud):
    weight, known = loud
    recipe = Recipe(clip="curvature", k=0.05, compensated=True, correction_rank=2)
    assert read_artifact(pack(quantized({"w": weight}, recipe, {"w": known})))["w"].shape == (
        96,
        24,
    )


def test_what_is_no_matrix_is_kept_closer_than_a_byte_would(loud):
    weight, known = loud
    thin = np.array([[1.0], [0.01]], np.float32) * weight[:2]
    small = {"thin": thin, "vector": weight[3], "zeros": np.zeros(5, np.float32)}
    recipe = Recipe(clip="curvature", k=0.05)
    found = read_artifact(pack(quantized({"w": weight} | small, recipe, {"w": known})))
    for name, value in small.items():
        widest = np.abs(value).max(axis=-1, keepdims=True) / SMALL_TOP * 2 ** (1 / EXPONENT_STEPS)
        assert (np.abs(found[name] - value) <= 0.51 * widest).all()


def test_what_is_no_matrix_is_the_closer_the_more_the_loss_feels_it(loud):
    value = loud[0][3]
    errors = []
    for curvature in (1e-3, 1e-1, 1e9):
        known = Inputs(np.ones((1, 1)), np.full(len(value), curvature), np.zeros(len(value)))
        recipe = Recipe(clip="curvature", k=0.01)
        found = read_artifact(pack(quantized({"v": value}, recipe, {"v": known})))["v"]
        errors.append(float(np.abs(found - value).max() / np.abs(value).max()))
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] <= 1 / MOST_LEVELS


def test_columns_are_split_one_by_one_as_the_knob_falls():
    """All rows alike, so that their stored steps rise together."""
    size = np.linspace(1.0, 2.0, 16, dtype=np.float32)
    weight = size * np.random.default_rng(0).choice(np.float32([-1, 1]), (16, 16))
    known = Inputs(np.eye(16), np.ones(16), np.zeros(16))
    split = [len(lattice(weight, known, k).split) for k in np.geomspace(0.02, 0.0002, 400)]
    assert split[0] == 0 and split[-1] == 16
    assert np.diff(split).max() <= 1 and np.diff(split).min() >= 0
