"""Causal attention of small heads on one CPU thread, with its gradients by hand."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from trainers.gpt.init import RMS_EPS
from trainers.gpt.kernels_torch import Heads, causal_attention

SHORT = 512  # tokens; above it the kept probabilities (time² for each head) outgrow the cache
# Tokens that are scored together, against all that come before them: forward and backward took
# 8.2 ms instead of 12.6 at 256 tokens, 3.4 instead of 3.8 at 128 (4096 in all, one layer).
ROWS = 64


def joined_heads(x: Tensor, matrices: Heads, order: Tensor, gain: Tensor, table: Tensor) -> Heads:
    """As `Kernels.heads`, the queries times head_dim^-½ and channels in `pair_order`.

    Args:
        table: the rotation (a, b) → (a·cos + b·sin, b·cos − a·sin) of the channels side by side
            as a factor, complex, shape (time, rotated channels / 2).
    """
    qk, v = _Joined.apply(x, order, *matrices)  # type: ignore[no-untyped-call]
    q, k = _RotatedHeads.apply(  # type: ignore[no-untyped-call]
        qk, gain, table, matrices[0].size(0) // gain.numel()
    )
    return q, k, v


class _Joined(torch.autograd.Function):
    """One product with all rows, in their order."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, order: Tensor, q: Tensor, k: Tensor, v: Tensor
    ) -> tuple[Tensor, Tensor]:
        rows, weight = x.flatten(0, 1), torch.cat((q, k, v)).to(x.dtype)[order]
        ctx.save_for_backward(rows, weight, order)
        ctx.sizes = [q.size(0), k.size(0), v.size(0)]
        y = torch.mm(rows, weight.t()).view(*x.shape[:2], -1)
        qk, values = torch.split(y, [q.size(0) + k.size(0), v.size(0)], dim=2)
        return qk, values

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, order = ctx.saved_tensors
        grad = torch.cat(grads, dim=2).flatten(0, 1)
        by_weight = torch.empty(weight.shape)
        by_weight[order] = torch.mm(grad.t(), rows).float()
        by_x = torch.mm(grad, weight).view(*grads[0].shape[:2], -1)
        return by_x, None, *torch.split(by_weight, ctx.sizes)


class _RotatedHeads(torch.autograd.Function):
    """A head's norm and its gain are numbers, which a rotation leaves as they are."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gain: Tensor, table: Tensor, dim: int
    ) -> tuple[Tensor, Tensor]:
        wide, heads = torch.empty(x.shape).copy_(x), gain.numel()
        scale = torch.linalg.vector_norm(wide.view(-1, dim), dim=1, keepdim=True)
        scale.square_().div_(dim).add_(RMS_EPS).rsqrt_()
        gains = torch.cat((gain * dim**-0.5, gain.new_ones(x.size(2) // dim - heads)))
        factor = (scale.view(-1, gains.numel()) * gains).view(-1, 1)
        turned = _turned(wide, table)
        ctx.save_for_backward(turned, scale, factor, table)
        ctx.heads, ctx.dim, ctx.dtype = heads, dim, x.dtype
        out = (turned.view(-1, dim) * factor).view(*x.shape[:2], -1, dim)
        return out[:, :, :heads].to(x.dtype), out[:, :, heads:].to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        turned, scale, factor, table = ctx.saved_tensors
        heads, dim = ctx.heads, ctx.dim
        grad = torch.empty(turned.shape).view(*turned.shape[:2], -1, dim)
        grad[:, :, :heads], grad[:, :, heads:] = grads
        grad, unturned = grad.view(-1, dim), turned.view(-1, dim)
        along = (grad * unturned).sum(1, keepdim=True)
        by_gain = (along * scale).view(-1, turned.size(2) // dim).sum(0)[:heads] * dim**-0.5
        along.mul_(scale).mul_(scale).div_(-dim)
        grad = torch.addcmul(grad, unturned, along).mul_(factor).view_as(turned)
        return _turned(grad, table.conj()).to(ctx.dtype), by_gain, None, None


def _turned(x: Tensor, table: Tensor) -> Tensor:
    pairs = torch.view_as_complex(x.view(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * table).flatten(-2)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention whose scores are q · k: shapes as `causal_attention`."""
    if q.dtype != torch.bfloat16:
        return causal_attention(q, k, v, 1.0)
    if q.size(1) <= SHORT:
        y: Tensor = _ShortAttention.apply(q, k, v)  # type: ignore[no-untyped-call]
        return y
    # torch's CPU kernel takes 8.6 µs a token in bfloat16, 2.4 in float32 (forward, backward).
    return causal_attention(q.float(), k.float(), v.float(), 1.0).to(q.dtype)


class _ShortAttention(torch.autograd.Function):
    """Attention by batched products, the tokens a few at a time: later keys are left out.

    All query heads of one key head are rows of one matrix, token by token.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        (batch, time), kv_heads = q.shape[:2], k.size(2)
        query, key, value = (_by_key_head(x, kv_heads) for x in (q, k, v))
        group = query.size(1) // time
        out, chances = torch.empty_like(query), []
        mask = _mask(ROWS, group, q.dtype)
        for start in range(0, time, ROWS):
            end = min(time, start + ROWS)
            rows = slice(start * group, end * group)
            score = torch.bmm(query[:, rows], key[:, :end].mT)
            score[:, :, start:] += mask[: score.size(1), : end - start]
            chance = torch.softmax(score, -1)
            out[:, rows] = torch.bmm(chance, value[:, :end])
            chances.append(chance)
        ctx.save_for_backward(query, key, value, *chances)
        return _by_token(out, batch, time)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value, *chances = ctx.saved_tensors
        batch, time = grads[0].shape[:2]
        grad = _by_key_head(grads[0], key.size(0) // batch)
        by_query, by_key, by_value = (torch.zeros_like(x) for x in (query, key, value))
        start = 0
        for chance in chances:
            rows, end = slice(start, start + chance.size(1)), chance.size(2)
            slope = torch.bmm(grad[:, rows], value[:, :end].mT)
            slope = torch._softmax_backward_data(slope, chance, -1, chance.dtype)
            by_query[:, rows] = torch.bmm(slope, key[:, :end])
            by_key[:, :end] += torch.bmm(slope.mT, query[:, rows])
            by_value[:, :end] += torch.bmm(chance.mT, grad[:, rows])
            start = rows.stop
        return (
            _by_token(by_query, batch, time),
            _by_token(by_key, batch, time),
            _by_token(by_value, batch, time),
        )


@cache
def _mask(tokens: int, group: int, dtype: torch.dtype) -> Tensor:
    """What is added to scores among so many tokens, (tokens · group, tokens)."""
    later = torch.full((tokens, tokens), float("-inf"), dtype=dtype).triu_(1)
    return later.repeat_interleave(group, 0)


def _by_key_head(x: Tensor, kv_heads: int) -> Tensor:
    """(batch, time, heads, dim) → (batch · kv_heads, time · heads / kv_heads, dim)."""
    batch, time, _, dim = x.shape
    split = x.reshape(batch, time, kv_heads, -1, dim).transpose(1, 2)
    return split.reshape(batch * kv_heads, -1, dim)


def _by_token(x: Tensor, batch: int, time: int) -> Tensor:
    """The way back from `_by_key_head`."""
    split = x.view(batch, x.size(0) // batch, time, -1, x.size(2))
    return split.transpose(1, 2).flatten(2, 3)
