"""Steps of a grid: how far apart the values lie that a row of weights may take."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.quantize.artifact import GROUP
from trainers.quantize.gptq import rounded

TOPS = {"int8": 127, "int7": 63, "int6": 31, "int5": 15, "int4": 7, "ternary": 1}
# Shares of a row's magnitudes that may lie within the clip (record 2026-03-22_GPTQ-lite).
PERCENTILES = (0.999, 0.9995, 0.9999, 0.99999, 1.0)
SMALLEST_STEP = np.finfo(np.float16).smallest_subnormal
Steps = NDArray[np.float16]


def largest_steps(weight: NDArray[np.float32], top: int) -> Steps:
    """The row's largest magnitude falls on the last grid point: (rows, columns) → (rows,).

    Rounded down to float16, as `trainers.quantize.int8.row_scale`, so that quantizing a second
    time finds the very same grid, and as training on the grid has it (`trainers.gpt.qat_torch`).
    """
    return half_down(np.abs(weight).max(axis=-1).astype(np.float64) / top)


def deviation_steps(weight: NDArray[np.float32], top: int, k: float) -> Steps:
    """The clip lies at k standard deviations of the row (record 2026-04-05): (rows,)."""
    return half_down(k * weight.astype(np.float64).std(axis=-1) / top)


def percentile_steps(weight: NDArray[np.float32], top: int) -> Steps:
    """Of five clips the one that leaves a row the least squared error: (rows,)."""
    magnitudes = np.abs(weight.astype(np.float64))
    clips = np.quantile(magnitudes, PERCENTILES, axis=-1, method="higher")
    found, least = half_down(clips[-1] / top), np.full(len(weight), np.inf)
    for clip in clips[::-1]:
        steps = half_down(clip / top)
        wide = steps.astype(np.float64)[:, None]
        errors = np.square(weight - rounded(weight / wide, top) * wide).sum(axis=-1)
        found = np.where(errors < least, steps, found)
        least = np.minimum(errors, least)
    return found


def mean_steps(weight: NDArray[np.float32]) -> Steps:
    """For ternary codes: the row's mean magnitude (Ma et al. 2024): (rows,)."""
    return half_down(np.abs(weight).mean(axis=-1, dtype=np.float64))


def in_groups(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """(rows, columns) → (rows · groups, GROUP), the last group of a row filled up with zeros."""
    pad = -weight.shape[1] % GROUP
    return np.pad(weight, ((0, 0), (0, pad))).reshape(-1, GROUP)


def half_down(steps: NDArray[np.float64]) -> Steps:
    """The nearest float16 below, at least the smallest; infinite where it is too large."""
    with np.errstate(over="ignore"):
        near = steps.astype(np.float16)
    below = np.where(near > steps, np.nextafter(near, np.float16(0)), near)
    kept: Any = np.where(np.isinf(near), near, np.maximum(below, SMALLEST_STEP))
    return np.asarray(kept, dtype=np.float16)
