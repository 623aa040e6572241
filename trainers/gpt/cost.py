"""What a configuration costs, from its shapes alone."""

from __future__ import annotations

from trainers.gpt.config import GPTConfig
from trainers.gpt.init import parameter_count


def training_flops_per_step(config: GPTConfig) -> float:
    """FLOPs of one optimizer step, forward and backward.

    6 per parameter and token (2 forward, 4 backward; the tied embedding counts once, as the
    output layer) plus 6 · layers · model_dim · train_seq_len per token for the causal half of
    attention's two products (Chowdhery et al. 2022, appendix B). The optimizer is left out.
    """
    attention = 6 * config.num_layers * config.model_dim * config.train_seq_len
    return float((6 * parameter_count(config) + attention) * config.train_batch_tokens)
