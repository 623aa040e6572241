"""One quantizer, put together from its parts, for the weights of any model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.quantize.artifact import FINER, GROUP, restored
from trainers.quantize.corrections import activation_columns, low_rank
from trainers.quantize.gptq import column_rounded, compensated_points, rounded
from trainers.quantize.grids import (
    TOPS,
    deviation_steps,
    in_groups,
    largest_steps,
    mean_steps,
    percentile_steps,
)
from trainers.quantize.int8 import MATRIX_MIN_SIDE, ArtifactError
from trainers.quantize.lattice import Lattice, lattice
from trainers.quantize.magnitudes import EXPONENT_STEPS
from trainers.quantize.numbers import exponents_to_steps
from trainers.quantize.pack import Stored, parts_of, steps_to_exponents
from trainers.quantize.statistics import Inputs
from trainers.quantize.trellis import CHECKS

CLIPS = ("largest", "percentile", "deviation", "curvature")
STEP_UP = 2.0 ** (0.5 / EXPONENT_STEPS)  # a step is stored as at most so much less than it is
# Levels of what is no matrix, up to a row's largest: without statistics, at least and at most. At
# 127 such rounding lost 3 % of what all matrices did; at 320 still 2 %, nearly all of it in two
# tensors that the loss feels more than others. No more than 127 codes of FINER parts can hold.
SMALL_TOP, FEWEST_LEVELS, MOST_LEVELS = 320, 40, 1000
SMALL_SHARE = 0.5  # of a matrix's step for as much curvature: nothing makes up for this rounding
PACKED_KINDS = {"int6": "p6", "int5": "p5", "int4": "p4", "ternary": "t1"}


@dataclass(frozen=True)
class Recipe:
    """How weights become codes. What needs calibration says so; the rest takes the weights alone.

    Attributes:
        bits: of the bulk, a key of TOPS; "int6_int8" has the tables in int8, "int5_int6" the MLPs
            in int5 (record 2026-03-20).
        clip: where the grid ends: the row's largest magnitude, the best of five percentiles, k
            standard deviations; or "curvature": no clip, and steps as the loss allows them, by
            row and column, times k (calibration).
        k: the knob of the last two: more of it, fewer bytes.
        grouped: a step for every GROUP columns of a row instead of one for the row.
        compensated: GPTQ (calibration).
        activation_aware: AWQ's column scales (calibration).
        correction_rank: rank of LQER's correction of the `correction_count` worst matrices.
        trellis: states of the trellis that the steps of the curvature are under, 0 for none.
        packed: codes are written in their bits instead of in a byte each.
    """

    bits: str = "int8"
    clip: str = "largest"
    k: float = 0.0
    grouped: bool = False
    compensated: bool = False
    activation_aware: bool = False
    correction_rank: int = 0
    correction_count: int = 3
    trellis: int = 0
    packed: bool = False

    def __post_init__(self) -> None:
        if self.clip not in CLIPS or self.bits not in (*TOPS, "int6_int8", "int5_int6"):
            raise ValueError(f"no clip {self.clip!r} or no bits {self.bits!r}")
        if self.clip in ("deviation", "curvature") and not self.k > 0:
            raise ValueError(f"`k > 0` must hold, but got k={self.k}")
        if self.trellis and (self.clip != "curvature" or self.trellis not in CHECKS):
            raise ValueError(f"no trellis of {self.trellis} states for the clip {self.clip!r}")

    @property
    def needs_calibration(self) -> bool:
        """Whether the statistics of `trainers.gpt.calibration` are used."""
        return self.compensated or self.activation_aware or self.clip == "curvature"

    def bits_of(self, name: str) -> str:
        """A key of TOPS for the matrix of this name."""
        if self.clip == "curvature":
            return "int8"
        if self.bits == "int6_int8":
            return "int8" if ".attn." not in name and ".mlp." not in name else "int6"
        if self.bits == "int5_int6":
            return "int5" if ".mlp." in name else "int6"
        return self.bits


def quantized(
    weights: Mapping[str, NDArray[np.float32]],
    recipe: Recipe,
    inputs: Mapping[str, Inputs] | None = None,
    lattices: Mapping[str, Lattice] | None = None,
) -> list[Stored]:
    """Codes, steps and whole values of weights by name, ready to be packed.

    Matrices of at least 16 on each side are quantized, as in `trainers.quantize.int8`; what is
    smaller is kept as float16, or in bytes and eighths beside curvature steps. A matrix without
    statistics is rounded to the nearest.

    Args:
        lattices: of matrices that were trained on them, by name: these are rounded to the
            nearest there, whatever the recipe.

    Raises:
        ArtifactError: a weight is not finite or too large for float16.
    """
    stored = list[Stored]()
    for name in sorted(weights):
        value = np.asarray(weights[name], dtype=np.float32)
        if not np.isfinite(value).all():
            raise ArtifactError(f"weight {name!r} holds a value that is not finite")
        if lattices and name in lattices:
            codes = lattices[name].nearest(value)
            stored += lattices[name].stored(name, codes, f"code {_kind(name)}")
        elif value.ndim == 2 and min(value.shape) >= MATRIX_MIN_SIDE:
            stored += _matrix(name, value, recipe, (inputs or {}).get(name))
        elif lattices or recipe.clip == "curvature":
            stored += _small(name, value, recipe.k, (inputs or {}).get(name))
        else:
            with np.errstate(over="ignore"):
                stored.append(Stored(name, "whole", "f2", value.astype(np.float16), "whole"))
    if recipe.correction_rank:
        as_read = restored(parts_of(stored))
        stored += low_rank(
            {name: weights[name] - as_read[name] for name in weights},
            inputs or {},
            rank=recipe.correction_rank,
            count=recipe.correction_count,
        )
    return sorted(stored, key=lambda array: (array.stream, array.name))


def _kind(name: str) -> str:
    """What matrices of this name have in common over layers."""
    return re.sub(r"\d+", "*", name)


def _matrix(
    name: str, weight: NDArray[np.float32], recipe: Recipe, known: Inputs | None
) -> list[Stored]:
    if recipe.clip == "curvature" and known is not None:
        return _curved(name, weight, recipe, known)
    bits = recipe.bits_of(name)
    top = TOPS[bits]
    columns: NDArray[Any] | None = None
    if recipe.activation_aware and known is not None:
        columns = activation_columns(weight, known.hessian, top)
    steps = _row_steps(weight if columns is None else weight / columns, top, recipe)
    if not np.isfinite(steps).all():
        raise ArtifactError(f"weight {name!r} is too large for a float16 step")
    grid = steps.astype(np.float32)
    wide = np.repeat(grid, GROUP, 1)[:, : weight.shape[1]] if grid.ndim == 2 else grid[:, None]
    if columns is not None:
        wide = wide * columns.astype(np.float32)
    if recipe.compensated and known is not None:
        rounding = partial(column_rounded, top=top)
        codes = compensated_points(weight, wide, known.curvature(), rounding).astype(np.int8)
    else:
        codes = rounded(weight / wide, top).astype(np.int8)
    code_kind = PACKED_KINDS.get(bits, "i1") if recipe.packed else "i1"
    stored = [
        Stored(name, "code", code_kind, codes, f"code {_kind(name)}"),
        Stored(name, "step", "f2", steps, "step f2"),
    ]
    if columns is not None:
        stored.append(Stored(name, "column", "f2", columns, "step f2"))
    return stored


def _small(name: str, value: NDArray[np.float32], k: float, known: Inputs | None) -> list[Stored]:
    """What is no matrix: each row in equal steps, as fine as the loss asks where that is known."""
    axis = -1 if value.ndim == 2 else None
    largest = np.abs(value).max(axis=axis)
    levels = np.full_like(largest, SMALL_TOP)
    if known is not None and k:
        felt = known.slope.reshape(value.shape).mean(axis=axis)
        levels = np.clip(largest * np.sqrt(felt) / (SMALL_SHARE * k), FEWEST_LEVELS, MOST_LEVELS)
    steps = exponents_to_steps(steps_to_exponents(largest / levels * (FINER * STEP_UP)))
    parts = np.rint(value / (steps[:, None] if value.ndim == 2 else steps) * FINER)
    codes = np.rint(parts / FINER)
    return [
        Stored(name, "code", "i1", codes.astype(np.int8), "small"),
        Stored(name, "fine", "i1", (parts - FINER * codes).astype(np.int8), "small"),
        Stored(name, "step", "e1", steps, "step e1"),
    ]


def _curved(name: str, weight: NDArray[np.float32], recipe: Recipe, known: Inputs) -> list[Stored]:
    # A matrix has room for one correction.
    found = lattice(
        weight, known, recipe.k, split=not recipe.correction_rank, states=recipe.trellis
    )
    codes = found.compensated(weight, known) if recipe.compensated else found.nearest(weight)
    return found.stored(name, codes, f"code {_kind(name)}")


def _row_steps(weight: NDArray[np.float32], top: int, recipe: Recipe) -> NDArray[np.float16]:
    rows = in_groups(weight) if recipe.grouped else weight
    if top == 1:
        steps = mean_steps(rows)
    elif recipe.clip == "percentile":
        steps = percentile_steps(rows, top)
    elif recipe.clip == "deviation":
        steps = deviation_steps(rows, top, recipe.k)
    else:  # "curvature" too, where nothing is known of the matrix
        steps = largest_steps(rows, top)
    return steps.reshape(len(weight), -1) if recipe.grouped else steps
