"""Operations of every step with their gradients written out: few passes over the state.

A state is as large as a batch of predictions, and a step does little arithmetic for each of its
numbers: time goes into reading and writing them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
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
        state: (batch, time, words), float32, with no gradient of its own. Additions go into this
            very tensor: a copy for every part would be read from memory, not from a cache.
        more: what has been added, as long as nobody has read the sum.
        back: shaped as the state, with no numbers of its own: what comes back goes through it, in
            the type of products, which takes it anyway: half the bytes of the state's own type.
    """

    state: Tensor
    more: Tensor | None
    back: Tensor


def flow(state: Tensor, dtype: torch.dtype) -> Flow:
    """The flow that starts from this state; dtype is that of products."""
    return Flow(state, None, state.new_zeros((), dtype=dtype).expand(state.shape))


def added(before: Flow, more: Tensor) -> Flow:
    """What a part adds goes into a state that has been read: (batch, time, words), in any type."""
    back: Tensor = _Added.apply(before.back, more)  # type: ignore[no-untyped-call]
    return Flow(before.state, more.detach(), back)


class _Added(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, back: Tensor, more: Tensor) -> Tensor:
        return _nothing(back)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        return grad, grad


def written(before: Flow, low: Tensor, matrix: Tensor) -> Flow:
    """As `added`, of low @ matrix: (batch, time, rank) and (rank, words)."""
    back, more = _Written.apply(before.back, low, matrix)  # type: ignore[no-untyped-call]
    return Flow(before.state, more, back)


class _Written(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, back: Tensor, low: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
        low, matrix = low.to(back.dtype), matrix.to(back.dtype)
        more = low @ matrix
        ctx.save_for_backward(low, matrix)
        ctx.mark_non_differentiable(more)
        return _nothing(back), more

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        low, matrix = ctx.saved_tensors
        return grad, grad @ matrix.mT, low.flatten(0, 1).mT @ grad.flatten(0, 1)


def settled(before: Flow) -> Tensor:
    """The state with all that has been added; from then on, it is part of the state."""
    _take(before.state, before.more)
    return before.state


def normalized(before: Flow) -> tuple[Flow, Tensor]:
    """The state over its root mean square at every position, in the type of products."""
    back, found = _Normalized.apply(*before)  # type: ignore[no-untyped-call]
    return Flow(before.state, None, back), found


class _Normalized(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, state: Tensor, more: Tensor | None, back: Tensor
    ) -> tuple[Tensor, Tensor]:
        found, rate = torch.empty_like(state, dtype=back.dtype), torch.empty_like(state[..., :1])
        for one, new, by, out in _rows(state, more, rate, found):
            _take(one, new)
            norm = torch.linalg.vector_norm(one, dim=-1, keepdim=True)
            out.copy_(one * by.copy_(_rate(norm, one.shape[-1])))
        ctx.save_for_backward(found, rate)
        ctx.set_materialize_grads(False)
        return _nothing(back), found

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, passed: Tensor | None, grad: Tensor | None
    ) -> tuple[None, None, Tensor | None]:
        found, rate = ctx.saved_tensors
        if grad is None:
            return None, None, passed
        passed = torch.zeros_like(grad) if passed is None else passed
        into = torch.empty_like(grad)
        for whole, part, once, by, out in _rows(passed, grad, found, rate.to(grad.dtype), into):
            along = torch.linalg.vecdot(part, once)[:, None] / once.shape[-1]
            torch.addcmul(whole, torch.addcmul(part, once, along, value=-1), by, out=out)
        return None, None, into


def projected(before: Flow, matrix: Tensor) -> tuple[Flow, Tensor]:
    """`normalized` @ matrix: (words, rank), for what reads the state through it alone.

    Rows are scaled after the product, gradients before theirs: rank numbers for each, not words.
    """
    back, found = _Projected.apply(*before, matrix)  # type: ignore[no-untyped-call]
    return Flow(before.state, None, back), found


class _Projected(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, state: Tensor, more: Tensor | None, back: Tensor, matrix: Tensor
    ) -> tuple[Tensor, Tensor]:
        x, norm = torch.empty_like(state, dtype=back.dtype), torch.empty_like(state[..., :1])
        for one, new, size, out in _rows(state, more, norm, x):
            _take(one, new)
            torch.linalg.vector_norm(one, dim=-1, keepdim=True, out=size)
            out.copy_(one)
        rate, matrix = _rate(norm, x.shape[-1]), matrix.to(back.dtype)
        found = ((x @ matrix) * rate).to(back.dtype)
        ctx.save_for_backward(x, rate, matrix, found)
        ctx.set_materialize_grads(False)
        return _nothing(back), found

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, passed: Tensor | None, grad: Tensor | None
    ) -> tuple[None, None, Tensor | None, Tensor | None]:
        x, rate, matrix, found = ctx.saved_tensors
        if grad is None:
            return None, None, passed, None
        rate = rate.to(x.dtype)
        by_row = grad * rate
        to_matrix = x.flatten(0, 1).mT @ by_row.flatten(0, 1)
        if not ctx.needs_input_grad[2]:
            return None, None, None, to_matrix
        passed = torch.zeros_like(x) if passed is None else passed
        # The rate falls as the state grows: rate³ · (state · what comes back) / words.
        along = torch.linalg.vecdot(by_row, found)[..., None] * rate / -x.shape[-1]
        into = torch.addmm(passed.flatten(0, 1), by_row.flatten(0, 1), matrix.mT).view_as(x)
        return None, None, into.addcmul_(x, along), to_matrix


def _take(state: Tensor, more: Tensor | None) -> None:
    if more is not None:
        state.add_(more)


def _nothing(back: Tensor) -> Tensor:
    return back.new_zeros(()).expand(back.shape)


def _rate(norm: Tensor, words: int) -> Tensor:
    """One over the root mean square of what has this norm."""
    return torch.addcmul(norm.new_tensor(RMS_EPS), norm, norm, value=1 / words).rsqrt_()


def capped_losses(last: Flow, targets: Tensor, cap: float) -> tuple[Flow, Tensor]:
    """Cross-entropy in nats of cap · tanh(state / cap) at every position.

    Args:
        last: the state as a prediction.
        targets: (batch, time).
        cap: bound on the logits.

    Returns:
        The flow, for what is still to be written, and (batch, time).
    """
    back, found = _CappedLosses.apply(*last, targets, cap)  # type: ignore[no-untyped-call]
    return Flow(last.state, None, back), found


class _CappedLosses(torch.autograd.Function):
    """tanh is 2 · sigmoid of the double − 1, in a tenth of the time; what is the same for all
    words changes no prediction."""

    @staticmethod
    def forward(
        ctx: Any, state: Tensor, more: Tensor | None, back: Tensor, targets: Tensor, cap: float
    ) -> tuple[Tensor, Tensor]:
        losses = torch.empty_like(state[..., :1])
        needed = ctx.needs_input_grad[2]
        slope = torch.empty_like(state, dtype=back.dtype) if needed else None
        kept = losses if slope is None else slope
        for one, new, target, loss, here in _rows(state, more, targets[..., None], losses, kept):
            _take(one, new)
            bent = (one * (2 / cap)).sigmoid_()
            logits = bent * (2 * cap)
            share = torch.softmax(logits, dim=-1)
            torch.sub(_log_total(logits, share), logits.gather(-1, target), out=loss)
            if slope is not None:
                share.scatter_add_(-1, target, torch.full_like(loss, -1.0))
                here.copy_(share.mul_(bent.addcmul_(bent, bent, value=-1)))
        ctx.save_for_backward(slope)
        ctx.set_materialize_grads(False)
        return _nothing(back), losses[..., 0]

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, passed: Tensor | None, grad: Tensor | None
    ) -> tuple[None, None, Tensor | None, None, None]:
        (slope,) = ctx.saved_tensors
        if grad is None:
            return None, None, passed, None, None
        each = (4 * grad[..., None]).to(slope.dtype)
        into = slope * each if passed is None else torch.addcmul(passed, slope, each)
        return None, None, into, None, None


def _log_total(logits: Tensor, share: Tensor) -> Tensor:
    """Log of the sum of exponentials along the last axis, from their softmax."""
    return logits.amax(-1, keepdim=True) - share.amax(-1, keepdim=True).log_()


def _rows(*values: Tensor | None) -> Iterator[tuple[Any, ...]]:
    """Tensors of the same positions, `ROWS` positions at a time, not copied; None stays None."""
    cut = (
        repeat(None) if value is None else torch.split(value.flatten(0, -2), ROWS)
        for value in values
    )
    return zip(*cut, strict=False)


def by_word(one: Tensor, other: Tensor) -> Tensor:
    """Sum over all positions of the products: (batch, time, words) both → (words,)."""
    exact = torch.promote_types(torch.result_type(one, other), torch.float32)
    total = torch.zeros(one.shape[-1], dtype=exact, device=one.device)
    for sequences in zip(one, other, strict=True):
        for left, right in _rows(*sequences):
            total += (left * right).sum(0)
    return total


def scaled(values: Tensor, by: Tensor, more: Tensor | None = None) -> Tensor:
    """values · by (+ more), in the type of `values`: a number for each word."""
    found: Tensor = _Scaled.apply(values, by, more)  # type: ignore[no-untyped-call]
    return found


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, by: Tensor, more: Tensor | None) -> Tensor:
        by = by.to(values.dtype)
        ctx.save_for_backward(values, by)
        return by * values if more is None else torch.addcmul(more, by, values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        values, by = ctx.saved_tensors
        return grad * by, by_word(grad, values), grad if ctx.needs_input_grad[2] else None


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
            logits = one.float()
            share = torch.softmax(logits, dim=-1)
            mean = torch.linalg.vecdot(share, logits)[:, None]
            torch.sub(_log_total(logits, share), mean, out=total)
            here.copy_(share.mul_(mean - logits))
        ctx.save_for_backward(slope)
        return found

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
    found: Tensor = _MostActive.apply(x, count)  # type: ignore[no-untyped-call]
    return found


class _MostActive(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, count: int) -> Tensor:
        # As a number, not a bool: choosing by bools takes ten times as long.
        active = torch.ge(x, _least(x, count), out=torch.empty_like(x))
        ctx.save_for_backward(active)
        return x * active

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (active,) = ctx.saved_tensors
        return grad * active, None


def _least(x: Tensor, count: int) -> Tensor:
    """The smallest of the `count` largest along the last axis, (…, words) → (…, 1)."""
    if x.is_cuda:
        return x.topk(count, dim=-1).values[..., -1:]
    # Numpy selects integers with vector instructions: 1 ms where torch's topk took 20. The bits of
    # floats are in order once those below the sign are turned over in negative ones.
    kind = {2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()]

    def turned(bits: Tensor) -> Tensor:
        return bits ^ ((bits >> (8 * x.element_size() - 1)) & torch.iinfo(kind).max)

    parted = np.partition(turned(x.view(kind)).numpy(), -count, axis=-1)
    return turned(torch.from_numpy(parted[..., -count, None].copy())).view(x.dtype)


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
