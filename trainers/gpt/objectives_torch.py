"""Training losses that are no plain mean over the batch, on torch.

`altered_loss` gives a sum and the number of targets it counts, so that parts of a batch, and
processes, add up to one mean whatever each of them left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.gpt.config import GPTConfig
from trainers.gpt.loss_torch import confidence, weighted_cross_entropy
from trainers.gpt.model_torch import GPT


@dataclass(frozen=True)
class TensorExamples:
    """`trainers.gpt.objectives.Examples` as tensors, (sequences, time) each."""

    inputs: Tensor
    targets: Tensor
    after: Tensor
    shares: Tensor
    after_shares: Tensor
    keep: Tensor


def altered_loss(
    model: GPT, config: GPTConfig, examples: TensorExamples, mtp_weight: float, recurrent: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Sum of the losses that count, in nats; how many targets that are; where the model is sure.

    - `selective_loss`: targets at which the model's margin, the difference of its two largest
      logits, is above `selective_margin` are left out (after Rho-1, Lin et al. 2024, which asks
      a reference model; here the model's own confidence decides).
    - `mtp`: where the margin is above `mtp_margin` the same state also predicts the token after
      the next, which counts `mtp_weight`.
    - `embedding_mask`: embeddings are zeroed where at the last step the margin was above
      `embedding_mask_margin`. The places are those of the last batch, the text is another: a
      dropout whose rate is how often the model is sure, and so rises as it learns.

    Returns:
        Shape () twice, and (sequences, time) where `embedding_mask` asks for it.
    """
    keep = examples.keep if config.embedding_mask else None
    hidden, auxiliary = model.hidden(examples.inputs, recurrent, train=True, keep=keep)
    states, output, cap = hidden.flatten(0, 1), model.output_matrix(), model.softcap
    shares = examples.shares.flatten()
    sure_at = None
    if config.selective_loss or config.mtp or config.embedding_mask:
        margin, _ = confidence(states.detach(), output.detach(), cap)
    if config.embedding_mask:
        sure_at = (margin > config.embedding_mask_margin).view(examples.inputs.shape)
    if config.selective_loss:
        shares = shares * (margin <= config.selective_margin)
    loss = weighted_cross_entropy(states, output, examples.targets.flatten(), cap, shares)
    if config.mtp and mtp_weight:
        sure = mtp_weight * examples.after_shares.flatten() * (margin > config.mtp_margin)
        loss = loss + weighted_cross_entropy(states, output, examples.after.flatten(), cap, sure)
    count = shares.sum()
    if auxiliary is not None:
        loss = loss + count * model.barlow_weight * auxiliary
    return loss, count, sure_at


@torch.no_grad()
def predictions(model: GPT, tokens: Tensor, recurrent: bool) -> Tensor:
    """The likeliest next token at each place of tokens (sequences, time), same shape."""
    hidden, _ = model.hidden(tokens, recurrent)
    _, best = confidence(hidden.flatten(0, 1), model.output_matrix(), model.softcap)
    return best.view(tokens.shape)
