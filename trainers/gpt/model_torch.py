"""The parameter-golf GPT in torch: pre-norm blocks, GQA, RoPE, U-Net skips, tied embeddings.

Parameters are float32; matrix products run in the model's compute type, normalisation statistics
and the loss in float32.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.gpt.config import GPTConfig
from trainers.gpt.init import rotary_table
from trainers.gpt.kernels_torch import (
    COMPILE_OPTIONS,
    causal_attention,
    pair_order,
    rms_norm,
    rotated_pairs,
)
from trainers.gpt.loss_torch import capped_cross_entropy, capped_losses


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
    """Rotary embedding, half-split: x (batch, time, heads, head_dim); cos, sin (time, half)."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = cos[:, None].to(x.dtype), sin[:, None].to(x.dtype)
    return torch.cat((a * cos + b * sin, b * cos - a * sin), dim=-1)


class Attention(nn.Module):
    """Causal self-attention, several query heads to one key/value head (Ainslie et al. 2023)."""

    order: Tensor

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
        order = pair_order(self.heads + self.kv_heads, config.head_dim)
        self.register_buffer("order", order, persistent=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x (batch, time, dim) → (batch, time, dim)."""
        batch, time, dim = x.shape
        gain = torch.cat((self.q_gain, self.q_gain.new_ones(self.kv_heads)))
        weight, fused = torch.cat((self.q, self.k)), x.device.type == "cpu"
        if fused:
            weight = weight[self.order]
        qkv = linear(x, torch.cat((weight, self.v)), self.dtype)
        qk, v = torch.split(qkv, [weight.size(0), self.v.size(0)], dim=2)
        heads = (batch, time, -1, dim // self.heads)
        if fused:
            qk = rotated_pairs(qk, gain, cos, sin).to(self.dtype).view(heads)
        else:
            qk = rotate(rms_norm(qk.view(heads)) * gain.to(qk.dtype)[:, None], cos, sin)
        q, k = torch.split(qk, [self.heads, self.kv_heads], dim=2)
        y = causal_attention(q, k, v.view(heads))
        return linear(y.reshape(batch, time, dim), self.proj, self.dtype)


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
        stream: type of the residual stream.
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
        self._mean_loss, self._losses = capped_cross_entropy, capped_losses
        self.blocks = nn.ModuleList(Block(config, dtype) for _ in range(config.num_layers))
        self.register_buffer("softcap", torch.empty(()), persistent=False)
        angles = (config.train_seq_len, config.head_dim // 2)
        self.register_buffer("cos", torch.empty(angles), persistent=False)
        self.register_buffer("sin", torch.empty(angles), persistent=False)

    def compile_regions(self, **options: Any) -> None:
        """Compile block and loss instead of the whole: one graph serves every layer and depth.

        Args:
            options: for torch.compile.
        """
        options = {**COMPILE_OPTIONS, **options}
        for block in self.blocks:
            block.compile(**options)
        self._mean_loss = torch.compile(capped_cross_entropy, **options)
        self._losses = torch.compile(capped_losses, **options)

    def configure(self, config: GPTConfig) -> None:
        """Take the hyperparameters of the next run, in place: nothing is recompiled."""
        cos, sin = rotary_table(config)
        self.softcap.fill_(config.logit_softcap)
        self.cos.copy_(torch.from_numpy(cos))
        self.sin.copy_(torch.from_numpy(sin))

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
        return self._mean_loss(
            hidden.flatten(0, 1), self.embed, tokens[:, 1:].flatten(), self.softcap
        )

    @torch.no_grad()
    def losses(self, tokens: Tensor) -> Tensor:
        """Loss in nats of every target: tokens (batch, time + 1) → (batch, time), float32."""
        hidden, targets = self.hidden(tokens[:, :-1]), tokens[:, 1:]
        losses = self._losses(hidden.flatten(0, 1), self.embed, targets.flatten(), self.softcap)
        return losses.view(targets.shape)
