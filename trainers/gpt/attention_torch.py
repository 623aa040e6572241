"""Causal self-attention in torch, with what submissions have added to it.

The twin of `trainers.gpt.attention_mlx`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainers.gpt.config import GPTConfig
from trainers.gpt.init import attention_extras
from trainers.gpt.kernels_torch import Kernels, linear, pair_order
from trainers.gpt.mlp_shapes import PATH_EPS


class Attention(nn.Module):
    """Several query heads to one key/value head (Ainslie et al. 2023).

    Args:
        config: the architecture.
        kernels: the operations, in the type of the matrix products.
        layer: which layer this is: some additions belong to the last ones, or to all but the
            first.
    """

    order: Tensor
    value_mix: nn.Parameter | None
    value_scale: nn.Parameter | None
    gate: nn.Parameter | None

    def __init__(self, config: GPTConfig, kernels: Kernels, layer: int):
        super().__init__()
        self.kernels = kernels
        self.heads, self.kv_heads = config.num_heads, config.num_kv_heads
        self.exclusive = layer >= config.num_layers - config.xsa_layers
        self.gives_values = config.value_residual and layer == 0
        dim, kv_dim = config.model_dim, config.num_kv_heads * config.head_dim
        self.q = nn.Parameter(torch.empty(dim, dim))
        self.k = nn.Parameter(torch.empty(kv_dim, dim))
        self.v = nn.Parameter(torch.empty(kv_dim, dim))
        self.proj = nn.Parameter(torch.empty(dim, dim))
        self.q_gain = nn.Parameter(torch.empty(self.heads))
        extras = attention_extras(config, layer)
        for name in ("value_mix", "value_scale", "gate"):
            shape = extras.get(f"attn.{name}")
            value = None if shape is None else nn.Parameter(torch.empty(shape))
            self.register_parameter(name, value)
        order = pair_order(self.heads + self.kv_heads, config.head_dim, kv_dim)
        self.register_buffer("order", order, persistent=False)

    def forward(
        self,
        x: Tensor,
        scale: Tensor,
        angles: tuple[Tensor, ...],
        first_values: Tensor | None = None,
        token_values: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """x (batch, time, dim) → (batch, time, dim), and the values that later layers ask for.

        Args:
            x: the block's normalised input.
            scale: of each channel that comes out, (dim).
            angles: what the kernels made of the rotary tables.
            first_values: the values of the first layer, for a value residual.
            token_values: the value embedding of the tokens, (batch, time, kv_dim).

        Returns:
            x's shape; and the first layer's values, (batch, time, kv_dim), under a value residual.
        """
        matrices = self.q, self.k, self.v
        q, k, v = self.kernels.heads(x, matrices, self.order, self.q_gain, angles)
        v = self._mixed(v, first_values, token_values)
        values = v.view(*v.shape[:2], self.kv_heads, -1)
        y = self.kernels.attention(q, k, values)
        if self.exclusive:
            y = without_own_value(y, values)
        if self.gate is not None:
            y = y * self._openings(x).unsqueeze(-1)
        out = self.kernels.product(y.flatten(2), self.proj, scale)
        return out, v if self.gives_values else None

    def _mixed(
        self, v: Tensor, first_values: Tensor | None, token_values: Tensor | None
    ) -> Tensor:
        """The values, with the value embedding added and the first layer's values mixed in.

        Value residual (Zhou et al. 2024; PR 549): v + σ(a) · (v₀ − v), a learned, from an even
        mix. Value embedding (PR 374): a learned multiple of it.
        """
        if self.value_scale is not None:
            assert token_values is not None
            v = v + self.value_scale.to(v.dtype) * token_values
        if self.value_mix is not None:
            assert first_values is not None
            v = v + torch.sigmoid(self.value_mix).to(v.dtype) * (first_values - v)
        return v

    def _openings(self, x: Tensor) -> Tensor:
        """How far each head's gate is open, (batch, time, heads).

        Twice a sigmoid of a linear map of the first channels (PR 1667, PR 1736): from zero
        weights every gate starts at 1, so the arm starts as its control.
        """
        assert self.gate is not None
        return 2 * torch.sigmoid(
            linear(x[..., : self.gate.size(1)], self.gate, self.kernels.dtype)
        )


def without_own_value(y: Tensor, v: Tensor) -> Tensor:
    """Exclusive self-attention: each head's output without its component along the own value.

    PR 198 and 265, arXiv 2603.09078. What is left can only say what other tokens hold.

    Args:
        y: shape (batch, time, heads, dim).
        v: shape (batch, time, kv_heads, dim); several heads share one.

    Returns:
        y's shape and type.
    """
    own = v.float().unsqueeze(3)
    own = own * (own.square().sum(-1, keepdim=True) + PATH_EPS).rsqrt()
    grouped = y.float().reshape(*v.shape[:3], -1, v.size(3))
    along = (grouped * own).sum(-1, keepdim=True)
    rest: Tensor = grouped - along * own
    return rest.view(y.shape).to(y.dtype)
