"""The fused CPU loss equals its definition, in value and in gradient."""

import pytest
import torch

from trainers.gpt import loss_torch
from trainers.gpt.loss_torch import (
    capped_cross_entropy,
    capped_losses,
    plain_losses,
    weighted_cross_entropy,
)


def arrays(*, n=37, dim=16, vocab=50, spread=3.0):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(n, dim, generator=generator)
    embed = spread * torch.randn(vocab, dim, generator=generator)
    targets = torch.randint(0, vocab, (n,), generator=generator)
    return hidden, embed, targets


@pytest.mark.parametrize("softcap", [5.0, 30.0, 200.0])
@pytest.mark.parametrize("chunk_rows", [1, 10, 37, 1000])
def test_value_and_gradient(monkeypatch, softcap, chunk_rows):
    monkeypatch.setattr(loss_torch, "CHUNK_LOGITS", 50 * chunk_rows)
    hidden, embed, targets = arrays()
    cap = torch.tensor(softcap)
    both = []
    for loss in (capped_cross_entropy, lambda *args: plain_losses(*args).mean()):
        h, e = hidden.clone().requires_grad_(), embed.clone().requires_grad_()
        value = loss(h, e, targets, cap)
        (2.5 * value).backward()
        both.append((value.detach(), h.grad, e.grad))
    for ours, expected in zip(*both, strict=True):
        torch.testing.assert_close(ours, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("chunk_rows", [5, 1000])
def test_a_weighted_sum_and_its_gradient(monkeypatch, chunk_rows):
    monkeypatch.setattr(loss_torch, "CHUNK_LOGITS", 50 * chunk_rows)
    hidden, embed, targets = arrays()
    cap, shares = torch.tensor(20.0), torch.rand(37, generator=torch.Generator().manual_seed(1))
    shares[::3] = 0
    both = []
    for fused in (True, False):
        h, e = hidden.clone().requires_grad_(), embed.clone().requires_grad_()
        if fused:
            value = weighted_cross_entropy(h, e, targets, cap, shares)
        else:
            value = (shares * plain_losses(h, e, targets, cap)).sum()
        (0.5 * value).backward()
        both.append((value.detach(), h.grad, e.grad))
    for ours, expected in zip(*both, strict=True):
        torch.testing.assert_close(ours, expected, rtol=2e-5, atol=2e-5)
    assert not both[0][1][::3].any()


def test_losses_of_each_token():
    hidden, embed, targets = arrays()
    cap = torch.tensor(30.0)
    torch.testing.assert_close(
        capped_losses(hidden, embed, targets, cap),
        plain_losses(hidden, embed, targets, cap),
        rtol=1e-5,
        atol=1e-5,
    )


def test_bfloat16_stays_near_float32():
    hidden, embed, targets = arrays(spread=0.3)
    cap = torch.tensor(30.0)
    exact = capped_losses(hidden, embed, targets, cap)
    rounded = capped_losses(hidden.bfloat16(), embed, targets, cap)
    assert (rounded - exact).abs().max() < 0.03
    assert (rounded - exact).abs().max() > 0
    assert rounded.dtype == torch.float32


def test_a_hopeless_token_has_a_large_finite_loss():
    embed = torch.tensor([[1000.0], [-1000.0]])
    loss = capped_losses(torch.ones(1, 1), embed, torch.tensor([1]), torch.tensor(500.0))
    assert 80 < float(loss) < 90
