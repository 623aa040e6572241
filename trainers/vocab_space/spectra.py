"""Products after an FFT over the words, with their gradients written out.

The gradient of a real transform counts the inner frequencies twice, that of its inverse half; here
every gradient passes through one of either, so both are left out but where parameters are met.
Automatic gradients would take complex transforms instead, of twice the length.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainers.vocab_space.memory import scan
from trainers.vocab_space.parts import earlier


def bound_memory(
    state: Tensor, query: Tensor, key: Tensor, value: Tensor, log_decay: Tensor
) -> Tensor:
    """What is found under the state among what was stored under the positions before.

    A pair is its circular convolution (Plate 1995); the memory is their fading sum, and is asked
    by circular correlation.

    Args:
        state: (batch, time, words), float32.
        query, key, value: (words,), how much each word counts in either.
        log_decay: (), negative.

    Returns:
        (batch, time, words).
    """
    found: Tensor = _Bound.apply(state, query, key, value, log_decay)  # type: ignore[no-untyped-call]
    return found


class _Bound(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, state: Tensor, query: Tensor, key: Tensor, value: Tensor, log_decay: Tensor
    ) -> Tensor:
        asked, under, stored = (
            _wave(query * state),
            _wave(key * earlier(state)),
            _wave(value * state),
        )
        rates = log_decay.expand(under.shape[-1] * 2)
        memory = _complex(scan(_real(under * stored), rates))
        ctx.save_for_backward(state, query, key, value, rates, asked, under, stored, memory)
        return _back(asked.conj() * memory, state.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        state, query, key, value, rates, asked, under, stored, memory = ctx.saved_tensors
        count = state.shape[-1]
        waves = _wave(grad)
        into = scan(_real(asked * waves), rates, backwards=True)
        left = (into[:, 1:] * _real(memory)[:, :-1]).sum((0, 1)).view(-1, 2).sum(-1) @ _twice(
            waves
        )
        pairs = _complex(into)
        to_asked = _back(waves.conj() * memory, count)
        to_under, to_stored = (
            _back(pairs * stored.conj(), count),
            _back(pairs * under.conj(), count),
        )
        to_state = torch.addcmul(query * to_asked, value, to_stored)
        to_state[:, :-1].addcmul_(key, to_under[:, 1:])
        return (
            to_state,
            (to_asked * state).sum((0, 1)),
            (to_under[:, 1:] * state[:, :-1]).sum((0, 1)),
            (to_stored * state).sum((0, 1)),
            left * rates[0].exp(),
        )


def spectral_filter(active: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
    """A gain and a turn for every frequency over the words.

    Args:
        active: (…, words), float32.
        real, imaginary: (words / 2 + 1,).
    """
    found: Tensor = _Filter.apply(active, real, imaginary)  # type: ignore[no-untyped-call]
    return found


class _Filter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, active: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
        waves, gain = _wave(active), torch.complex(real, imaginary)
        ctx.save_for_backward(waves, gain)
        return _back(waves * gain, active.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        waves, gain = ctx.saved_tensors
        passed = _wave(grad)
        to_gain = (passed * waves.conj()).flatten(0, -2).sum(0) * _twice(passed)
        return _back(passed * gain.conj(), grad.shape[-1]), to_gain.real, to_gain.imag


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
