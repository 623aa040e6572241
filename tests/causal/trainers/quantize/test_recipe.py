"""Quantizers: each does what its paper promises on a problem small enough to see."""

import numpy as np
import pytest

from trainers.quantize.artifact import read_artifact, restored
from trainers.quantize.corrections import activation_columns
from trainers.quantize.gptq import compensated_points, inverse_factor, rounded
from trainers.quantize.grids import (
    TOPS,
    deviation_steps,
    half_down,
    largest_steps,
    percentile_steps,
)
from trainers.quantize.int8 import ArtifactError, row_scale
from trainers.quantize.knob import solved_knob
from trainers.quantize.pack import pack, parts_of
from trainers.quantize.recipe import Recipe, quantized
from trainers.quantize.statistics import Inputs

DRAW = np.random.default_rng(6).standard_normal
ROWS, COLUMNS = 40, 192  # more columns than a block of GPTQ
WEIGHT = DRAW((ROWS, COLUMNS), np.float32)
MIXING = DRAW((COLUMNS, COLUMNS)) * np.exp(DRAW(COLUMNS))[:, None]
HESSIAN = MIXING @ MIXING.T / COLUMNS
KNOWN = Inputs(HESSIAN, slope=np.exp(2 * DRAW(ROWS)), lookup=np.zeros(ROWS))


def loss(found, known=KNOWN):
    """What the rounding of WEIGHT costs, to second order."""
    error = (found - WEIGHT).astype(np.float64)
    return np.einsum("rc,cd,rd,r->", error, known.hessian, error, known.slope, optimize=True)


def read(recipe, known=KNOWN):
    return restored(parts_of(quantized({"w": WEIGHT}, recipe, {"w": known})))["w"]


def size(recipe):
    return len(pack(quantized({"w": WEIGHT}, recipe, {"w": KNOWN}), "ans"))


def test_the_factor_is_of_the_inverse():
    factor = inverse_factor(HESSIAN)
    damped = HESSIAN + 0.01 * np.diag(HESSIAN).mean() * np.eye(COLUMNS)
    assert np.allclose(factor.T @ factor @ damped, np.eye(COLUMNS), atol=1e-6)
    assert np.array_equal(factor, np.triu(factor))


def to_nearest(top):
    return lambda column, steps: rounded(column / steps, top)


def test_gptq_is_rounding_where_columns_do_not_meet():
    steps = largest_steps(WEIGHT, 7).astype(np.float64)[:, None]
    codes = compensated_points(WEIGHT, steps, np.diag(np.arange(1.0, COLUMNS + 1)), to_nearest(7))
    assert np.array_equal(codes, rounded(WEIGHT / steps, 7))


@pytest.mark.parametrize("bits", ["int4", "int5", "int6"])
def test_gptq_beats_rounding_on_the_same_grid(bits):
    nearest, compensated = read(Recipe(bits)), read(Recipe(bits, compensated=True))
    assert loss(compensated) < 0.6 * loss(nearest)


def test_gptq_goes_column_by_column_as_defined():
    """Against the definition of the method, without blocks, at each step the whole inverse."""
    hessian, top = HESSIAN[:24, :24], 7
    steps = largest_steps(WEIGHT[:, :24], top).astype(np.float64)[:, None]
    order = np.argsort(-np.diag(hessian), kind="stable")
    damped = hessian + 0.01 * np.diag(hessian).mean() * np.eye(24)
    rest, expected = WEIGHT[:, :24].astype(np.float64), np.zeros((ROWS, 24))
    for at, column in enumerate(order):
        later = order[at:]
        inverse = np.linalg.inv(damped[np.ix_(later, later)])
        expected[:, column] = rounded(rest[:, column] / steps[:, 0], top)
        error = rest[:, column] - expected[:, column] * steps[:, 0]
        rest[:, later] -= np.outer(error / inverse[0, 0], inverse[0])
    assert np.array_equal(
        compensated_points(WEIGHT[:, :24], steps, hessian, to_nearest(top)), expected
    )


def test_more_of_each_remedy_is_a_smaller_loss():
    plain = loss(read(Recipe("int4")))
    assert loss(read(Recipe("int4", grouped=True))) < plain
    assert loss(read(Recipe("int4", activation_aware=True))) < plain
    assert loss(read(Recipe("int4", correction_rank=4))) < plain
    assert loss(read(Recipe("int4", correction_rank=16))) < loss(
        read(Recipe("int4", correction_rank=4))
    )
    losses = [loss(read(Recipe(bits))) for bits in ("int8", "int7", "int6", "int5", "int4")]
    assert losses == sorted(losses)


def test_the_best_clip_is_no_worse_than_the_largest():
    wide = DRAW((ROWS, 1536), np.float32)
    wide[::2, 0] = 8.0  # half of the rows have an outlier
    for top in (7, 15):
        left = []
        for steps in (largest_steps(wide, top), percentile_steps(wide, top)):
            grid = steps.astype(np.float64)[:, None]
            left.append(np.square(wide - rounded(wide / grid, top) * grid).sum(axis=1))
        assert (left[1] <= left[0]).all() and (left[1] < left[0]).any()


def test_steps_are_halves_rounded_down():
    assert np.array_equal(largest_steps(WEIGHT, 127), row_scale(WEIGHT))
    assert (half_down(np.array([1 / 3])) <= 1 / 3).all()
    spread = deviation_steps(WEIGHT, 31, 12.85).astype(np.float64)
    assert np.allclose(spread, 12.85 * WEIGHT.std(axis=1) / 31, rtol=1e-3)


def test_awq_gives_the_large_inputs_the_finer_steps():
    hessian = np.diag(np.geomspace(1, 10_000, COLUMNS))
    columns = activation_columns(WEIGHT, hessian, 7)
    assert columns[-1] < columns[0]


def test_curvature_steps_give_bytes_to_what_the_loss_feels():
    curved = Recipe(clip="curvature", k=1.0, compensated=True)
    deviation = Recipe("int8", "deviation", 25.0, compensated=True)
    cap = size(deviation)
    k = solved_knob(
        lambda k: size(Recipe(clip="curvature", k=k, compensated=True)),
        cap,
        start=curved.k,
        weights=WEIGHT.size,
    )
    ours = read(Recipe(clip="curvature", k=k, compensated=True))
    assert loss(ours) < 0.7 * loss(read(deviation))


def test_bits_are_mixed_by_tensor():
    mixed = Recipe("int6_int8")
    assert [mixed.bits_of(n) for n in ("embed", "blocks.0.attn.q", "blocks.0.mlp.fc")] == [
        *("int8", "int6", "int6")
    ]
    assert Recipe("int5_int6").bits_of("blocks.0.mlp.fc") == "int5"


def test_ternary_weights_have_three_values():
    found = read_artifact(pack(quantized({"w": WEIGHT}, Recipe("ternary", packed=True))))["w"]
    assert all(len(np.unique(row)) <= 3 for row in found)


@pytest.mark.parametrize(("clip", "k"), [("deviation", 20.0), ("curvature", 0.3)])
@pytest.mark.parametrize("share", [0.9, 0.6])
def test_the_knob_ends_just_under_any_cap(clip, k, share):
    cap = int(share * WEIGHT.size)

    def measured(k):
        return size(Recipe("int8", clip, k))

    solved = solved_knob(measured, cap, start=k, weights=WEIGHT.size)
    assert 0.995 * cap <= measured(solved) <= cap


def test_a_cap_that_nothing_fits_is_said():
    with pytest.raises(ArtifactError, match="no grid packs into 10 bytes"):
        solved_knob(lambda k: 5000, 10, start=1.0, weights=100)
    with pytest.raises(ArtifactError, match="tried 40 to 40 bytes"):
        solved_knob(lambda k: 40, 10_000, start=1.0, weights=100)


def test_recipes_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="no clip"):
        Recipe("int9")
    with pytest.raises(ValueError, match="k > 0"):
        Recipe(clip="deviation")
    with pytest.raises(ValueError, match="no trellis of 5 states"):
        Recipe(clip="curvature", k=1.0, trellis=5)
    with pytest.raises(ValueError, match="for the clip 'largest'"):
        Recipe(trellis=8)
    assert TOPS["int6"] == 31
