"""The parameter-golf GPT in MLX: the twin of `trainers.gpt.model_torch`, float32 throughout.

Pure functions of a dict of arrays, named as in `trainers.gpt.init`. A compiled function bakes in
every Python number it meets, silently, so only the architecture is read from the configuration
here; hyperparameters arrive as arrays.
"""

from __future__ import annotations

import mlx.core as mx

from trainers.gpt.attention_mlx import attention
from trainers.gpt.config import GPTConfig
from trainers.gpt.embedding_mlx import embedded_tokens, value_embedding
from trainers.gpt.kernels_mlx import Arrays, rms_norm
from trainers.gpt.mlp_kinds import PathPairs, decorrelation_loss
from trainers.gpt.mlp_mlx import MLX, mlp


def block(
    config: GPTConfig,
    weights: Arrays,
    layer: int,
    x: mx.array,
    x0: mx.array,
    cos: mx.array,
    sin: mx.array,
    first_values: mx.array | None = None,
    token_values: mx.array | None = None,
) -> tuple[mx.array, mx.array | None, PathPairs]:
    """Mix the embedding back in, then attention, then the MLP, each scaled per channel.

    Returns:
        The stream; what `attention` returns second; the MLP's paths to be decorrelated.
    """
    prefix = f"blocks.{layer}."

    def norm(y: mx.array) -> mx.array:
        return rms_norm(y) * (layer + 1) ** -0.5 if config.ln_scale else rms_norm(y)

    mix = weights[prefix + "resid_mix"]
    x = mix[0] * x + mix[1] * x0
    normal = norm(x)
    attended, values = attention(
        config, weights, layer, normal, cos, sin, first_values, token_values
    )
    x = x + weights[prefix + "attn_scale"] * attended
    if not (config.parallel_residuals and layer >= config.num_layers - config.parallel_layers):
        normal = norm(x)
    inner, pairs = mlp(config.activation, weights, prefix + "mlp.", normal)
    return x + weights[prefix + "mlp_scale"] * inner, values, pairs


def hidden_states(
    config: GPTConfig,
    weights: Arrays,
    tokens: mx.array,
    cos: mx.array,
    sin: mx.array,
    *,
    recurrent: bool = True,
    train: bool = False,
    keep: mx.array | None = None,
) -> tuple[mx.array, mx.array | None]:
    """Final normalised states of tokens (batch, time), and the auxiliary loss.

    Args:
        config: the architecture.
        weights: by name.
        tokens: whole numbers below the vocabulary's size.
        cos, sin: shape (seq_len, head_dim / 2).
        recurrent: depth recurrence, if this architecture has it, is switched on.
        train: compute the auxiliary loss, the mean over the layers run; None where no MLP has
            one.
        keep: factor on each token's embedding, (batch, time); None leaves them as they are.

    Returns:
        Shape (batch, time, dim), and () or None.
    """
    cos, sin = cos[: tokens.shape[1]], sin[: tokens.shape[1]]
    x = x0 = embedded_tokens(weights, tokens, keep)
    token_values = value_embedding(weights, tokens)
    first_values: mx.array | None = None
    order = config.layer_order(recurrent=recurrent)
    skips: list[mx.array] = []
    penalties: list[mx.array] = []
    for place, layer in enumerate(order):
        used = place - len(order) // 2
        if 0 <= used < config.num_skips and skips:
            x = x + weights["skip_weights"][used] * skips.pop()
        x, values, pairs = block(
            config, weights, layer, x, x0, cos, sin, first_values, token_values
        )
        if first_values is None:
            first_values = values
        if train and pairs:
            penalties.append(decorrelation_loss(pairs, MLX))
        if used < 0:
            skips.append(x)
    return rms_norm(x), mx.stack(penalties).mean() if penalties else None


def token_losses(
    config: GPTConfig,
    weights: Arrays,
    hyper: Arrays,
    tokens: mx.array,
    *,
    recurrent: bool = True,
) -> mx.array:
    """Loss in nats of every target: tokens (batch, time + 1) → (batch, time).

    Args:
        config: the architecture.
        weights: by name.
        hyper: `softcap` (), `cos` and `sin` (seq_len, head_dim / 2).
        tokens: whole numbers below the vocabulary's size.
        recurrent: as `hidden_states`.
    """
    hidden, _ = hidden_states(
        config, weights, tokens[:, :-1], hyper["cos"], hyper["sin"], recurrent=recurrent
    )
    return _capped_losses(weights, hyper, hidden, tokens[:, 1:])


def training_loss(
    config: GPTConfig,
    weights: Arrays,
    hyper: Arrays,
    tokens: mx.array,
    *,
    recurrent: bool = True,
) -> mx.array:
    """Mean loss over the targets, and with it the MLPs' auxiliary loss if they have one.

    Args: as `token_losses`; `hyper` holds `barlow_weight` () too.
    """
    hidden, auxiliary = hidden_states(
        config,
        weights,
        tokens[:, :-1],
        hyper["cos"],
        hyper["sin"],
        recurrent=recurrent,
        train=True,
    )
    loss = _capped_losses(weights, hyper, hidden, tokens[:, 1:]).mean()
    return loss if auxiliary is None else loss + hyper["barlow_weight"] * auxiliary


def capped_logits(weights: Arrays, hyper: Arrays, hidden: mx.array) -> mx.array:
    """The model's logits, softcapped: (..., dim) → (..., vocab)."""
    output = weights.get("head", weights["embed"])
    return hyper["softcap"] * mx.tanh(hidden @ output.T / hyper["softcap"])


def _capped_losses(
    weights: Arrays, hyper: Arrays, hidden: mx.array, targets: mx.array
) -> mx.array:
    """Cross-entropy in nats of the softcapped logits: (batch, time)."""
    logits = capped_logits(weights, hyper, hidden)
    target = mx.take_along_axis(logits, targets[..., None], axis=-1).squeeze(-1)
    return mx.logsumexp(logits, axis=-1) - target
