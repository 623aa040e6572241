"""The parameter-golf GPT in torch: pre-norm blocks, GQA, RoPE, U-Net skips, tied embeddings.

Parameters are float32; matrix products run in the model's compute type, normalisation statistics
and the loss in float32.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.gpt.config import GPTConfig
from trainers.gpt.init import RMS_EPS, rotary_table
from trainers.gpt.loss_torch import capped_cross_entropy, capped_losses


def rms_norm(x: Tensor) -> Tensor:
    """Divide each vector (..., dim) by its root mean square; no weights."""
    return F.rms_norm(x, (x.size(-1),), eps=RMS_EPS)


def linear(x: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """x (..., in) times weight (out, in), both taken as and giving `dtype`."""
    return F.linear(x.to(dtype), weight.to(dtype))


def activate(x: Tensor, activation: str) -> Tensor:
    """The MLP's nonlinearity."""
    match activation:
        case "relu_sq":
            return F.relu(x).square()
        case "leaky_relu_sq":
            return F.leaky_relu(x, 0.5).square()
        case "gelu":
            return F.gelu(x)
        case "silu":
            return F.silu(x)
        case "sin":
            return torch.sin(x)
        case "sin_sq":
            return torch.sin(x).square()
    raise ValueError(f"no activation named {activation!r}")


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding, half-split: (a, b) → (a·cos + b·sin, b·cos − a·sin).

    x (batch, time, heads, head_dim); cos and sin (time, heads, head_dim), sin with the signs.
    Whole-width tables in x's own layout: on a CPU a third faster than halves of eight channels.
    """
    return x * cos + x.roll(x.size(-1) // 2, dims=-1) * sin


class Attention(nn.Module):
    """Causal self-attention, several query heads to one key/value head (Ainslie et al. 2023)."""

    def __init__(self, config: GPTConfig, dtype: torch.dtype):
        super().__init__()
        self.dtype = dtype
        self.heads, self.kv_heads = config.num_heads, config.num_kv_heads
        dim, kv_dim = config.model_dim, config.num_kv_heads * config.head_dim
        self.q = nn.Parameter(torch.empty(dim, dim))
        self.k = nn.Parameter(torch.empty(kv_dim, dim))
        self.v = nn.Parameter(torch.empty(kv_dim, dim))
        self.proj = nn.Parameter(torch.empty(dim, dim))
        self.q_gain = nn.Parameter(torch.empty(self.heads))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x (batch, time, dim) → (batch, time, dim)."""
        batch, time, dim = x.shape
        qkv = linear(x, torch.cat((self.q, self.k, self.v)), self.dtype)
        qkv = qkv.to(x.dtype).view(batch, time, self.heads + 2 * self.kv_heads, -1)
        qk, v = torch.split(qkv, [self.heads + self.kv_heads, self.kv_heads], dim=2)
        gain = torch.cat((self.q_gain, self.q_gain.new_ones(self.kv_heads))).to(x.dtype)
        qk = rotate(rms_norm(qk) * gain[:, None], cos, sin)
        q, k = torch.split(qk, [self.heads, self.kv_heads], dim=2)
        y = F.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            is_causal=True,
            enable_gqa=self.heads != self.kv_heads,
        )
        return linear(y.transpose(1, 2).reshape(batch, time, dim), self.proj, self.dtype)


class MLP(nn.Module):
    """Two linear layers around the nonlinearity."""

    def __init__(self, config: GPTConfig, dtype: torch.dtype):
        super().__init__()
        self.dtype, self.activation = dtype, config.activation
        self.fc = nn.Parameter(torch.empty(config.mlp_hidden, config.model_dim))
        self.proj = nn.Parameter(torch.empty(config.model_dim, config.mlp_hidden))

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, dim) → (batch, time, dim)."""
        hidden = activate(linear(x, self.fc, self.dtype), self.activation)
        return linear(hidden, self.proj, self.dtype)


class Block(nn.Module):
    """Mix the embedding back in, then attention, then the MLP, each scaled per channel."""

    def __init__(self, config: GPTConfig, dtype: torch.dtype):
        super().__init__()
        self.resid_mix = nn.Parameter(torch.empty(2, config.model_dim))
        self.attn_scale = nn.Parameter(torch.empty(config.model_dim))
        self.mlp_scale = nn.Parameter(torch.empty(config.model_dim))
        self.attn = Attention(config, dtype)
        self.mlp = MLP(config, dtype)

    def forward(self, x: Tensor, x0: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x, x0 (batch, time, dim) → (batch, time, dim)."""
        mix = self.resid_mix.to(x.dtype)
        x = mix[0] * x + mix[1] * x0
        x = x + self.attn_scale.to(x.dtype) * self.attn(rms_norm(x), cos, sin)
        x = x + self.mlp_scale.to(x.dtype) * self.mlp(rms_norm(x))
        return x


class GPT(nn.Module):
    """The whole model. Its parameters are named as in `trainers.gpt.init`.

    Args:
        config: the architecture; hyperparameters arrive through `configure`.
        dtype: type of the matrix products.
        stream: type of the residual stream and of attention.
    """

    softcap: Tensor
    cos: Tensor
    sin: Tensor

    def __init__(self, config: GPTConfig, dtype: torch.dtype, stream: torch.dtype):
        super().__init__()
        self.dtype, self.stream = dtype, stream
        self.encoder_layers, self.num_skips = config.encoder_layers, config.num_skips
        self.embed = nn.Parameter(torch.empty(config.vocab_size, config.model_dim))
        if self.num_skips:
            self.skip_weights = nn.Parameter(torch.empty(self.num_skips, config.model_dim))
        self.blocks = nn.ModuleList(Block(config, dtype) for _ in range(config.num_layers))
        self.register_buffer("softcap", torch.empty(()), persistent=False)
        angles = (config.train_seq_len, config.num_heads + config.num_kv_heads, config.head_dim)
        self.register_buffer("cos", torch.empty(angles, dtype=stream), persistent=False)
        self.register_buffer("sin", torch.empty(angles, dtype=stream), persistent=False)

    def configure(self, config: GPTConfig) -> None:
        """Take the hyperparameters of the next run, in place: nothing is recompiled."""
        cos, sin = rotary_table(config)
        self.softcap.fill_(config.logit_softcap)
        for table, halves in ((self.cos, (cos, cos)), (self.sin, (sin, -sin))):
            table.copy_(torch.from_numpy(np.concatenate(halves, axis=1))[:, None])

    def hidden(self, tokens: Tensor) -> Tensor:
        """Final normalised states of tokens (batch, time): (batch, time, dim)."""
        time = tokens.size(1)
        cos, sin = self.cos[:time], self.sin[:time]
        x = x0 = rms_norm(F.embedding(tokens, self.embed)).to(self.stream)
        skips: list[Tensor] = []
        for layer, block in enumerate(self.blocks):
            if layer < self.encoder_layers:
                x = block(x, x0, cos, sin)
                skips.append(x)
                continue
            used = layer - self.encoder_layers
            if used < self.num_skips:
                x = x + self.skip_weights[used].to(x.dtype) * skips.pop()
            x = block(x, x0, cos, sin)
        return rms_norm(x).to(self.dtype)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mean loss in nats over the targets of tokens (batch, time + 1)."""
        hidden = self.hidden(tokens[:, :-1])
        return capped_cross_entropy(
            hidden.flatten(0, 1), self.embed, tokens[:, 1:].flatten(), self.softcap
        )

    @torch.no_grad()
    def losses(self, tokens: Tensor) -> Tensor:
        """Loss in nats of every target: tokens (batch, time + 1) → (batch, time), float32."""
        hidden, targets = self.hidden(tokens[:, :-1]), tokens[:, 1:]
        losses = capped_losses(hidden.flatten(0, 1), self.embed, targets.flatten(), self.softcap)
        return losses.view(targets.shape)
