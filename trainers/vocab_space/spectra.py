"""Products after an FFT over the words, with their gradients written out.

The gradient of a real transform counts the inner frequencies twice, that of its inverse half; here
every gradient passes through one of either, so both are left out but where parameters are met.
Automatic gradients would take complex transforms instead, of twice the length.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainers.vocab_space.fused import by_word
from trainers.vocab_space.memory import scan


def bound_memory(
    x: Tensor, query: Tensor, key: Tensor, value: Tensor, read: Tensor, log_decay: Tensor
) -> Tensor:
    """What is found under the state among what was stored under the positions before.

    A pair is its circular convolution (Plate 1995); the memory is their fading sum, and is asked
    by circular correlation.

    Args:
        x: (batch, time, words).
        query, key, value: (words,), how much each word counts in either.
        read: (words,), how much of what is found is returned.
        log_decay: (), negative.

    Returns:
        (batch, time, words), float32.
    """
    found: Tensor = _Bound.apply(x, query, key, value, read, log_decay)  # type: ignore[no-untyped-call]
    return found


class _Bound(torch.autograd.Function):
    """What a product takes the conjugate of is conjugated in place: as an operand it is copied."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        read: Tensor,
        log_decay: Tensor,
    ) -> Tensor:
        state = x.float()
        past = torch.zeros_like(state)
        torch.mul(key, state[:, :-1], out=past[:, 1:])
        asked, under, stored = _wave(query * state), _wave(past), _wave(value * state)
        rates = log_decay.expand(under.shape[-1] * 2)
        memory = _complex(scan(_real(under * stored), rates))
        for one in (asked, under, stored):
            one.conj_physical_()
        found = _back(asked * memory, x.shape[-1])
        ctx.save_for_backward(
            x, query, key, value, read, rates, asked, under, stored, memory, found
        )
        return found * read

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        x, query, key, value, read, rates, asked, under, stored, memory, found = ctx.saved_tensors
        count = x.shape[-1]
        waves = _wave(grad * read).conj_physical_()
        to_asked = _back(waves * memory, count)
        pairs = _complex(scan(_real(waves.mul_(asked)), rates, backwards=True)).conj_physical_()
        left = by_word(_real(pairs)[:, 1:], _real(memory)[:, :-1])
        to_stored = _back(pairs * under, count)
        to_past = _back(pairs.mul_(stored), count)[:, 1:]
        to_x = torch.addcmul(query * to_asked, value, to_stored)
        to_x[:, :-1].addcmul_(key, to_past)
        return (
            to_x,
            by_word(to_asked, x),
            by_word(to_past, x[:, :-1]),
            by_word(to_stored, x),
            by_word(grad, found),
            left.view(-1, 2).sum(-1) @ _twice(pairs) * rates[0].exp(),
        )


def active_spectrum(
    x: Tensor, gain: Tensor, bias: Tensor, real: Tensor, imaginary: Tensor
) -> Tensor:
    """A gain and a turn for every frequency over the words, of gelu(gain · x + bias).

    Args:
        x: (batch, time, words).
        gain, bias: (words,).
        real, imaginary: (words / 2 + 1,).

    Returns:
        (batch, time, words), float32.
    """
    found: Tensor = _Spectrum.apply(x, gain, bias, real, imaginary)  # type: ignore[no-untyped-call]
    return found


class _Spectrum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gain: Tensor, bias: Tensor, real: Tensor, imaginary: Tensor
    ) -> Tensor:
        bent = torch.addcmul(bias, gain, x.float())
        waves, turn = _wave(F.gelu(bent)), torch.complex(real, imaginary)
        ctx.save_for_backward(x, gain, bent, waves, turn)
        return _back(waves * turn, x.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        x, gain, bent, waves, turn = ctx.saved_tensors
        passed = _wave(grad)
        to_active = _back(passed * turn.conj().resolve_conj(), grad.shape[-1])
        to_turn = by_word(passed.conj_physical_(), waves) * _twice(passed)
        to_bent = torch.ops.aten.gelu_backward(to_active, bent)
        to_gain, to_bias = by_word(to_bent, x), to_bent.sum((0, 1))
        return to_bent.mul_(gain), to_gain, to_bias, to_turn.real, -to_turn.imag


def _wave(values: Tensor) -> Tensor:
    """Orthonormal FFT over the words, (…, words) → complex (…, words / 2 + 1)."""
    found: Tensor = torch.fft.rfft(values, norm="ortho")
    return found


def _back(spectrum: Tensor, count: int) -> Tensor:
    """What `_wave` takes apart, put together again."""
    found: Tensor = torch.fft.irfft(spectrum, n=count, norm="ortho")
    return found


def _real(spectrum: Tensor) -> Tensor:
    return torch.view_as_real(spectrum).flatten(-2)


def _complex(pairs: Tensor) -> Tensor:
    return torch.view_as_complex(pairs.reshape(*pairs.shape[:-1], -1, 2))


def _twice(spectrum: Tensor) -> Tensor:
    """How often a frequency of a real signal counts: 1 for the first and the last, else 2."""
    found = torch.full(spectrum.shape[-1:], 2.0, device=spectrum.device)
    found[0] = found[-1] = 1.0
    return found
