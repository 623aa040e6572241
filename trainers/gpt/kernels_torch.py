"""The operations that a block is made of, as they are defined.

A compiler fuses them on CUDA, and calibration looks into them. On a CPU `trainers.gpt.kernels_cpu`
has the same operations with their gradients by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.gpt.init import RMS_EPS

# On CUDA. A campaign compiles the same lines for many widths; torch gives up at eight by default.
COMPILE_OPTIONS: dict[str, Any] = {"dynamic": False, "fullgraph": True, "recompile_limit": 256}

Heads = tuple[Tensor, Tensor, Tensor]


def linear(x: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """x (..., in) times weight (out, in), both taken as and giving `dtype`."""
    return F.linear(x.to(dtype), weight.to(dtype))


def rms_norm(x: Tensor) -> Tensor:
    """Divide each vector (..., dim) by its root mean square; no weights."""
    return F.rms_norm(x, (x.size(-1),), eps=RMS_EPS)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding, half-split: x (batch, time, heads, head_dim); cos, sin (time, half)."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = cos[:, None].to(x.dtype), sin[:, None].to(x.dtype)
    return torch.cat((a * cos + b * sin, b * cos - a * sin), dim=-1)


def squared(x: Tensor, slope: float) -> Tensor:
    """The square of x, and of slope · x where x is negative."""
    return (F.leaky_relu(x, slope) if slope else F.relu(x)).square()


class Kernels:
    """The definitions.

    Args:
        dtype: type of the matrix products.
    """

    def __init__(self, dtype: torch.dtype):
        self.dtype = dtype

    def looked_up(self, tokens: Tensor, table: Tensor) -> Tensor:
        """RMS norm of the rows of the table (vocab, dim): tokens (batch, time) → with dim."""
        return rms_norm(F.embedding(tokens, table))

    def normed(
        self, terms: Sequence[Tensor], weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The sum of the terms, each times its row of weights, and what a product reads of it.

        Args:
            terms: shape (..., dim) each.
            weights: shape (terms, dim); None for the plain sum.

        Returns:
            The sum, and its RMS norm: (..., dim) each.
        """
        if weights is not None:
            rows = weights.to(terms[0].dtype).unbind()
            terms = [row * term for row, term in zip(rows, terms, strict=True)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total, rms_norm(total)

    def product(self, x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
        """x (..., in) times weight (out, in), each channel that comes out times its scale."""
        return scale.to(self.dtype) * linear(x, weight, self.dtype)

    def squared_mlp(
        self, x: Tensor, fc: Tensor, proj: Tensor, scale: Tensor, slope: float
    ) -> Tensor:
        """`squared` between two matrices: x (batch, time, dim) → the same."""
        return self.product(squared(linear(x, fc, self.dtype), slope), proj, scale)

    def angles(self, cos: Tensor, sin: Tensor, heads: int) -> tuple[Tensor, ...]:
        """What `heads` is to be given of the rotary tables (time, head_dim / 2)."""
        return cos, sin

    def heads(
        self,
        x: Tensor,
        matrices: Heads,
        order: Tensor,
        gain: Tensor,
        angles: tuple[Tensor, ...],
    ) -> Heads:
        """Queries, keys and values: x (batch, time, dim) times each matrix (out, dim).

        Queries and keys are normalised head by head and turned by their position, queries are
        multiplied by their head's gain.

        Args:
            order: `pair_order` of all rows.
            gain: shape (heads).
            angles: from the method of this name.

        Returns:
            (batch, time, heads, head_dim), (batch, time, kv_heads, head_dim) and
            (batch, time, kv_heads · head_dim).
        """
        q, k, v = matrices
        head_dim = q.size(0) // gain.numel()
        qkv = linear(x, torch.cat(matrices), self.dtype)
        qk, values = torch.split(qkv, [q.size(0) + k.size(0), v.size(0)], dim=2)
        qk = rms_norm(qk.reshape(*x.shape[:2], -1, head_dim))
        heads = gain.numel()
        gains = torch.cat((gain, gain.new_ones(qk.size(2) - heads)))
        qk = rotate(qk * gains.to(qk.dtype)[:, None], *angles)
        return qk[:, :, :heads], qk[:, :, heads:], values

    def attention(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Causal attention of what `heads` gave, v (batch, time, kv_heads, dim) → q's shape."""
        return causal_attention(q, k, v)


def causal_attention(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
    """q (batch, time, heads, dim), k and v (batch, time, kv_heads, dim) → q's shape.

    Args:
        scale: of the scores; None for dim^-½.
    """
    return F.scaled_dot_product_attention(
        q.transpose(1, 2),
        k.transpose(1, 2),
        v.transpose(1, 2),
        is_causal=True,
        scale=scale,
        enable_gqa=q.size(2) != k.size(2),
    ).transpose(1, 2)


def pair_order(heads: int, head_dim: int, others: int = 0) -> Tensor:
    """Row order that brings the two channels rotated together side by side, head by head.

    Queries and keys only ever meet each other, so both may be computed in this layout.

    Args:
        others: rows behind them that stay where they are.
    """
    pairs = torch.arange(head_dim).view(2, -1).t().reshape(-1)
    rows = (torch.arange(heads)[:, None] * head_dim + pairs).view(-1)
    return torch.cat((rows, heads * head_dim + torch.arange(others)))
