"""What is done about the error of rounding besides choosing the codes: column scales, low rank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.quantize.gptq import rounded
from trainers.quantize.grids import TOPS, half_down, largest_steps
from trainers.quantize.int8 import is_quantized
from trainers.quantize.pack import Stored
from trainers.quantize.statistics import Inputs

EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0)
FACTOR_BITS, FACTOR_CLIP = "int4", 3.0


def activation_columns(
    weight: NDArray[np.float32], hessian: NDArray[np.float64], top: int
) -> NDArray[np.float16]:
    """AWQ (Lin et al. 2024): finer steps for columns with large inputs, (columns,).

    The scale is a power of the root mean square of the input, the one of EXPONENTS that leaves
    the smallest E[‖(W − Q) x‖²] after rounding to the nearest.
    """
    size: NDArray[Any] = np.sqrt(np.diag(hessian))
    size = np.maximum(size / (size.mean() or 1.0), 1e-3)
    found, least = np.ones(len(size), np.float16), np.inf
    for exponent in EXPONENTS:
        columns = half_down(size**-exponent)
        scaled = (weight / columns).astype(np.float32)
        grid = largest_steps(scaled, top).astype(np.float64)[:, None] * columns
        error = weight - rounded(weight / grid, top) * grid
        left = float(np.einsum("rc,cd,rd->", error, hessian, error, optimize=True))
        if left < least:
            found, least = columns, left
    return found


def low_rank(
    errors: Mapping[str, NDArray[np.float32]],
    inputs: Mapping[str, Inputs],
    *,
    rank: int,
    count: int,
) -> list[Stored]:
    """LQER (Zhang et al. 2024): the largest errors' leading singular vectors, in int4.

    An error counts by what it does to the outputs for inputs of the size they have, times how
    much the loss feels them; matrices without statistics count as they are.
    """
    weighed = dict[str, tuple[NDArray[Any], NDArray[Any]]]()
    for name, error in errors.items():
        matrix = error.ndim == 2 and is_quantized(error.shape)  # what is none has other statistics
        if matrix and rank < min(error.shape) and error.any():
            known = inputs.get(name)
            size: NDArray[Any] = np.ones(error.shape[1])
            if known is not None and known.hessian.any():
                size = np.sqrt(np.diag(known.hessian) + 1e-6 * np.diag(known.hessian).mean())
            weighed[name] = error.astype(np.float64), size

    def cost(name: str) -> float:
        error, size = weighed[name]
        slope = inputs[name].slope if name in inputs else np.ones(len(error))
        return float((np.square(error * size).sum(axis=1) * slope).sum())

    stored = list[Stored]()
    for name in sorted(sorted(weighed, key=cost, reverse=True)[:count]):
        error, size = weighed[name]
        left, values, right = np.linalg.svd(error * size, full_matrices=False)
        root = np.sqrt(values[:rank])
        for half, factor in (
            ("b", left[:, :rank] * root),
            ("a", root[:, None] * right[:rank] / size),
        ):
            stored += _factor(f"{name}/{half}", factor)
    return stored


def _factor(name: str, factor: NDArray[np.float64]) -> list[Stored]:
    top = TOPS[FACTOR_BITS]
    step = half_down(np.asarray(FACTOR_CLIP * factor.std() / top))
    codes = rounded(factor / step.astype(np.float64), top).astype(np.int8)
    return [
        Stored(name, "code", "i1", codes, "code low rank"),
        Stored(name, "step", "f2", step, "step f2"),
    ]
