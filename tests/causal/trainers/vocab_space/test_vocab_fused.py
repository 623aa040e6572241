"""Operations with their gradients written out against the same, plainly, with automatic ones."""

import math

import pytest
import torch
import torch.nn.functional as F

from trainers.vocab_space.fused import (
    added,
    by_word,
    capped_losses,
    entropy,
    flow,
    most_active,
    normalized,
    projected,
    scaled,
    settled,
    written,
)

WORDS = 12


def drawn(draw, *shape):
    return torch.randn(shape, generator=draw, dtype=torch.float64).requires_grad_()


def agree(found, expected, inputs):
    torch.testing.assert_close(found, expected)
    for one, other in zip(
        torch.autograd.grad(found, inputs), torch.autograd.grad(expected, inputs), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_what_is_read_and_written_has_the_gradients_of_the_plain_state():
    draw = torch.Generator().manual_seed(1)
    start = torch.randn(2, 150, WORDS, generator=draw, dtype=torch.float64)
    low, up, down, more, out = inputs = [
        drawn(draw, *shape)
        for shape in ((2, 150, 3), (3, WORDS), (WORDS, 4), (2, 150, WORDS), (4, WORDS))
    ]
    targets = torch.randint(0, WORDS, (2, 150), generator=draw)

    now = written(flow(start.clone(), torch.float64), low, up)
    now, read = projected(now, down)
    now = written(now, read.tanh(), out)
    now, inner = capped_losses(now, targets, 2.0)
    now, x = normalized(now)
    now = added(now, x.tanh() * more)
    now, last = capped_losses(now, targets, 2.0)

    def plain_losses(state):
        logits = 2 * torch.tanh(state / 2)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")

    def plain_norm(state):
        return F.rms_norm(state, state.shape[-1:], eps=1e-6)

    one = start + low @ up
    two = one + (plain_norm(one) @ down).tanh() @ out
    three = two + plain_norm(two).tanh() * more
    torch.testing.assert_close(settled(now), three)
    weighed = plain_losses(two).mean() + 3 * plain_losses(three).mean()
    agree(inner.mean() + 3 * last.mean(), weighed, inputs)


@pytest.mark.parametrize("cap", [0.5, 30.0, 1000.0])
def test_a_loss_is_exact_however_unlikely_the_target(cap):
    state = torch.tensor([[[0.0, 5 * cap, -5 * cap]]])
    _, losses = capped_losses(flow(state.clone(), torch.float32), torch.tensor([[2]]), cap)
    expected = F.cross_entropy(cap * torch.tanh(state[0] / cap), torch.tensor([2]))
    torch.testing.assert_close(losses[0, 0], expected)


def test_scaling_word_by_word():
    draw = torch.Generator().manual_seed(2)
    values, by, more = inputs = [drawn(draw, *size) for size in ((2, 9, 5), (5,), (2, 9, 5))]
    agree(scaled(values, by, more).square().sum(), (values * by + more).square().sum(), inputs)
    torch.testing.assert_close(by_word(values, more), (values * more).sum((0, 1)))


def test_entropy_of_a_state_as_a_prediction():
    # Forward in float32, as the losses of a run are.
    x = torch.randn(2, 7, WORDS, generator=torch.Generator().manual_seed(3)).requires_grad_()
    log_p = torch.log_softmax(x, dim=-1)
    agree(entropy(x).square().sum(), (log_p.exp() * log_p).sum(-1).square().sum(), [x])
    assert entropy(torch.zeros(1, 1, WORDS)).item() == pytest.approx(math.log(WORDS))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_most_active_words_stay_and_pass_the_gradient(dtype):
    x = torch.randn(3, 40, generator=torch.Generator().manual_seed(4)).to(dtype)
    x[0] -= 5  # none of them positive
    x[1, 3:30] = 0.5  # more alike than may stay
    x.requires_grad_()
    chosen = x.detach() >= x.detach().topk(8).values[:, -1:]
    found = most_active(x, 8)
    assert torch.equal(found, torch.where(chosen, x, 0.0))
    found.sum().backward()
    assert torch.equal(x.grad, chosen.to(dtype))
