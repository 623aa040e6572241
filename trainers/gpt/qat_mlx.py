"""Fake quantization on MLX: twin of `trainers.gpt.qat_torch`."""

from __future__ import annotations

import mlx.core as mx

from trainers.gpt.init import GRID_MIN_SIDE, GRID_SMALLEST, GRID_TOP
from trainers.gpt.kernels_mlx import Arrays


def fake_quantize(weight: mx.array) -> mx.array:
    """The nearest point of the artifact's grid, as `trainers.gpt.qat_torch.fake_quantize`.

    MLX has no float64 on a GPU: where a row's largest magnitude over 127 lies within float32's
    rounding of a float16, the step may be the next one.
    """
    if weight.ndim != 2 or min(weight.shape) < GRID_MIN_SIDE:
        return weight
    exact = mx.abs(weight).max(axis=1, keepdims=True) / GRID_TOP
    near = exact.astype(mx.float16)
    below = (near.view(mx.uint16) - 1).view(mx.float16)
    step = mx.where(near.astype(mx.float32) > exact, below, near).astype(mx.float32)
    step = mx.maximum(step, GRID_SMALLEST)
    return mx.round(mx.clip(weight / step, -GRID_TOP, GRID_TOP)) * step


def on_grid(weights: Arrays) -> Arrays:
    """Every weight at the nearest point of the grid: a gradient there is straight-through."""
    return {name: fake_quantize(value) for name, value in weights.items()}
