"""Parts of a block with their gradients by hand, for a CPU.

A small model on one CPU thread spends more time on passing over memory than on arithmetic, and
autograd's own gradients of these parts pass over it more often, in runs of 8 or 16 channels, the
width of a small head. Each function equals the plain expression
that it names; on CUDA a compiler fuses that expression, and it is used as it stands.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.gpt.init import RMS_EPS

SHORT = 512  # tokens; above it the kept probabilities (time² for each head) outgrow the cache

# On CUDA. A campaign compiles the same lines for many widths; torch gives up at eight by default.
COMPILE_OPTIONS: dict[str, Any] = {"dynamic": False, "fullgraph": True, "recompile_limit": 256}


def linear(x: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """x (..., in) times weight (out, in), both taken as and giving `dtype`."""
    return F.linear(x.to(dtype), weight.to(dtype))


def rms_norm(x: Tensor) -> Tensor:
    """Divide each vector (..., dim) by its root mean square; no weights."""
    if x.device.type == "cpu" and x.dtype == torch.float32:
        y: Tensor = _RmsNorm.apply(x)  # type: ignore[no-untyped-call]
        return y
    return F.rms_norm(x, (x.size(-1),), eps=RMS_EPS)


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y, scale = torch._fused_rms_norm(x, (x.size(-1),), None, RMS_EPS)
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        y, scale = ctx.saved_tensors
        along = (grads[0] * y).mean(-1, keepdim=True)
        return torch.addcmul(grads[0], y, along, value=-1).mul_(scale)


def pair_order(heads: int, head_dim: int) -> Tensor:
    """Row order that brings the two channels rotated together side by side, head by head.

    Queries and keys only ever meet each other, so both may be computed in this layout.
    """
    pairs = torch.arange(head_dim).view(2, -1).t().reshape(-1)
    return (torch.arange(heads)[:, None] * head_dim + pairs).view(-1)


def rotated_pairs(x: Tensor, gain: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RMS norm, gain and rotary embedding of every head, its channels in `pair_order`.

    The rotation (a, b) → (a·cos + b·sin, b·cos − a·sin) of such pairs is one complex product.

    Args:
        x: shape (batch, time, heads · head_dim), float32 or bfloat16.
        gain: shape (heads).
        cos, sin: shape (time, head_dim / 2), float32.

    Returns:
        x's shape, float32.
    """
    heads = gain.numel()
    table = torch.complex(cos, -sin).repeat(1, heads)
    pool = torch.eye(heads).repeat_interleave(2 * cos.size(1), dim=1)
    y: Tensor = _RotatedHeads.apply(x, gain, table, pool)  # type: ignore[no-untyped-call]
    return y


class _RotatedHeads(torch.autograd.Function):
    """Sums over a head and copies to its channels are products with a 0/1 matrix, `pool`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, table: Tensor, pool: Tensor) -> Tensor:
        dim = pool.size(1) // pool.size(0)
        wide = x.float()
        squares = (wide * wide).flatten(0, 1) @ (pool.mT / dim)
        scale = (squares.add_(RMS_EPS).rsqrt_() @ pool).view_as(wide)
        unit = wide * scale
        ctx.save_for_backward(unit, scale, gain, table, pool)
        ctx.dtype = x.dtype
        return _rotated(unit * (gain @ pool), table)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        unit, scale, gain, table, pool = ctx.saved_tensors
        dim = pool.size(1) // pool.size(0)
        grad = _rotated(grads[0].contiguous(), table.conj())
        along = (grad * unit).flatten(0, 1) @ pool.mT
        mean = ((along / -dim) @ pool).view_as(unit)
        grad_x = torch.addcmul(grad, unit, mean).mul_(scale).mul_(gain @ pool)
        return grad_x.to(ctx.dtype), along.sum(0), None, None


def _rotated(x: Tensor, table: Tensor) -> Tensor:
    pairs = torch.view_as_complex(x.view(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * table).flatten(-2)


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """q (batch, time, heads, dim), k and v (batch, time, kv_heads, dim) → q's shape."""
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        if q.size(1) <= SHORT:
            y: Tensor = _ShortAttention.apply(q, k, v)  # type: ignore[no-untyped-call]
            return y
        # torch's CPU kernel takes 8.6 µs a token in bfloat16, 2.4 in float32 (forward, backward).
        return causal_attention(q.float(), k.float(), v.float()).to(q.dtype)
    return F.scaled_dot_product_attention(
        q.transpose(1, 2),
        k.transpose(1, 2),
        v.transpose(1, 2),
        is_causal=True,
        enable_gqa=q.size(2) != k.size(2),
    ).transpose(1, 2)


class _ShortAttention(torch.autograd.Function):
    """Attention by batched products: all query heads of one key head are rows of one matrix."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        (batch, time, _, dim), kv_heads = q.shape, k.size(2)
        query = _by_key_head(q * dim**-0.5, kv_heads)
        key, value = _by_key_head(k, kv_heads), _by_key_head(v, kv_heads)
        score = torch.bmm(query, key.mT).view(-1, time, time)
        score += torch.full((time, time), float("-inf"), dtype=q.dtype).triu_(1)
        chance = torch.softmax(score, -1).view(query.size(0), -1, time)
        ctx.save_for_backward(query, key, value, chance)
        return _by_token(torch.bmm(chance, value), batch, time)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value, chance = ctx.saved_tensors
        batch, time, _, dim = grads[0].shape
        grad = _by_key_head(grads[0], key.size(0) // batch)
        slope = torch.bmm(grad, value.mT)
        slope = torch._softmax_backward_data(slope, chance, -1, chance.dtype)
        return (
            _by_token(torch.bmm(slope, key).mul_(dim**-0.5), batch, time),
            _by_token(torch.bmm(slope.mT, query), batch, time),
            _by_token(torch.bmm(chance.mT, grad), batch, time),
        )


def _by_key_head(x: Tensor, kv_heads: int) -> Tensor:
    """(batch, time, heads, dim) → (batch · kv_heads, heads / kv_heads · time, dim)."""
    batch, time, _, dim = x.shape
    split = x.reshape(batch, time, kv_heads, -1, dim).permute(0, 2, 3, 1, 4)
    return split.reshape(batch * kv_heads, -1, dim)


def _by_token(x: Tensor, batch: int, time: int) -> Tensor:
    """The way back from `_by_key_head`."""
    split = x.view(batch, x.size(0) // batch, -1, time, x.size(2))
    return split.permute(0, 3, 1, 2, 4).flatten(2, 3)
