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
    training in which it does. The optimizer and what acts on channels one by one are left out.
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
    return float(6 * per_token * config.train_batch_tokens)


def mean_passes(config: GPTConfig, layer: int) -> float:
    """How often a layer runs in one pass over a token, on average over the training."""
    again = config.layer_order(recurrent=True).count(layer) - 1
    return 1 + again * (1 - config.recurrence_start)
