"""Operations of every step with their gradients written out: few passes over the state.

A state is as large as a batch of predictions, and a step does little arithmetic for each of its
numbers: time goes into reading and writing them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

RMS_EPS = 1e-6


def normalized(state: Tensor, dtype: torch.dtype) -> Tensor:
    """The state over its root mean square at every position, in the type of products."""
    found: Tensor = _Normalized.apply(state, dtype)  # type: ignore[no-untyped-call]
    return found


class _Normalized(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, state: Tensor, dtype: torch.dtype) -> Tensor:
        square = torch.linalg.vector_norm(state, dim=-1, keepdim=True).square()
        rate = (square / state.shape[-1] + RMS_EPS).rsqrt()
        found = (state * rate).to(dtype)
        ctx.save_for_backward(found, rate)
        return found

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        found, rate = ctx.saved_tensors
        along = torch.linalg.vecdot(grad, found)[..., None] / found.shape[-1]
        return torch.addcmul(grad, found, along, value=-1) * rate, None


def transform(values: Tensor) -> Tensor:
    """Orthonormal FFT over the words, (…, words) → complex (…, words / 2 + 1)."""
    found: Tensor = _Transform.apply(values)  # type: ignore[no-untyped-call]
    return found


def untransform(spectrum: Tensor, words_count: int) -> Tensor:
    """What `transform` takes apart, put together again."""
    found: Tensor = _Untransform.apply(spectrum, words_count)  # type: ignore[no-untyped-call]
    return found


class _Transform(torch.autograd.Function):
    """The automatic gradient takes a complex FFT; a real one does, if each half counts once."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        ctx.count = values.shape[-1]
        return torch.fft.rfft(values, norm="ortho")

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        half = grad / 2
        half[..., 0] *= 2
        half[..., -1] *= 2
        return torch.fft.irfft(half, n=ctx.count, norm="ortho")


class _Untransform(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spectrum: Tensor, count: int) -> Tensor:
        return torch.fft.irfft(spectrum, n=count, norm="ortho")

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        found = torch.fft.rfft(grad, norm="ortho")
        found[..., 1:-1] *= 2
        return found, None


def entropy(x: Tensor) -> Tensor:
    """Entropy in nats of the softmax along the last axis, (…, words) → (…, 1)."""
    found: Tensor = _Entropy.apply(x)  # type: ignore[no-untyped-call]
    return found


class _Entropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        log = torch.log_softmax(x, dim=-1)
        share = log.exp()
        found = -torch.linalg.vecdot(share, log)[..., None]
        ctx.save_for_backward(log, share, found)
        return found

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        log, share, found = ctx.saved_tensors
        return (log + found).mul_(share).mul_(-grad)


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
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, taps = ctx.saved_tensors
        to_x, to_taps = taps[-1] * grad, torch.zeros_like(taps)
        to_taps[-1] = (grad * x).sum((0, 1))
        for back in range(1, min(len(taps), x.shape[1])):
            later = grad[:, back:]
            to_x[:, :-back].addcmul_(taps[-1 - back], later)
            to_taps[-1 - back] = (later * x[:, :-back]).sum((0, 1))
        return to_x, to_taps.mT, grad.sum((0, 1))
