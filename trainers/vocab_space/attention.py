"""Causal softmax attention in blocks of rows, with its gradient written out.

On a CPU torch's own takes three times as long in bfloat16 (238 ms against 81, forward and back,
for 16 heads of 128 channels and 1,024 positions); on a GPU it is the one to take.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

ROWS = 128


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Mean of v over the positions so far, weighted by softmax of q · k / √channels.

    Args:
        q: (batch, heads, time, channels).
        k, v: (batch, groups, time, channels), each group shared by as many heads.
    """
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    each = q.shape[1] // k.shape[1]
    k, v = (one.repeat_interleave(each, dim=1).flatten(0, 1) for one in (k, v))
    scaled = q.flatten(0, 1) / math.sqrt(q.shape[-1])
    found: Tensor = _Attention.apply(scaled, k, v)  # type: ignore[no-untyped-call]
    return found.view_as(q)


class _Attention(torch.autograd.Function):
    """All heads of a batch on the first axis."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        found, weights = torch.empty_like(v), []
        for start, end in _blocks(q):
            scores = torch.bmm(q[:, start:end], k[:, :end].mT)
            ahead = torch.ones(end - start, end - start, dtype=torch.bool, device=q.device)
            scores[:, :, start:].masked_fill_(ahead.triu(1), -math.inf)
            weights.append(torch.softmax(scores, dim=-1, dtype=scores.dtype))
            found[:, start:end] = torch.bmm(weights[-1], v[:, :end])
        ctx.save_for_backward(q, k, v, found, *weights)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, found, *weights = ctx.saved_tensors
        to_q, to_k, to_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        mean = (grad * found).sum(-1, keepdim=True)
        for (start, end), weight in zip(_blocks(q), weights, strict=True):
            here = grad[:, start:end]
            inner = torch.bmm(here, v[:, :end].mT).sub_(mean[:, start:end]).mul_(weight)
            to_q[:, start:end] = torch.bmm(inner, k[:, :end])
            to_k[:, :end] += torch.bmm(inner.mT, q[:, start:end])
            to_v[:, :end] += torch.bmm(weight.mT, here)
        return to_q, to_k, to_v


def _blocks(q: Tensor) -> list[tuple[int, int]]:
    time = q.shape[1]
    return [(start, min(start + ROWS, time)) for start in range(0, time, ROWS)]
