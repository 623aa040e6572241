"""Cross-entropy of softcapped, tied logits, the costliest part of a small model.

With logit z the model's logit is c·tanh(z/c) = 2c·σ(2z/c) − c, and softmax does not see the −c.
On a CPU the loss and its gradient are computed together, a few hundred tokens at a time, in two
buffers that stay in the cache: measured here (AVX-512, one thread), torch's sigmoid takes 0.2 ns
an element where tanh takes 2.2, and a fresh 16 MB logit array costs more in page faults than in
arithmetic.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK_LOGITS = 2**19  # two buffers of 2 MiB; half as many cost more in Python, twice in cache
SMALLEST = torch.finfo(torch.float32).tiny


def plain_losses(hidden: Tensor, embed: Tensor, targets: Tensor, softcap: Tensor) -> Tensor:
    """The definition: hidden (n, dim), embed (vocab, dim), targets (n) → losses (n), nats."""
    logits = F.linear(hidden, embed.to(hidden.dtype)).float()
    return F.cross_entropy(softcap * torch.tanh(logits / softcap), targets, reduction="none")


def capped_losses(hidden: Tensor, embed: Tensor, targets: Tensor, softcap: Tensor) -> Tensor:
    """The loss in nats of each token, without gradient: shapes as `plain_losses`."""
    if hidden.device.type != "cpu":
        return plain_losses(hidden, embed, targets, softcap)
    losses, _, _ = _chunked(hidden, embed, targets, float(softcap), gradient=False)
    return losses


def capped_cross_entropy(
    hidden: Tensor, embed: Tensor, targets: Tensor, softcap: Tensor
) -> Tensor:
    """The mean loss in nats: shapes as `plain_losses`."""
    if hidden.device.type != "cpu":
        return plain_losses(hidden, embed, targets, softcap).mean()
    loss: Tensor = _CappedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, embed, targets, softcap, None
    )
    return loss


def weighted_cross_entropy(
    hidden: Tensor, embed: Tensor, targets: Tensor, softcap: Tensor, shares: Tensor
) -> Tensor:
    """Σ shares · losses in nats: shapes as `plain_losses`, shares (n) without gradient."""
    if hidden.device.type != "cpu":
        return (shares * plain_losses(hidden, embed, targets, softcap)).sum()
    loss: Tensor = _CappedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, embed, targets, softcap, shares
    )
    return loss


@torch.no_grad()
def confidence(hidden: Tensor, embed: Tensor, softcap: Tensor) -> tuple[Tensor, Tensor]:
    """The largest logit less the second, and whose it is: hidden (n, dim) → (n), (n)."""
    rows = max(1, CHUNK_LOGITS // embed.size(0)) if hidden.device.type == "cpu" else len(hidden)
    weight, margins, best = embed.to(hidden.dtype), [], []
    for part in torch.split(hidden, rows):
        logits = F.linear(part, weight).float()
        top, index = torch.topk(softcap * torch.tanh(logits / softcap), 2)
        margins.append(top[:, 0] - top[:, 1])
        best.append(index[:, 0])
    return torch.cat(margins), torch.cat(best)


class _CappedCrossEntropy(torch.autograd.Function):
    """Mean or weighted sum of losses, its gradient computed while the logits are in cache."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        embed: Tensor,
        targets: Tensor,
        softcap: Tensor,
        shares: Tensor | None,
    ) -> Tensor:
        losses, grad_hidden, grad_embed = _chunked(
            hidden, embed, targets, float(softcap), gradient=True, shares=shares
        )
        ctx.save_for_backward(grad_hidden, grad_embed)
        ctx.factor = 4 / losses.numel() if shares is None else 4  # see `_chunked`
        return losses.mean() if shares is None else (losses * shares).sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        grad_hidden, grad_embed = ctx.saved_tensors
        factor = grads[0] * ctx.factor
        return grad_hidden * factor.to(grad_hidden.dtype), grad_embed * factor, None, None, None


def _chunked(
    hidden: Tensor,
    embed: Tensor,
    targets: Tensor,
    softcap: float,
    *,
    gradient: bool,
    shares: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses (n) and, if asked, a quarter of the gradients of their sum by hidden and by embed.

    With shares (n) the gradients are those of Σ shares · losses.
    """
    n, vocab, dtype = hidden.size(0), embed.size(0), hidden.dtype
    rows = max(1, CHUNK_LOGITS // vocab)
    chance = torch.empty(n, 1)  # of each target
    grad_hidden = torch.empty_like(hidden) if gradient else chance
    grad_embed = torch.zeros_like(embed) if gradient else chance
    weight, scaled = embed.to(dtype), (embed * (2 / softcap)).to(dtype).t()
    buffers, less_one = torch.empty(2, min(rows, n), vocab), torch.full((n, 1), -1.0)
    for start in range(0, n, rows):
        here = slice(start, start + rows)
        states, target = hidden[here], targets[here].unsqueeze(1)
        gate, logit = buffers[:, : target.size(0)]
        if dtype == torch.float32:
            torch.mm(states, scaled, out=logit)
        else:
            logit.copy_(torch.mm(states, scaled))
        torch.sigmoid(logit, out=gate)
        torch.mul(gate, 2 * softcap, out=logit)
        prob = torch._softmax(logit, -1, False, out=logit)
        torch.gather(prob, 1, target, out=chance[here])
        if not gradient:
            continue
        prob.scatter_add_(1, target, less_one[here])
        # d loss / d z = (p - onehot) · 4·σ(1 - σ); the 4 is put on the small arrays.
        torch.ops.aten.sigmoid_backward.grad_input(prob, gate, grad_input=logit)
        if shares is not None:
            logit.mul_(shares[here].unsqueeze(1))
        slope = logit.to(dtype)
        torch.mm(slope, weight, out=grad_hidden[here])
        if dtype == torch.float32:
            grad_embed.addmm_(slope.t(), states)
        else:
            grad_embed.add_(torch.mm(slope.t(), states))
    # A probability below 1e-38 counts as 1e-38: no loss above 87.3 nats, and never infinity.
    losses = chance.clamp_(min=SMALLEST).log_().neg_().squeeze(1)
    return losses, grad_hidden, grad_embed
