"""The MLP in MLX: the twin of `trainers.gpt.mlp_torch`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import mlx.core as mx

from trainers.gpt.kernels_mlx import Arrays
from trainers.gpt.mlp_kinds import PathPairs, mlp_features


class MlxLibrary:
    """What `trainers.gpt.mlp_kinds` asks of MLX; all is float32."""

    def activate(self, x: mx.array, activation: str) -> mx.array:
        """The nonlinearity of this name."""
        match activation:
            case "relu_sq":
                return mx.square(mx.maximum(x, 0.0))
            case "leaky_relu_sq":
                return mx.square(mx.maximum(x, 0.5 * x))
            case "gelu":
                return 0.5 * x * (1.0 + mx.erf(x * math.sqrt(0.5)))
            case "silu":
                return x * mx.sigmoid(x)
            case "sin":
                return mx.sin(x)
            case "sin_sq":
                return mx.square(mx.sin(x))
        raise ValueError(f"no activation named {activation!r}")

    def join(self, parts: Sequence[mx.array]) -> mx.array:
        """The parts side by side, along the last axis."""
        return mx.concatenate(list(parts), axis=-1)

    def wide(self, x: mx.array) -> mx.array:
        """The same."""
        return x

    def typed(self, x: mx.array, other: mx.array) -> mx.array:
        """The same."""
        return x


MLX = MlxLibrary()


def mlp(kind: str, weights: Arrays, prefix: str, x: mx.array) -> tuple[mx.array, PathPairs]:
    """x (batch, time, dim) → (batch, time, dim), and the pairs of paths to be decorrelated."""
    proj = weights[prefix + "proj"]

    def path(name: str, source: mx.array = x) -> mx.array:
        return source @ weights[prefix + name].T

    hidden, pairs = mlp_features(kind, path, proj.shape[1], MLX)
    return hidden @ proj.T, pairs
