"""One quantizer, put together from its parts, for the weights of any model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.quantize.artifact import GROUP, exponents_to_steps, restored
from trainers.quantize.corrections import activation_columns, low_rank
from trainers.quantize.gptq import compensated_codes, inverse_factor, rounded
from trainers.quantize.grids import (
    TOPS,
    deviation_steps,
    in_groups,
    largest_steps,
    mean_steps,
    percentile_steps,
)
from trainers.quantize.int8 import MATRIX_MIN_SIDE, ArtifactError
from trainers.quantize.pack import Stored, parts_of, steps_to_exponents
from trainers.quantize.statistics import Inputs

Grid = tuple[NDArray[np.float32], NDArray[np.float32]]  # steps of rows, of columns
CLIPS = ("largest", "percentile", "deviation", "curvature")
PACKED_KINDS = {"int6": "p6", "int5": "p5", "int4": "p4", "ternary": "t1"}
# A row's share of the loss is known to within noise: of its weight only the square root counts.
ROW_POWER, ROW_FLOOR = 0.5, 1e-3
LARGEST_CODE = 110  # of 127: exponents are rounded, and GPTQ moves weights outwards


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
    packed: bool = False

    def __post_init__(self) -> None:
        if self.clip not in CLIPS or self.bits not in (*TOPS, "int6_int8", "int5_int6"):
            raise ValueError(f"no clip {self.clip!r} or no bits {self.bits!r}")
        if self.clip in ("deviation", "curvature") and not self.k > 0:
            raise ValueError(f"`k > 0` must hold, but got k={self.k}")

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
    grids: Mapping[str, Grid] | None = None,
) -> list[Stored]:
    """Codes, steps and whole values of weights by name, ready to be packed.

    Matrices of at least 16 on each side are quantized, as in `trainers.quantize.int8`; what is
    smaller is kept as float16. A matrix without statistics is rounded to the nearest.

    Args:
        grids: of matrices that were trained on them, by name: these are rounded to the nearest
            there, whatever the recipe.

    Raises:
        ArtifactError: a weight is not finite or too large for float16.
    """
    stored = list[Stored]()
    for name in sorted(weights):
        value = np.asarray(weights[name], dtype=np.float32)
        if not np.isfinite(value).all():
            raise ArtifactError(f"weight {name!r} holds a value that is not finite")
        if grids and name in grids:
            stored += _on_grid(name, value, grids[name])
        elif value.ndim == 2 and min(value.shape) >= MATRIX_MIN_SIDE:
            stored += _matrix(name, value, recipe, (inputs or {}).get(name))
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


def _on_grid(name: str, weight: NDArray[np.float32], grid: Grid) -> list[Stored]:
    rows, columns = grid
    codes = rounded(weight / (rows[:, None] * columns), TOPS["int8"]).astype(np.int8)
    return [
        Stored(name, "code", "i1", codes, f"code {_kind(name)}"),
        Stored(name, "step", "e1", rows, "step e1"),
        Stored(name, "column", "e1", columns, "step e1"),
    ]


def _kind(name: str) -> str:
    """What matrices of this name have in common over layers."""
    return re.sub(r"\d+", "*", name)


def _matrix(
    name: str, weight: NDArray[np.float32], recipe: Recipe, known: Inputs | None
) -> list[Stored]:
    bits = recipe.bits_of(name)
    top, step_kind = TOPS[bits], "f2"
    steps: NDArray[Any]
    columns: NDArray[Any] | None = None
    if recipe.clip == "curvature" and known is not None:
        steps, columns = allowed_steps(weight, known, recipe.k)
        step_kind = "e1"
    else:
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
        codes = compensated_codes(weight, wide, known.curvature(), top)
    else:
        codes = rounded(weight / wide, top).astype(np.int8)
    code_kind = PACKED_KINDS.get(bits, "i1") if recipe.packed else "i1"
    stored = [
        Stored(name, "code", code_kind, codes, f"code {_kind(name)}"),
        Stored(name, "step", step_kind, steps, f"step {step_kind}"),
    ]
    if columns is not None:
        stored.append(Stored(name, "column", step_kind, columns, f"step {step_kind}"))
    return stored


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


def allowed_steps(weight: NDArray[np.float32], known: Inputs, k: float) -> Grid:
    """Steps of rows and of columns such that the rounding of each entry costs the loss the same.

    For a quadratic loss and codes under an entropy coder that is the best sharing of bits at high
    rate (reverse water-filling), and it needs no more than one knob for the whole model. A
    column's steps go with its conditional deviation given the columns that GPTQ rounds later,
    which is what its rounding error still costs once they have made up for it.

    Returns:
        Steps of rows and of columns, as the artifact can hold them; an entry's is their product.
    """
    curvature, rows = known.curvature(), known.row_weights()
    scale = float(np.diag(curvature).mean()) or 1.0
    order = np.argsort(-np.diag(curvature), kind="stable")
    remaining = np.empty(len(order))
    remaining[order] = 1 / np.diag(inverse_factor(curvature[np.ix_(order, order)] / scale))
    share = (rows / (rows.mean() or 1.0) + ROW_FLOOR) ** (-ROW_POWER / 2)
    row_steps = exponents_to_steps(steps_to_exponents(k * scale**-0.5 * share))
    # A column finer than its largest weight allows would end at the largest code.
    finest = (np.abs(weight) / row_steps[:, None]).max(axis=0) / LARGEST_CODE
    return row_steps, exponents_to_steps(steps_to_exponents(np.maximum(1 / remaining, finest)))
