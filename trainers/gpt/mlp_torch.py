"""The MLP in torch: the twin of `trainers.gpt.mlp_mlx`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.gpt.config import GPTConfig
from trainers.gpt.kernels_torch import Kernels, linear, squared
from trainers.gpt.mlp_kinds import decorrelation_loss, mlp_features
from trainers.gpt.mlp_shapes import mlp_shapes

SLOPES = {"relu_sq": 0.0, "leaky_relu_sq": 0.5}  # of the squared activations, below zero


class TorchLibrary:
    """What `trainers.gpt.mlp_kinds` asks of torch."""

    def activate(self, x: Tensor, activation: str) -> Tensor:
        """The nonlinearity of this name."""
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

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The parts side by side, along the last axis."""
        return torch.cat(tuple(parts), dim=-1)

    def wide(self, x: Tensor) -> Tensor:
        """The same in float32."""
        return x.float()

    def typed(self, x: Tensor, other: Tensor) -> Tensor:
        """The same in the other's type."""
        return x.to(other.dtype)


TORCH = TorchLibrary()


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

        hidden, pairs = mlp_features(self.kind, path, self.proj.size(1), TORCH)
        penalty: Tensor | None = decorrelation_loss(pairs, TORCH) if train and pairs else None
        return self.kernels.product(hidden, self.proj, scale), penalty
