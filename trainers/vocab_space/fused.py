"""Operations of every step with their gradients written out: few passes over the state.

A state is as large as a batch of predictions, and a step does little arithmetic for each of its
numbers: time goes into reading and writing them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

RMS_EPS = 1e-6


ROWS = 256  # positions taken at once: what is done to them stays in a core's cache


class Flow(NamedTuple):
    """A state, and the way its gradient comes back.

    Attributes:
        state: (batch, time, words), float32, with no gradient of its own.
        back: the same shape, with no numbers of its own: what comes back goes through it, in the
            type of products, which takes it anyway: half the bytes of the state's own type.
    """

    state: Tensor
    back: Tensor


def flow(state: Tensor, dtype: torch.dtype) -> Flow:
    """The flow that starts from this state; dtype is that of products."""
    back: Tensor = _Back.apply(state, dtype)  # type: ignore[no-untyped-call]
    return Flow(state.detach(), back)


class _Back(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, state: Tensor, dtype: torch.dtype) -> Tensor:
        return state.new_zeros((), dtype=dtype).expand(state.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


def advance(before: Flow, added: Tensor) -> tuple[Flow, Tensor]:
    """What a part adds goes into the state; what the next part reads is taken from it.

    Args:
        before: the state so far.
        added: (batch, time, words), in any type.

    Returns:
        The new state, and it over its root mean square at every position, in the type of products.
    """
    state, back, found = _Advance.apply(*before, added)  # type: ignore[no-untyped-call]
    return Flow(state, back), found


def normalized(start: Flow) -> Tensor:
    """The state over its root mean square at every position, in the type of products."""
    return advance(start, start.state.new_zeros(()).expand_as(start.state))[1]


class _Advance(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, state: Tensor, back: Tensor, added: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        new, found = torch.empty_like(state), torch.empty_like(state, dtype=back.dtype)
        rate = torch.empty_like(state[..., :1])
        for before, more, after, once, by in _rows(state, added, new, found, rate):
            torch.add(before, more, out=after)
            square = torch.linalg.vector_norm(after, dim=-1, keepdim=True).square_()
            torch.rsqrt(square.div_(after.shape[-1]).add_(RMS_EPS), out=by)
            once.copy_(after * by)
        ctx.save_for_backward(found, rate)
        ctx.mark_non_differentiable(new)
        ctx.set_materialize_grads(False)
        return new, back.new_zeros(()).expand(back.shape), found

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, _: None, passed: Tensor | None, grad: Tensor | None
    ) -> tuple[None, Tensor | None, Tensor | None]:
        found, rate = ctx.saved_tensors
        if grad is None:  # the last state is read by nothing but the loss
            return None, passed, passed
        passed = torch.zeros_like(grad) if passed is None else passed
        into = torch.empty_like(grad)
        for whole, part, once, by, out in _rows(passed, grad, found, rate.to(grad.dtype), into):
            along = torch.linalg.vecdot(part, once)[:, None] / once.shape[-1]
            torch.addcmul(whole, torch.addcmul(part, once, along, value=-1), by, out=out)
        return None, into, into


def capped_losses(last: Flow, targets: Tensor, cap: float) -> Tensor:
    """Cross-entropy in nats of cap · tanh(state / cap) at every position.

    Args:
        last: the state as a prediction.
        targets: (batch, time).
        cap: bound on the logits.

    Returns:
        (batch, time).
    """
    found: Tensor = _CappedLosses.apply(*last, targets, cap)  # type: ignore[no-untyped-call]
    return found


class _CappedLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, state: Tensor, back: Tensor, targets: Tensor, cap: float) -> Tensor:
        losses = torch.empty_like(state[..., :1])
        needed = ctx.needs_input_grad[1]
        slope = torch.empty_like(state, dtype=back.dtype) if needed else None
        kept = losses if slope is None else slope
        for one, target, loss, here in _rows(state, targets[..., None], losses, kept):
            bent = (one / cap).tanh_()
            log = torch.log_softmax(cap * bent, dim=-1)
            loss.copy_(-log.gather(-1, target))
            if slope is not None:
                wrong = log.exp_().scatter_add_(-1, target, torch.full_like(loss, -1.0))
                here.copy_(wrong.mul_(bent.square_().neg_().add_(1)))
        ctx.save_for_backward(slope)
        return losses[..., 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return None, slope * grad[..., None].to(slope.dtype), None, None


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
