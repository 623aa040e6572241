"""What submissions add to the token embedding, in torch: the twin of `embedding_mlx`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.gpt.config import GPTConfig
from trainers.gpt.init import BIGRAM_FACTORS, DOCUMENT_START, parameter_shapes
from trainers.gpt.kernels_torch import linear


class _Tables(nn.Module):
    """Holds the parameters that `parameter_shapes` lists under one name."""

    def __init__(self, config: GPTConfig, dtype: torch.dtype, name: str):
        super().__init__()
        self.dtype = dtype
        for full, shape in parameter_shapes(config).items():
            owner, _, rest = full.partition(".")
            if owner == name:
                self.register_parameter(rest, nn.Parameter(torch.empty(shape)))


class BigramHash(_Tables):
    """A small table indexed by a hash of the previous and the current token (PR 162, PR 414)."""

    table: nn.Parameter
    up: nn.Parameter
    scale: nn.Parameter

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (batch, time) → (batch, time, dim), to be added to the token embedding."""
        found = F.embedding(bigram_buckets(tokens, self.table.size(0)), self.table)
        return self.scale * linear(found, self.up, self.dtype).float()


def bigram_buckets(tokens: Tensor, buckets: int) -> Tensor:
    """Bucket of each token and the one before it; the first position has the last for itself."""
    current, previous = BIGRAM_FACTORS
    mixed = (current * tokens[:, 1:]) ^ (previous * tokens[:, :-1])
    return F.pad(mixed % (buckets - 1), (1, 0), value=buckets - 1)


class SmearGate(_Tables):
    """Adds a gated share of the token before: x_t + s · σ(w · x_t[:12]) · x_{t-1}.

    PR 65 and 1851. The learned s starts at 0, so the arm starts as its control. Nothing flows
    across the start of a document.
    """

    gate: nn.Parameter
    scale: nn.Parameter

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """x (batch, time, dim), tokens (batch, time) → x's shape."""
        opening = torch.sigmoid((x[:, 1:, : self.gate.size(0)] * self.gate.to(x.dtype)).sum(-1))
        opening = opening * self.scale.to(x.dtype) * (tokens[:, 1:] != DOCUMENT_START)
        return x + F.pad(opening.unsqueeze(-1) * x[:, :-1], (0, 0, 1, 0))


class ValueEmbedding(_Tables):
    """A second, narrow token embedding, projected to the size of the values (PR 374)."""

    table: nn.Parameter
    up: nn.Parameter

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (batch, time) → (batch, time, kv_dim)."""
        return linear(F.embedding(tokens, self.table), self.up, self.dtype)
