"""Training losses that are no plain mean over the batch: twin of `trainers.gpt.objectives_torch`.

Thresholds and weights arrive as arrays; which mechanisms there are is the architecture's.
"""

from __future__ import annotations

import mlx.core as mx

from trainers.gpt.config import GPTConfig
from trainers.gpt.kernels_mlx import Arrays
from trainers.gpt.model_mlx import capped_logits, hidden_states


def altered_loss(
    config: GPTConfig, weights: Arrays, hyper: Arrays, examples: Arrays, *, recurrent: bool
) -> tuple[mx.array, mx.array, mx.array]:
    """Sum of the losses that count, in nats; how many targets that are; where the model is sure.

    Args:
        config: the architecture.
        weights: by name.
        hyper: as for `model_mlx.training_loss`, with selective_margin, mtp_margin,
            embedding_mask_margin and mtp_weight, () each.
        examples: the fields of `trainers.gpt.objectives.Examples`, (sequences, time) each.
        recurrent: depth recurrence is on.

    Returns:
        Shape () twice, and (sequences, time) where `embedding_mask` asks for it, else ().
    """
    hidden, auxiliary = hidden_states(
        config,
        weights,
        examples["inputs"],
        hyper["cos"],
        hyper["sin"],
        recurrent=recurrent,
        train=True,
        keep=examples["keep"] if config.embedding_mask else None,
    )
    logits = capped_logits(weights, hyper, hidden)
    total, shares = mx.logsumexp(logits, axis=-1), examples["shares"]
    sure_at = mx.array(False)
    if config.selective_loss or config.mtp or config.embedding_mask:
        margin = mx.stop_gradient(margins(logits))
    if config.embedding_mask:
        sure_at = margin > hyper["embedding_mask_margin"]
    if config.selective_loss:
        shares = shares * (margin <= hyper["selective_margin"])
    loss = (shares * (total - _at(logits, examples["targets"]))).sum()
    if config.mtp:
        sure = hyper["mtp_weight"] * examples["after_shares"] * (margin > hyper["mtp_margin"])
        loss = loss + (sure * (total - _at(logits, examples["after"]))).sum()
    count = shares.sum()
    if auxiliary is not None:
        loss = loss + count * hyper["barlow_weight"] * auxiliary
    return loss, count, sure_at


def predictions(
    config: GPTConfig, weights: Arrays, hyper: Arrays, tokens: mx.array, *, recurrent: bool
) -> mx.array:
    """The likeliest next token at each place of tokens (sequences, time), same shape."""
    hidden, _ = hidden_states(
        config, weights, tokens, hyper["cos"], hyper["sin"], recurrent=recurrent
    )
    return mx.argmax(capped_logits(weights, hyper, hidden), axis=-1)


def margins(logits: mx.array) -> mx.array:
    """The largest logit less the second: (..., vocab) → (...)."""
    best = mx.argmax(logits, axis=-1, keepdims=True)
    others = mx.where(mx.arange(logits.shape[-1]) == best, -mx.inf, logits)
    return logits.max(axis=-1) - others.max(axis=-1)


def _at(logits: mx.array, targets: mx.array) -> mx.array:
    return mx.take_along_axis(logits, targets[..., None], axis=-1).squeeze(-1)
