"""The parameter-golf GPT in torch: pre-norm blocks, GQA, RoPE, U-Net skips, tied embeddings.

Parameters are float32; matrix products run in the model's compute type, normalisation statistics
and the loss in float32.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.gpt.attention_torch import Attention
from trainers.gpt.config import GPTConfig
from trainers.gpt.embedding_torch import BigramHash, SmearGate, ValueEmbedding
from trainers.gpt.init import rotary_table
from trainers.gpt.kernels_torch import COMPILE_OPTIONS, Kernels, rms_norm
from trainers.gpt.loss_torch import capped_cross_entropy, capped_losses, weighted_cross_entropy
from trainers.gpt.mlp_torch import MLP


class Block(nn.Module):
    """Mix the embedding back in, then attention, then the MLP, each scaled per channel."""

    norm_scale: Tensor

    def __init__(self, config: GPTConfig, kernels: Kernels, layer: int):
        super().__init__()
        self.parallel = (
            config.parallel_residuals and layer >= config.num_layers - config.parallel_layers
        )
        self.scaled = config.ln_scale
        self.resid_mix = nn.Parameter(torch.empty(2, config.model_dim))
        self.attn_scale = nn.Parameter(torch.empty(config.model_dim))
        self.mlp_scale = nn.Parameter(torch.empty(config.model_dim))
        self.kernels = kernels
        self.attn = Attention(config, kernels, layer)
        self.mlp = MLP(config, kernels)
        # A tensor, so that the layers differ in no number that a compiler would write down.
        scale = torch.tensor((layer + 1) ** -0.5)
        self.register_buffer("norm_scale", scale, persistent=False)

    def forward(
        self,
        x: Tensor,
        x0: Tensor,
        angles: tuple[Tensor, ...],
        first_values: Tensor | None = None,
        token_values: Tensor | None = None,
        train: bool = False,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """x, x0 (batch, time, dim) → x; what `Attention` returns second; the MLP's loss."""
        x, normal = self._normed((x, x0), self.resid_mix)
        attended, values = self.attn(normal, self.attn_scale, angles, first_values, token_values)
        if self.parallel:  # both read the same input (Wang & Komatsuzaki 2021; PR 1204)
            x = x + attended
        else:
            x, normal = self._normed((x, attended))
        inner, penalty = self.mlp(normal, self.mlp_scale, train)
        return x + inner, values, penalty

    def _normed(
        self, terms: tuple[Tensor, ...], weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The norm under `ln_scale` is divided by √(layer + 1) (PR 315)."""
        total, normal = self.kernels.normed(terms, weights)
        return total, normal * self.norm_scale.to(normal.dtype) if self.scaled else normal


class GPT(nn.Module):
    """The whole model. Its parameters are named as in `trainers.gpt.init`.

    Args:
        config: the architecture; hyperparameters arrive through `configure`.
        dtype: type of the matrix products.
        stream: type of the residual stream.
        kernels: the operations of a block; None for their definitions.
    """

    head: nn.Parameter | None
    softcap: Tensor
    barlow_weight: Tensor
    cos: Tensor
    sin: Tensor

    def __init__(
        self,
        config: GPTConfig,
        dtype: torch.dtype,
        stream: torch.dtype,
        kernels: Kernels | None = None,
    ):
        super().__init__()
        self.kernels = kernels = kernels or Kernels(dtype)
        self.dtype, self.stream = dtype, stream
        self.num_skips = config.num_skips
        self.rotated_heads = config.num_heads + config.num_kv_heads
        self.orders = {
            recurrent: config.layer_order(recurrent=recurrent) for recurrent in (False, True)
        }
        self.embed = nn.Parameter(torch.empty(config.vocab_size, config.model_dim))
        head = None if config.tied_embeddings else nn.Parameter(torch.empty_like(self.embed))
        self.register_parameter("head", head)
        if self.num_skips:
            self.skip_weights = nn.Parameter(torch.empty(self.num_skips, config.model_dim))
        self._mean_loss, self._losses = capped_cross_entropy, capped_losses
        self.blocks = nn.ModuleList(
            Block(config, kernels, layer) for layer in range(config.num_layers)
        )
        self.bigram = BigramHash(config, dtype, "bigram") if config.bigram_hash else None
        self.smear = SmearGate(config, dtype, "smear") if config.smear_gate else None
        self.value_embed = (
            ValueEmbedding(config, dtype, "value_embed") if config.value_embedding else None
        )
        self.register_buffer("barlow_weight", torch.empty(()), persistent=False)
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
        self.barlow_weight.fill_(config.barlow_weight)
        self.cos.copy_(torch.from_numpy(cos))
        self.sin.copy_(torch.from_numpy(sin))

    def hidden(
        self,
        tokens: Tensor,
        recurrent: bool = True,
        train: bool = False,
        keep: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Final normalised states of tokens (batch, time), and the auxiliary loss.

        Args:
            tokens: whole numbers below the vocabulary's size.
            recurrent: depth recurrence, if this architecture has it, is switched on. Blocks are
                compiled one by one, so switching costs no new graph.
            train: compute the auxiliary loss, the mean over the layers run; None where no MLP
                has one.
            keep: factor on each token's embedding, (batch, time); None leaves them as they are.

        Returns:
            Shape (batch, time, dim), and () or None.
        """
        time = tokens.size(1)
        angles = self.kernels.angles(self.cos[:time], self.sin[:time], self.rotated_heads)
        x = x0 = self._embedded(tokens, keep)
        token_values = None if self.value_embed is None else self.value_embed(tokens)
        first_values: Tensor | None = None
        order, skips, penalties = self.orders[recurrent], list[Tensor](), list[Tensor]()
        for place, layer in enumerate(order):
            used = place - len(order) // 2
            if 0 <= used < self.num_skips and skips:
                x = x + self.skip_weights[used].to(x.dtype) * skips.pop()
            x, values, penalty = self.blocks[layer](
                x, x0, angles, first_values, token_values, train
            )
            if first_values is None:
                first_values = values
            if penalty is not None:
                penalties.append(penalty)
            if used < 0:
                skips.append(x)
        auxiliary = torch.stack(penalties).mean() if penalties else None
        return self.kernels.normed((x,))[1].to(self.dtype), auxiliary

    def _embedded(self, tokens: Tensor, keep: Tensor | None = None) -> Tensor:
        """What the first layer reads: tokens (batch, time) → (batch, time, dim)."""
        if self.bigram is None:
            x = self.kernels.looked_up(tokens, self.embed).to(self.stream)
        else:
            x = rms_norm(F.embedding(tokens, self.embed) + self.bigram(tokens)).to(self.stream)
        if keep is not None:
            x = x * keep.to(x.dtype)[..., None]
        return x if self.smear is None else self.smear(x, tokens)

    def output_matrix(self) -> Tensor:
        """The matrix (vocab, dim) of the logits."""
        return self.embed if self.head is None else self.head

    def forward(self, tokens: Tensor, recurrent: bool = True) -> Tensor:
        """Mean loss in nats over the targets of tokens (batch, time + 1), for training.

        To the cross-entropy the MLPs' auxiliary loss is added, if they have one.
        """
        hidden, auxiliary = self.hidden(tokens[:, :-1], recurrent, train=True)
        loss = self._mean_loss(
            hidden.flatten(0, 1), self.output_matrix(), tokens[:, 1:].flatten(), self.softcap
        )
        return loss if auxiliary is None else loss + self.barlow_weight * auxiliary

    def weighted_loss(self, tokens: Tensor, shares: Tensor) -> Tensor:
        """Σ shares · losses: tokens (batch, time + 1), shares (batch, time)."""
        hidden, _ = self.hidden(tokens[:, :-1])
        targets = tokens[:, 1:]
        return weighted_cross_entropy(
            hidden.flatten(0, 1),
            self.output_matrix(),
            targets.flatten(),
            self.softcap,
            shares.flatten(),
        )

    @torch.no_grad()
    def losses(self, tokens: Tensor, recurrent: bool = True) -> Tensor:
        """Loss in nats of every target: tokens (batch, time + 1) → (batch, time), float32."""
        hidden, _ = self.hidden(tokens[:, :-1], recurrent)
        targets = tokens[:, 1:]
        losses = self._losses(
            hidden.flatten(0, 1), self.output_matrix(), targets.flatten(), self.softcap
        )
        return losses.view(targets.shape)
