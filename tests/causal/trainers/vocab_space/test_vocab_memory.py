"""Memories in linear time against their definitions, written out, and automatic gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.vocab_space.memory import (
    BLOCK,
    CHUNK,
    SPAN,
    fading_attention,
    fading_resemblance,
    fading_sum,
)

TIMES = [1, 5, CHUNK, CHUNK + 1, BLOCK, BLOCK + 1, 3 * BLOCK - 7]


def written_out(q, k, v, log_decay):
    """Σ_s exp(Σ log_decay) (q·k) v with the whole time × time matrix."""
    faded = log_decay.expand(q.shape[:2]).cumsum(-1)
    age = faded[..., :, None] - faded[..., None, :]
    later = torch.ones(age.shape[-2:], dtype=torch.bool).triu(1)
    return ((q @ k.mT) * age.masked_fill(later, -math.inf).exp()) @ v


def drawn(draw, *shape):
    return torch.randn(shape, generator=draw, dtype=torch.float64).requires_grad_()


def agree(found, expected, inputs, draw):
    """The same values, and the same gradients of a random weighting of them."""
    torch.testing.assert_close(found, expected)
    weights = torch.randn(expected.shape, generator=draw, dtype=torch.float64)
    for one, other in zip(
        torch.autograd.grad(found, inputs, weights),
        torch.autograd.grad(expected, inputs, weights),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("by_position", [False, True])
def test_fading_attention_is_its_definition(time, by_position):
    draw = torch.Generator().manual_seed(time)
    q, k, v = (drawn(draw, 2, time, size) for size in (4, 4, 5))
    log_decay = -torch.rand((2, time) if by_position else (), generator=draw, dtype=torch.float64)
    log_decay.requires_grad_()
    inputs = (q, k, v, log_decay)
    agree(fading_attention(*inputs), written_out(*inputs), inputs, draw)


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("decay", [-5.0, -1.0, -0.1, -0.001])  # all but the last two fade away
def test_fading_resemblance_is_its_definition(time, decay):
    draw = torch.Generator().manual_seed(time)
    x, past, v = (drawn(draw, 2, time, size) for size in (160, 160, 160))
    scale, log_decay = drawn(draw, 160), torch.tensor(decay, dtype=torch.float64)
    inputs = (x, past, scale, v, log_decay.requires_grad_())
    expected = written_out(x * scale, past, v, log_decay)
    agree(fading_resemblance(*inputs), expected, inputs, draw)


def test_what_resemblance_leaves_out_is_below_rounding():
    draw = torch.Generator().manual_seed(1)
    x, scale = drawn(draw, 1, 4 * BLOCK, 600).detach(), torch.ones(600, dtype=torch.float64)
    log_decay = torch.tensor(-0.1, dtype=torch.float64)  # 111 positions back it is 2^-16
    exact = written_out(x * scale / 600, x, x, log_decay)
    found = fading_resemblance(*(one.bfloat16() for one in (x, x, scale / 600, x)), log_decay)
    assert ((found - exact).norm() / exact.norm()).item() < 2**-7


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("changed", [3, CHUNK + 5, 2 * BLOCK])
def test_what_comes_later_changes_nothing_to_the_bit(dtype, changed):
    draw = torch.Generator().manual_seed(changed)
    x = torch.randn(2, 3 * BLOCK - 7, 96, generator=draw).to(dtype)
    other = x.clone()
    other[:, changed:] = torch.randn(other[:, changed:].shape, generator=draw).to(dtype)
    slow, by_word = torch.tensor(-0.01), torch.ones(96)
    for mixed in (
        lambda x: fading_attention(x, x, x, slow),
        lambda x: fading_attention(x, x, x, -x[..., 0].float().exp()),
        lambda x: fading_resemblance(x, x, by_word, x, slow * 10),
        lambda x: fading_sum(x[:, :, None], slow[None]),
    ):
        assert torch.equal(mixed(x)[:, :changed], mixed(other)[:, :changed])


@settings(max_examples=20, deadline=None)
@given(time=st.integers(1, 2 * SPAN + 3), seed=st.integers(0, 99))
def test_fading_sum_is_its_recurrence(time, seed):
    draw = torch.Generator().manual_seed(seed)
    x = drawn(draw, 2, time, 3, 4)
    log_decay = -torch.rand(3, generator=draw, dtype=torch.float64)
    log_decay.requires_grad_()
    state, expected = torch.zeros(2, 3, 4, dtype=torch.float64), []
    for position in range(time):
        state = x[:, position] + log_decay.exp()[:, None] * state
        expected.append(state)
    agree(fading_sum(x, log_decay), torch.stack(expected, dim=1), (x, log_decay), draw)
