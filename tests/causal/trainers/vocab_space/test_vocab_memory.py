"""Memories in linear time against their definitions, written out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.vocab_space.memory import CHUNK, fading_attention, fading_sum


def written_out(q, k, v, log_decay):
    """Σ_s exp(Σ log_decay) (q·k) v with the whole time × time matrix."""
    if log_decay.dim() == 1:
        log_decay = log_decay[None, :, None].expand(q.shape[:3])
    faded = log_decay.cumsum(-1)
    return ((q @ k.mT) * (faded[..., :, None] - faded[..., None, :]).exp().tril()) @ v


@pytest.mark.parametrize("time", [1, 5, CHUNK, CHUNK + 1, 3 * CHUNK - 7])
@pytest.mark.parametrize("keys, values", [(4, 5), (160, 160)])  # by a state, by rows
@pytest.mark.parametrize("by_position", [False, True])
def test_fading_attention_is_its_definition(time, keys, values, by_position):
    draw = torch.Generator().manual_seed(time + keys)
    q, k = torch.randn(2, 2, 3, time, keys, generator=draw, dtype=torch.float64)
    v = torch.randn(2, 3, time, values, generator=draw, dtype=torch.float64)
    shape = (2, 3, time) if by_position else (3,)
    log_decay = -torch.rand(shape, generator=draw, dtype=torch.float64)
    expected = written_out(q, k, v, log_decay)
    torch.testing.assert_close(
        fading_attention(q, k, v, log_decay), expected, rtol=1e-4, atol=1e-4
    )


@settings(max_examples=20, deadline=None)
@given(time=st.integers(1, 2 * CHUNK + 3), seed=st.integers(0, 99))
def test_fading_sum_is_its_recurrence(time, seed):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(2, time, 3, 4, generator=draw, dtype=torch.float64)
    log_decay = -torch.rand(3, generator=draw, dtype=torch.float64)
    state, expected = torch.zeros(2, 3, 4, dtype=torch.float64), []
    for position in range(time):
        state = x[:, position] + log_decay.exp()[:, None] * state
        expected.append(state)
    torch.testing.assert_close(fading_sum(x, log_decay), torch.stack(expected, dim=1))
