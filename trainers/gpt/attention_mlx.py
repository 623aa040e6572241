"""Causal self-attention in MLX, with what submissions have added to it.

The twin of `trainers.gpt.attention_torch`, where each addition is described.
"""

from __future__ import annotations

import math

import mlx.core as mx

from trainers.gpt.config import GPTConfig
from trainers.gpt.kernels_mlx import Arrays, rms_norm, rotate
from trainers.gpt.mlp_shapes import PATH_EPS


def attention(
    config: GPTConfig,
    weights: Arrays,
    layer: int,
    x: mx.array,
    cos: mx.array,
    sin: mx.array,
    first_values: mx.array | None = None,
    token_values: mx.array | None = None,
) -> tuple[mx.array, mx.array | None]:
    """x (batch, time, dim) → (batch, time, dim), and the values that later layers ask for.

    Args:
        config: the architecture.
        weights: by name.
        layer: which layer's weights.
        x: the block's normalised input.
        cos, sin: shape (time, head_dim / 2).
        first_values: the values of the first layer, for a value residual.
        token_values: the value embedding of the tokens, (batch, time, kv_dim).

    Returns:
        x's shape; and the first layer's values, (batch, time, kv_dim), under a value residual.
    """
    prefix = f"blocks.{layer}.attn."
    batch, time, dim = x.shape

    def heads(y: mx.array) -> mx.array:
        return y.reshape(batch, time, -1, config.head_dim).transpose(0, 2, 1, 3)

    q = rotate(rms_norm(heads(x @ weights[prefix + "q"].T)), cos, sin)
    k = rotate(rms_norm(heads(x @ weights[prefix + "k"].T)), cos, sin)
    q = q * weights[prefix + "q_gain"][:, None, None]
    values = x @ weights[prefix + "v"].T
    if (scale := weights.get(prefix + "value_scale")) is not None:
        assert token_values is not None
        values = values + scale * token_values
    if (mix := weights.get(prefix + "value_mix")) is not None:
        assert first_values is not None
        values = values + mx.sigmoid(mix) * (first_values - values)
    v = heads(values)
    y = mx.fast.scaled_dot_product_attention(
        q, k, v, scale=1.0 / math.sqrt(config.head_dim), mask="causal"
    )
    if layer >= config.num_layers - config.xsa_layers:
        y = without_own_value(y, v)
    if (gate := weights.get(prefix + "gate")) is not None:
        opening = 2 * mx.sigmoid(x[..., : gate.shape[1]] @ gate.T)
        y = y * opening.transpose(0, 2, 1)[..., None]
    out = y.transpose(0, 2, 1, 3).reshape(batch, time, dim) @ weights[prefix + "proj"].T
    return out, values if config.value_residual and layer == 0 else None


def without_own_value(y: mx.array, v: mx.array) -> mx.array:
    """Exclusive self-attention: y (batch, heads, time, dim), v (batch, kv_heads, time, dim)."""
    own = v * mx.rsqrt(mx.square(v).sum(axis=-1, keepdims=True) + PATH_EPS)
    own = mx.repeat(own, y.shape[1] // v.shape[1], axis=1)
    return y - (y * own).sum(axis=-1, keepdims=True) * own
