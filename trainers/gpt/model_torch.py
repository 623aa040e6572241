"""The parameter-golf GPT in torch: pre-norm blocks, GQA, RoPE, U-Net skips, tied embeddings.

Parameters are float32; matrix products run in the model's compute type, normalisation statistics
and the loss in float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.gpt.config import GPTConfig
from trainers.gpt.init import RMS_EPS, rotary_table
from trainers.gpt.loss_torch import capped_cross_entropy, capped_losses


def rms_norm(x: Tensor) -> Tensor:
    """Divide each vector (..., dim) by its root mean square; no weights."""
    return F.rms_norm(x, (x.size(-1),), eps=RMS_EPS)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x (..., in) times weight (out, in), in x's type whatever the weight's."""
    return F.linear(x, weight.to(x.dtype))


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
    """Rotary embedding, half-split: x (..., time, head_dim); cos, sin (time, head_dim / 2)."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos + b * sin, b * cos - a * sin), dim=-1)


class Attention(nn.Module):
    """Causal self-attention, several query heads to one key/value head (Ainslie et al. 2023)."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = (
            config.num_heads,
            config.num_kv_heads,
            config.head_dim,
        )
        dim, kv_dim = config.model_dim, self.kv_heads * self.head_dim
        self.q = nn.Parameter(torch.empty(dim, dim))
        self.k = nn.Parameter(torch.empty(kv_dim, dim))
        self.v = nn.Parameter(torch.empty(kv_dim, dim))
        self.proj = nn.Parameter(torch.empty(dim, dim))
        self.q_gain = nn.Parameter(torch.empty(self.heads))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x (batch, time, dim) → (batch, time, dim)."""
        batch, time, dim = x.shape
        q = linear(x, self.q).view(batch, time, self.heads, self.head_dim).transpose(1, 2)
        k = linear(x, self.k).view(batch, time, self.kv_heads, self.head_dim).transpose(1, 2)
        v = linear(x, self.v).view(batch, time, self.kv_heads, self.head_dim).transpose(1, 2)
        q, k = rotate(rms_norm(q), cos, sin), rotate(rms_norm(k), cos, sin)
        q = q * self.q_gain.to(q.dtype)[:, None, None]
        y = F.scaled_dot_product_attention(
            q, k, v, is_causal=True, enable_gqa=self.heads != self.kv_heads
        )
        return linear(y.transpose(1, 2).reshape(batch, time, dim), self.proj)


class MLP(nn.Module):
    """Two linear layers around the nonlinearity."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.activation = config.activation
        self.fc = nn.Parameter(torch.empty(config.mlp_hidden, config.model_dim))
        self.proj = nn.Parameter(torch.empty(config.model_dim, config.mlp_hidden))

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, dim) → (batch, time, dim)."""
        return linear(activate(linear(x, self.fc), self.activation), self.proj)


class Block(nn.Module):
    """Mix the embedding back in, then attention, then the MLP, each scaled per channel."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.resid_mix = nn.Parameter(torch.empty(2, config.model_dim))
        self.attn_scale = nn.Parameter(torch.empty(config.model_dim))
        self.mlp_scale = nn.Parameter(torch.empty(config.model_dim))
        self.attn = Attention(config)
        self.mlp = MLP(config)

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
        dtype: type of the residual stream and of the matrix products.
    """

    softcap: Tensor
    cos: Tensor
    sin: Tensor

    def __init__(self, config: GPTConfig, dtype: torch.dtype):
        super().__init__()
        self.dtype = dtype
        self.encoder_layers, self.num_skips = config.encoder_layers, config.num_skips
        self.embed = nn.Parameter(torch.empty(config.vocab_size, config.model_dim))
        if self.num_skips:
            self.skip_weights = nn.Parameter(torch.empty(self.num_skips, config.model_dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.register_buffer("softcap", torch.empty(()), persistent=False)
        angles = (config.train_seq_len, config.head_dim // 2)
        self.register_buffer("cos", torch.empty(angles, dtype=dtype), persistent=False)
        self.register_buffer("sin", torch.empty(angles, dtype=dtype), persistent=False)

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
        x = x0 = rms_norm(F.embedding(tokens, self.embed)).to(self.dtype)
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
        return rms_norm(x)

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
