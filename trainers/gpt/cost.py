"""What a configuration costs, from its shapes alone."""

from __future__ import annotations

import math

from trainers.gpt.config import GPTConfig
from trainers.gpt.init import lookup_tables, parameter_shapes
from trainers.gpt.mlp_shapes import decorrelated_widths


def training_flops_per_step(config: GPTConfig) -> float:
    """FLOPs of one optimizer step, forward and backward.

    6 per parameter and token (2 forward, 4 backward; the tied embedding counts once, as the
    output layer, tables that are only looked up not at all) plus 6 · layers · model_dim ·
    train_seq_len per token for the causal half of attention's two products (Chowdhery et al.
    2022, appendix B). The cross-correlation of two paths of width w costs what a w × w matrix
    does. A layer that runs again under depth recurrence counts again, for the share of the
    training in which it does. What a training loss
    asks beside the plain pass is counted as the code does it. The optimizer and what acts on
    channels one by one are left out.
    """
    shapes = parameter_shapes(config)
    tables = lookup_tables(config)
    sizes = {name: math.prod(shape) for name, shape in shapes.items() if name not in tables}
    correlations = sum(width**2 for width in decorrelated_widths(config))
    attention = config.model_dim * config.train_seq_len
    per_token: float = sum(size for name, size in sizes.items() if not name.startswith("blocks."))
    for layer in range(config.num_layers):
        block = sum(size for name, size in sizes.items() if name.startswith(f"blocks.{layer}."))
        per_token += (block + correlations + attention) * mean_passes(config, layer)
    return float((6 * per_token + _objective(config, per_token)) * config.train_batch_tokens)


def _objective(config: GPTConfig, per_token: float) -> float:
    """FLOPs for each token of what a training loss asks beside the plain pass."""
    logits, extra = config.vocab_size * config.model_dim, 0.0
    if config.corrupted_context:  # the pass that predicts what the inputs are replaced with
        extra += 2 * per_token
    if config.selective_loss or config.mtp or config.embedding_mask:  # margins
        extra += 2 * logits
    if config.mtp:
        extra += 6 * logits * (1 - config.mtp_start)
    return extra


def mean_passes(config: GPTConfig, layer: int) -> float:
    """How often a layer runs in one pass over a token, on average over the training."""
    again = config.layer_order(recurrent=True).count(layer) - 1
    return 1 + again * (1 - config.recurrence_start)
