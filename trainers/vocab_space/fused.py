"""Operations of every step with their gradients written out: few passes over the state.

A state is as large as a batch of predictions, and a step does little arithmetic for each of its
numbers: time goes into reading and writing them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

RMS_EPS = 1e-6


ROWS = 256  # positions taken at once: what is done to them stays in a core's cache


def advance(state: Tensor, added: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """What a part adds goes into the state; what the next part reads is taken from it.

    Args:
        state: (batch, time, words).
        added: the same shape, in any type.
        dtype: of products.

    Returns:
        The new state, and it over its root mean square at every position, in the type of products.
    """
    found: tuple[Tensor, Tensor] = _Advance.apply(state, added, dtype)  # type: ignore[no-untyped-call]
    return found


def normalized(state: Tensor, dtype: torch.dtype) -> Tensor:
    """The state over its root mean square at every position."""
    return advance(state, torch.zeros((), device=state.device).expand_as(state), dtype)[1]


class _Advance(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, state: Tensor, added: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        new, found = torch.empty_like(state), torch.empty_like(state, dtype=dtype)
        rate = torch.empty_like(state[..., :1])
        for before, more, after, once, by in _rows(state, added, new, found, rate):
            torch.add(before, more, out=after)
            square = torch.linalg.vector_norm(after, dim=-1, keepdim=True).square_()
            torch.rsqrt(square.div_(after.shape[-1]).add_(RMS_EPS), out=by)
            once.copy_(after * by)
        ctx.save_for_backward(found, rate)
        ctx.type = added.dtype
        return new, found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, passed: Tensor, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        found, rate = ctx.saved_tensors
        into = torch.empty_like(passed)
        same = ctx.type == passed.dtype
        to_added = into if same else torch.empty_like(passed, dtype=ctx.type)
        for whole, part, once, by, out, cast in _rows(passed, grad, found, rate, into, to_added):
            along = torch.linalg.vecdot(part, once)[:, None] / once.shape[-1]
            moved = torch.addcmul(part, once, along, value=-1).to(whole.dtype)
            torch.addcmul(whole, moved, by, out=out)
            if not same:
                cast.copy_(out)
        return into, to_added, None


def capped_losses(state: Tensor, targets: Tensor, cap: float) -> Tensor:
    """Cross-entropy in nats of cap · tanh(state / cap) at every position.

    Args:
        state: (batch, time, words).
        targets: (batch, time).

    Returns:
        (batch, time).
    """
    found: Tensor = _CappedLosses.apply(state, targets, cap)  # type: ignore[no-untyped-call]
    return found


class _CappedLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, state: Tensor, targets: Tensor, cap: float) -> Tensor:
        losses = torch.empty_like(state[..., :1])
        slope = torch.empty_like(state) if ctx.needs_input_grad[0] else None
        kept = losses if slope is None else slope
        for one, target, loss, here in _rows(state, targets[..., None], losses, kept):
            bent = (one / cap).tanh_()
            log = torch.log_softmax(cap * bent, dim=-1)
            loss.copy_(-log.gather(-1, target))
            if slope is not None:
                wrong = log.exp_().scatter_add_(-1, target, torch.full_like(loss, -1.0))
                torch.mul(wrong, bent.square_().neg_().add_(1), out=here)
        ctx.save_for_backward(slope)
        return losses[..., 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return slope * grad[..., None], None, None


def _rows(*values: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Tensors of the same positions, `ROWS` positions at a time, not copied."""
    flat = [value.flatten(0, -2) for value in values]
    return zip(*(torch.split(value, ROWS) for value in flat), strict=True)


def entropy(x: Tensor) -> Tensor:
    """Entropy in nats of the softmax along the last axis, (…, words) → (…, 1)."""
    found: Tensor = _Entropy.apply(x)  # type: ignore[no-untyped-call]
    return found


class _Entropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        found = torch.empty_like(x[..., :1], dtype=torch.float32)
        slope = torch.empty_like(x)
        for one, total, here in _rows(x, found, slope):
            log = torch.log_softmax(one.float(), dim=-1)
            share = log.exp()
            torch.sum(share * log, dim=-1, keepdim=True, out=total)
            here.copy_(share.mul_(log.sub_(total)).neg_())
        ctx.save_for_backward(slope)
        return found.neg_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (slope,) = ctx.saved_tensors
        into: Tensor = slope * grad.to(slope.dtype)
        return into


def most_active(x: Tensor, count: int) -> Tensor:
    """The `count` largest along the last axis as they are, 0 for the others."""
    if count >= x.shape[-1]:
        return x
    if x.is_cuda:
        least = x.detach().topk(count, dim=-1).values[..., -1:]
    else:
        # Numpy selects with vector instructions: 2 ms where torch's topk took 20.
        parted = np.partition(x.detach().float().numpy(), -count, axis=-1)
        least = torch.from_numpy(parted[..., -count, None].copy()).to(x.dtype)
    return x * (x >= least)


def filtered(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """One causal filter for each word: x (batch, time, words), kernel (words, length)."""
    found: Tensor = _Filtered.apply(x, kernel.to(x.dtype), bias.to(x.dtype))  # type: ignore[no-untyped-call]
    return found


class _Filtered(torch.autograd.Function):
    """Sums of shifted copies: on a CPU a depthwise convolution over (batch, words, time) moves the
    state twice and runs several times slower."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        taps = kernel.mT.contiguous()
        found = torch.addcmul(bias, taps[-1], x)
        for back in range(1, min(len(taps), x.shape[1])):
            found[:, back:].addcmul_(taps[-1 - back], x[:, :-back])
        ctx.save_for_backward(x, taps)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, taps = ctx.saved_tensors
        to_x, to_taps = taps[-1] * grad, torch.zeros_like(taps)
        to_taps[-1] = (grad * x).sum((0, 1))
        for back in range(1, min(len(taps), x.shape[1])):
            later = grad[:, back:]
            to_x[:, :-back].addcmul_(taps[-1 - back], later)
            to_taps[-1 - back] = (later * x[:, :-back]).sum((0, 1))
        return to_x, to_taps.mT, grad.sum((0, 1))
