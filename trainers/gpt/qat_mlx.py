"""Fake quantization on MLX: twin of `trainers.gpt.qat_torch`."""

from __future__ import annotations

from collections.abc import Mapping

import mlx.core as mx

from trainers.gpt.init import GRID_MIN_SIDE, GRID_SMALLEST, GRID_TOPS
from trainers.gpt.kernels_mlx import Arrays


def fake_quantize(weight: mx.array, bits: str = "int8") -> mx.array:
    """The nearest point of the artifact's grid, as `trainers.gpt.qat_torch.fake_quantize`.

    MLX has no float64 on a GPU: where a row's largest magnitude over the largest code lies within
    float32's rounding of a float16, the step may be the next one.
    """
    top = GRID_TOPS[bits]
    if weight.ndim != 2 or min(weight.shape) < GRID_MIN_SIDE:
        return weight
    exact = mx.abs(weight).max(axis=1, keepdims=True) / top
    near = exact.astype(mx.float16)
    below = (near.view(mx.uint16) - 1).view(mx.float16)
    step = mx.where(near.astype(mx.float32) > exact, below, near).astype(mx.float32)
    step = mx.maximum(step, GRID_SMALLEST)
    return mx.round(mx.clip(weight / step, -top, top)) * step


def nearest_on(weight: mx.array, rows: mx.array, columns: mx.array) -> mx.array:
    """The nearest point of a grid with these steps, as `trainers.gpt.qat_torch.nearest_on`."""
    top, wide = GRID_TOPS["int8"], rows[:, None]
    return mx.round(mx.clip(weight / (wide * columns), -top, top)) * wide * columns


def on_grid(
    weights: Arrays,
    bits: str = "int8",
    grids: Mapping[str, tuple[mx.array, mx.array]] | None = None,
) -> Arrays:
    """Every weight at the nearest point of the grid: a gradient there is straight-through.

    Args:
        grids: steps of rows and columns of matrices by name, in place of those of `bits`; what
            has none stays whole.
    """
    if grids:
        changed = {name: nearest_on(weights[name], *grid) for name, grid in grids.items()}
        return weights | changed
    return {name: fake_quantize(value, bits) for name, value in weights.items()}
