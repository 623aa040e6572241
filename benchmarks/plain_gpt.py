"""The GPT of `trainers.gpt`, as one writes it down first: what the engines are compared with.

Standard torch modules in float32, autograd's own gradients, torch's Adam, and Muon one matrix
after the other. The baseline's mechanisms only, the same initial weights, batches and schedule.
As a program it is a run in the competition's style, with torch.compile:

    python benchmarks/plain_gpt.py --config run.json --data FOLDER [--compile]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers.data import open_dataset
from trainers.engine import StepSettings, Weights
from trainers.evaluation import scored_windows
from trainers.gpt.config import GPTConfig, gpt_config
from trainers.gpt.init import RMS_EPS, initial_weights, rotary_table
from trainers.gpt.run import batches_of, schedule_of, validation_of


def norm(x: Tensor) -> Tensor:
    """RMS norm of vectors (..., dim) without weights."""
    return F.rms_norm(x, (x.size(-1),), eps=RMS_EPS)


def bare(rows: int, columns: int) -> nn.Linear:
    """A linear layer (rows → columns) without bias."""
    return nn.Linear(rows, columns, bias=False)


class Attention(nn.Module):
    """Causal attention with rotary positions, normalised queries and keys, and a gain."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        dim, self.head_dim = config.model_dim, config.head_dim
        self.q, self.proj = bare(dim, dim), bare(dim, dim)
        self.k, self.v = (bare(dim, config.num_kv_heads * self.head_dim) for _ in range(2))
        self.q_gain = nn.Parameter(torch.empty(config.num_heads))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x (batch, time, dim) → the same."""
        batch, time, dim = x.shape
        q, k, v = (
            part(x).view(batch, time, -1, self.head_dim).transpose(1, 2)
            for part in (self.q, self.k, self.v)
        )
        q = rotated(norm(q), cos, sin) * self.q_gain[:, None, None]
        k = rotated(norm(k), cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        out: Tensor = self.proj(y.transpose(1, 2).reshape(batch, time, dim))
        return out


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (batch, heads, time, dim) turned by its position."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos + b * sin, b * cos - a * sin), dim=-1)


class MLP(nn.Module):
    """relu² between two matrices."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.fc = bare(config.model_dim, config.mlp_hidden)
        self.proj = bare(config.mlp_hidden, config.model_dim)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, dim) → the same."""
        out: Tensor = self.proj(F.relu(self.fc(x)).square())
        return out


class Block(nn.Module):
    """A residual block that mixes the first layer's input back in."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.resid_mix = nn.Parameter(torch.empty(2, config.model_dim))
        self.attn_scale = nn.Parameter(torch.empty(config.model_dim))
        self.mlp_scale = nn.Parameter(torch.empty(config.model_dim))
        self.attn, self.mlp = Attention(config), MLP(config)

    def forward(self, x: Tensor, x0: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x, x0 (batch, time, dim) → x."""
        x = self.resid_mix[0] * x + self.resid_mix[1] * x0
        x = x + self.attn_scale * self.attn(norm(x), cos, sin)
        return x + self.mlp_scale * self.mlp(norm(x))


class PlainGPT(nn.Module):
    """The baseline; its parameters bear the engine's names (`load`)."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.cap, self.skips = config.logit_softcap, config.num_skips
        self.embed = nn.Parameter(torch.empty(config.vocab_size, config.model_dim))
        if self.skips:
            self.skip_weights = nn.Parameter(torch.empty(self.skips, config.model_dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        cos, sin = rotary_table(config)
        self.register_buffer("cos", torch.from_numpy(cos), persistent=False)
        self.register_buffer("sin", torch.from_numpy(sin), persistent=False)

    @torch.no_grad()
    def load(self, weights: Weights) -> None:
        """Take weights by the engine's names."""
        for name, parameter in self.named_parameters():
            parameter.copy_(torch.from_numpy(weights[name.removesuffix(".weight")]))

    def forward(self, tokens: Tensor, reduction: str = "mean") -> Tensor:
        """Loss in nats of tokens (batch, time + 1)."""
        x = x0 = norm(F.embedding(tokens[:, :-1], self.embed))
        encoder, kept = len(self.blocks) // 2, list[Tensor]()
        for layer, block in enumerate(self.blocks):
            if 0 <= layer - encoder < self.skips:
                x = x + self.skip_weights[layer - encoder] * kept.pop()
            x = block(x, x0, self.cos, self.sin)
            if layer < encoder:
                kept.append(x)
        logits = self.cap * torch.tanh(F.linear(norm(x), self.embed) / self.cap)
        return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction=reduction)


def orthogonal(update: Tensor, steps: int) -> Tensor:
    """Muon's quintic Newton–Schulz iteration of one matrix (Jordan et al. 2024)."""
    x = update.mT if update.size(0) > update.size(1) else update
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if update.size(0) > update.size(1) else x


class PlainLoop:
    """Model and optimizers; `step` is one optimizer step.

    Args:
        compiled: hand the model to torch.compile.
    """

    def __init__(self, config: GPTConfig, seed: int, *, compiled: bool = False):
        self._config, model = config, PlainGPT(config)
        model.load(initial_weights(config, seed=seed))
        named = dict(model.named_parameters())
        inner = [v for n, v in named.items() if n.endswith(".weight")]
        scalars = [v for n, v in named.items() if not n.endswith(".weight") and n != "embed"]
        options = {"betas": (config.beta1, config.beta2), "eps": config.adam_eps}
        self._adam = [
            (config.embedding_lr, torch.optim.Adam([named["embed"]], lr=0.0, **options)),
            (config.scalar_lr, torch.optim.Adam(scalars, lr=0.0, **options)),
        ]
        self._muon = [(parameter, torch.zeros_like(parameter)) for parameter in inner]
        self._model, self._all = model, list(named.values())
        self._loss = torch.compile(model) if compiled else model

    def step(self, tokens: NDArray[np.int64], settings: StepSettings) -> float:
        """One step on tokens (sequences, time + 1); the mean loss in nats."""
        for parameter in self._all:
            parameter.grad = None
        loss = self._loss(torch.from_numpy(tokens))
        loss.backward()
        for rate, adam in self._adam:
            adam.param_groups[0]["lr"] = rate * settings.lr_scale
            adam.step()
        with torch.no_grad():
            for parameter, momentum in self._muon:
                grad = parameter.grad
                momentum.mul_(settings.muon_momentum).add_(grad)
                update = orthogonal(
                    grad + settings.muon_momentum * momentum, self._config.muon_ns_steps
                )
                stretch = max(1, parameter.size(0) / parameter.size(1)) ** 0.5
                rate = self._config.matrix_lr * settings.lr_scale
                parameter.add_(update, alpha=-rate * stretch)
        return float(loss.detach())

    @torch.no_grad()
    def losses(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Loss in nats of every target: tokens (sequences, time + 1) → (sequences, time)."""
        parts = [self._model(part, "none") for part in torch.from_numpy(tokens).split(32)]
        return torch.cat(parts).view(len(tokens), -1).numpy()


def main() -> None:
    """Train and validate one run, saying each step as the competition's scripts do."""
    parser = argparse.ArgumentParser(description="Train the plain model.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = json.loads(options.config.read_text())
    config, seed = gpt_config(run["config"]), run["seed"]
    data = open_dataset(options.data)
    loop = PlainLoop(config, seed, compiled=options.compile)
    batches, schedule = batches_of(config, data, seed), schedule_of(config, seed)
    for step in range(config.iterations):
        loss = loop.step(batches.batch(step), schedule.settings(step))
        print(f"step:{step + 1} train_loss:{loss:.6f}", flush=True)
    nats = [loop.losses(rows).mean() for rows, _ in scored_windows(validation_of(config, data))]
    print(f"val_loss:{float(np.mean(nats)):.6f}", flush=True)


if __name__ == "__main__":
    main()
