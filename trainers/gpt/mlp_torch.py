"""Every kind of MLP in torch: what comes between the way in and the way out.

A kind with several paths names the pairs among them that an auxiliary loss decorrelates. The
twin of `trainers.gpt.mlp_mlx`, line by line.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.gpt.config import GPTConfig
from trainers.gpt.kernels_torch import Kernels, linear, squared
from trainers.gpt.mlp_shapes import BANKS, PATH_EPS, mlp_shapes, periodic_width

SLOPES = {"relu_sq": 0.0, "leaky_relu_sq": 0.5}  # of the squared activations, below zero
PathPairs = list[tuple[Tensor, Tensor]]


class MLP(nn.Module):
    """x (batch, time, dim) → (batch, time, dim), each token by itself."""

    fc: nn.Parameter
    proj: nn.Parameter

    def __init__(self, config: GPTConfig, kernels: Kernels):
        super().__init__()
        self.kernels, self.kind = kernels, config.activation
        for name, shape in mlp_shapes(config).items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))

    def forward(
        self, x: Tensor, scale: Tensor, train: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """The output, and in training the paths' auxiliary loss where the kind has one.

        Args:
            scale: of each channel that comes out, (dim).
        """
        if (slope := SLOPES.get(self.kind)) is not None:
            return self.kernels.squared_mlp(x, self.fc, self.proj, scale, slope), None

        def path(name: str, source: Tensor = x) -> Tensor:
            return linear(source, getattr(self, name), self.kernels.dtype)

        hidden, pairs = mlp_features(self.kind, path, self.proj.size(1))
        penalty = decorrelation_loss(pairs) if train and pairs else None
        return self.kernels.product(hidden, self.proj, scale), penalty


def mlp_features(kind: str, path: Callable[..., Tensor], hidden: int) -> tuple[Tensor, PathPairs]:
    """What the last matrix reads, (batch, time, hidden), and the pairs to be decorrelated.

    Args:
        kind: the activation, or a kind of MLP of its own shape.
        path: x, or what is given second, times the matrix of this name.
        hidden: channels that the last matrix reads.
    """
    match kind:
        case "swiglu":  # Shazeer 2020
            return F.silu(path("gate")) * path("value"), []
        case "fan":
            return fan_features(path("fc"), hidden), []
        case "dml_gated":
            # Double machine learning (Chernozhukov et al. 2018) by analogy: the path that models
            # the nuisance and the linear one that it gates are kept apart by their correlation.
            nuisance, target = activate(path("nuisance"), "leaky_relu_sq"), path("target")
            return nuisance * target, [(nuisance, target)]
        case "dml_orth":  # the same apartness by construction: Gram-Schmidt instead of a loss
            nuisance = activate(path("nuisance"), "leaky_relu_sq")
            target = orthogonal_to(path("target"), path("map", nuisance))
            return torch.cat((nuisance, target), dim=-1), []
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


def activate(x: Tensor, activation: str) -> Tensor:
    """The MLP's nonlinearity."""
    match activation:
        case "relu_sq" | "leaky_relu_sq":
            return squared(x, SLOPES[activation])
        case "gelu":
            return F.gelu(x)
        case "silu":
            return F.silu(x)
        case "sin":
            return torch.sin(x)
        case "sin_sq":
            return torch.sin(x).square()
    raise ValueError(f"no activation named {activation!r}")


def fan_features(x: Tensor, hidden: int) -> Tensor:
    """A quarter periodic, sin and cos of the same projection (FAN, arXiv 2410.02675)."""
    periodic = periodic_width(hidden)
    phase, rest = torch.split(x, [periodic, hidden - 2 * periodic], dim=-1)
    return torch.cat((phase.sin(), phase.cos(), activate(rest, "leaky_relu_sq")), dim=-1)


def orthogonal_to(x: Tensor, *others: Tensor) -> Tensor:
    """Each token's x without what lies in the span of the others: Gram-Schmidt."""
    basis: list[Tensor] = []
    for vector in (*others, x):
        rest = vector.float()
        for axis in basis:
            share = (rest * axis).sum(-1, keepdim=True)
            rest = rest - axis * (share / (axis.square().sum(-1, keepdim=True) + PATH_EPS))
        basis.append(rest)
    return basis[-1].to(x.dtype)


def decorrelation_loss(pairs: PathPairs) -> Tensor:
    """Barlow Twins (Zbontar et al. 2021) without its diagonal, summed over the pairs.

    Every channel of a pair is standardized over the tokens of the pass; the squared correlations
    of each channel with the other path's channels of other number are summed, and their mean
    over channels is taken.
    """
    total = torch.zeros((), device=pairs[0][0].device)
    for one, other in pairs:
        left, right = _standardized(one), _standardized(other)
        correlation = (left.mT @ right).float() / left.size(0)
        on_diagonal = correlation.diagonal().square().sum()
        total = total + (correlation.square().sum() - on_diagonal) / left.size(1)
    return total


def _standardized(x: Tensor) -> Tensor:
    flat = x.flatten(0, 1).float()
    centred = flat - flat.mean(0)
    return (centred * (centred.square().mean(0) + PATH_EPS).rsqrt()).to(x.dtype)


def _banks(memory: Tensor, feature: Tensor, residual: Tensor) -> tuple[Tensor, PathPairs]:
    """Three banks side by side, the last one orthogonal to the others, and their three pairs."""
    residual = orthogonal_to(residual, memory, feature)
    pairs = [(memory, feature), (memory, residual), (feature, residual)]
    return torch.cat((memory, feature, residual), dim=-1), pairs
