"""The parameter-golf GPT in MLX: the twin of `trainers.gpt.model_torch`, float32 throughout.

Pure functions of a dict of arrays, named as in `trainers.gpt.init`. A compiled function bakes in
every Python number it meets, silently, so only the architecture is read from the configuration
here; hyperparameters arrive as arrays.
"""

from __future__ import annotations

import math

import mlx.core as mx

from trainers.gpt.config import GPTConfig
from trainers.gpt.init import RMS_EPS

Arrays = dict[str, mx.array]


def rms_norm(x: mx.array) -> mx.array:
    """Divide each vector (..., dim) by its root mean square; no weights."""
    normal: mx.array = mx.fast.rms_norm(x, None, RMS_EPS)
    return normal


def activate(x: mx.array, activation: str) -> mx.array:
    """The MLP's nonlinearity."""
    match activation:
        case "relu_sq":
            return mx.square(mx.maximum(x, 0.0))
        case "leaky_relu_sq":
            return mx.square(mx.maximum(x, 0.5 * x))
        case "gelu":
            return 0.5 * x * (1.0 + mx.erf(x * math.sqrt(0.5)))
        case "silu":
            return x * mx.sigmoid(x)
        case "sin":
            return mx.sin(x)
        case "sin_sq":
            return mx.square(mx.sin(x))
    raise ValueError(f"no activation named {activation!r}")


def rotate(x: mx.array, cos: mx.array, sin: mx.array) -> mx.array:
    """Rotary embedding, half-split: x (batch, heads, time, dim), tables (time, dim / 2)."""
    a, b = mx.split(x, 2, axis=-1)
    return mx.concatenate([a * cos + b * sin, b * cos - a * sin], axis=-1)


@mx.custom_function
def lookup(table: mx.array, tokens: mx.array) -> mx.array:
    """Rows of the table (vocab, dim) by tokens (batch, time): (batch, time, dim).

    MLX's own gradient scatters with atomic additions on a GPU, in an order that differs from run
    to run; as a product with the one-hot tokens it adds in one order, so a rerun is a rerun.
    """
    return table[tokens]


@lookup.vjp
def _lookup_gradient(
    primals: tuple[mx.array, mx.array], cotangent: mx.array, output: mx.array
) -> tuple[mx.array, mx.array]:
    table, tokens = primals
    onehot = (tokens.reshape(-1, 1) == mx.arange(table.shape[0])).astype(cotangent.dtype)
    return onehot.T @ cotangent.reshape(-1, table.shape[1]), mx.zeros_like(tokens)


def attention(
    config: GPTConfig, weights: Arrays, prefix: str, x: mx.array, cos: mx.array, sin: mx.array
) -> mx.array:
    """Causal self-attention of one block: x (batch, time, dim) → (batch, time, dim)."""
    batch, time, dim = x.shape

    def heads(name: str, count: int) -> mx.array:
        y = x @ weights[prefix + name].T
        return y.reshape(batch, time, count, config.head_dim).transpose(0, 2, 1, 3)

    q = rotate(rms_norm(heads("attn.q", config.num_heads)), cos, sin)
    k = rotate(rms_norm(heads("attn.k", config.num_kv_heads)), cos, sin)
    q = q * weights[prefix + "attn.q_gain"][:, None, None]
    y = mx.fast.scaled_dot_product_attention(
        q,
        k,
        heads("attn.v", config.num_kv_heads),
        scale=1.0 / math.sqrt(config.head_dim),
        mask="causal",
    )
    return y.transpose(0, 2, 1, 3).reshape(batch, time, dim) @ weights[prefix + "attn.proj"].T


def block(
    config: GPTConfig,
    weights: Arrays,
    layer: int,
    x: mx.array,
    x0: mx.array,
    cos: mx.array,
    sin: mx.array,
) -> mx.array:
    """Mix the embedding back in, then attention, then the MLP, each scaled per channel."""
    prefix = f"blocks.{layer}."
    mix = weights[prefix + "resid_mix"]
    x = mix[0] * x + mix[1] * x0
    attended = attention(config, weights, prefix, rms_norm(x), cos, sin)
    x = x + weights[prefix + "attn_scale"] * attended
    inner = activate(rms_norm(x) @ weights[prefix + "mlp.fc"].T, config.activation)
    return x + weights[prefix + "mlp_scale"] * (inner @ weights[prefix + "mlp.proj"].T)


def hidden_states(
    config: GPTConfig, weights: Arrays, tokens: mx.array, cos: mx.array, sin: mx.array
) -> mx.array:
    """Final normalised states of tokens (batch, time): (batch, time, dim)."""
    cos, sin = cos[: tokens.shape[1]], sin[: tokens.shape[1]]
    embedded = lookup(weights["embed"], tokens)
    assert isinstance(embedded, mx.array)
    x = x0 = rms_norm(embedded)
    skips: list[mx.array] = []
    for layer in range(config.num_layers):
        used = layer - config.encoder_layers
        if 0 <= used < config.num_skips:
            x = x + weights["skip_weights"][used] * skips.pop()
        x = block(config, weights, layer, x, x0, cos, sin)
        if used < 0:
            skips.append(x)
    return rms_norm(x)


def token_losses(config: GPTConfig, weights: Arrays, hyper: Arrays, tokens: mx.array) -> mx.array:
    """Loss in nats of every target: tokens (batch, time + 1) → (batch, time).

    Args:
        config: the architecture.
        weights: by name.
        hyper: `softcap` (), `cos` and `sin` (seq_len, head_dim / 2).
        tokens: whole numbers below the vocabulary's size.
    """
    hidden = hidden_states(config, weights, tokens[:, :-1], hyper["cos"], hyper["sin"])
    logits = hyper["softcap"] * mx.tanh(hidden @ weights["embed"].T / hyper["softcap"])
    target = mx.take_along_axis(logits, tokens[:, 1:, None], axis=-1).squeeze(-1)
    return mx.logsumexp(logits, axis=-1) - target
