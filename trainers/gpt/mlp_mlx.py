"""Every kind of MLP in MLX: the twin of `trainers.gpt.mlp_torch`, line by line."""

from __future__ import annotations

import math
from collections.abc import Callable

import mlx.core as mx

from trainers.gpt.kernels_mlx import Arrays
from trainers.gpt.mlp_shapes import BANKS, PATH_EPS, periodic_width

PathPairs = list[tuple[mx.array, mx.array]]


def mlp(kind: str, weights: Arrays, prefix: str, x: mx.array) -> tuple[mx.array, PathPairs]:
    """x (batch, time, dim) → (batch, time, dim), and the pairs of paths to be decorrelated."""
    proj = weights[prefix + "proj"]

    def path(name: str, source: mx.array = x) -> mx.array:
        return source @ weights[prefix + name].T

    hidden, pairs = mlp_features(kind, path, proj.shape[1])
    return hidden @ proj.T, pairs


def mlp_features(
    kind: str, path: Callable[..., mx.array], hidden: int
) -> tuple[mx.array, PathPairs]:
    """What the last matrix reads, (batch, time, hidden), and the pairs to be decorrelated.

    Args:
        kind: the activation, or a kind of MLP of its own shape.
        path: x, or what is given second, times the matrix of this name.
        hidden: channels that the last matrix reads.
    """
    match kind:
        case "swiglu":
            return activate(path("gate"), "silu") * path("value"), []
        case "fan":
            return fan_features(path("fc"), hidden), []
        case "dml_gated":
            nuisance, target = activate(path("nuisance"), "leaky_relu_sq"), path("target")
            return nuisance * target, [(nuisance, target)]
        case "dml_orth":
            nuisance = activate(path("nuisance"), "leaky_relu_sq")
            target = orthogonal_to(path("target"), path("map", nuisance))
            return mx.concatenate([nuisance, target], axis=-1), []
        case "fan_dml":
            value = fan_features(path("fc"), hidden)
            gate = activate(path("gate"), "leaky_relu_sq")
            return gate * value, [(gate, value)]
        case "causal_wide":
            memory, feature, residual = (path(bank) for bank in BANKS)
            return _banks(
                memory,
                activate(feature, "leaky_relu_sq"),
                activate(residual, "leaky_relu_sq"),
            )
        case "dml_causal_wide":
            gates = [activate(path(f"{bank}_gate"), "leaky_relu_sq") for bank in BANKS]
            memory, feature, residual = (path(f"{bank}_value") for bank in BANKS)
            values = [
                memory,
                activate(feature, "leaky_relu_sq"),
                activate(residual, "leaky_relu_sq"),
            ]
            products = [gate * value for gate, value in zip(gates, values, strict=True)]
            wide, across = _banks(*products)
            return wide, [*across, *zip(gates, values, strict=True)]
    return activate(path("fc"), kind), []


def activate(x: mx.array, activation: str) -> mx.array:
    """The MLP's nonlinearity."""
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


def fan_features(x: mx.array, hidden: int) -> mx.array:
    """A quarter periodic, sin and cos of the same projection (FAN, arXiv 2410.02675)."""
    periodic = periodic_width(hidden)
    phase, rest = x[..., :periodic], activate(x[..., periodic:], "leaky_relu_sq")
    return mx.concatenate([mx.sin(phase), mx.cos(phase), rest], axis=-1)


def orthogonal_to(x: mx.array, *others: mx.array) -> mx.array:
    """Each token's x without what lies in the span of the others: Gram-Schmidt."""
    basis: list[mx.array] = []
    for vector in (*others, x):
        rest = vector
        for axis in basis:
            share = (rest * axis).sum(axis=-1, keepdims=True)
            square = mx.square(axis).sum(axis=-1, keepdims=True)
            rest = rest - axis * (share / (square + PATH_EPS))
        basis.append(rest)
    return basis[-1]


def decorrelation_loss(pairs: PathPairs) -> mx.array:
    """Barlow Twins (Zbontar et al. 2021) without its diagonal, summed over the pairs."""
    total = mx.array(0.0)
    for one, other in pairs:
        left, right = _standardized(one), _standardized(other)
        correlation = (left.T @ right) / left.shape[0]
        on_diagonal = mx.square(mx.diag(correlation)).sum()
        total = total + (mx.square(correlation).sum() - on_diagonal) / left.shape[1]
    return total


def _standardized(x: mx.array) -> mx.array:
    flat = x.reshape(-1, x.shape[-1])
    centred = flat - flat.mean(axis=0)
    return centred * mx.rsqrt(mx.square(centred).mean(axis=0) + PATH_EPS)


def _banks(memory: mx.array, feature: mx.array, residual: mx.array) -> tuple[mx.array, PathPairs]:
    """Three banks side by side, the last one orthogonal to the others, and their three pairs."""
    residual = orthogonal_to(residual, memory, feature)
    pairs = [(memory, feature), (memory, residual), (feature, residual)]
    return mx.concatenate([memory, feature, residual], axis=-1), pairs
