"""What submissions add to the token embedding, in MLX: the twin of `embedding_torch`."""

from __future__ import annotations

import mlx.core as mx

from trainers.gpt.init import BIGRAM_FACTORS, DOCUMENT_START
from trainers.gpt.kernels_mlx import Arrays, lookup, rms_norm


def embedded_tokens(weights: Arrays, tokens: mx.array, keep: mx.array | None = None) -> mx.array:
    """What the first layer reads: tokens (batch, time) → (batch, time, dim).

    Args:
        keep: factor on each token's embedding, (batch, time); None leaves them as they are.
    """
    embedded = lookup(weights["embed"], tokens)
    assert isinstance(embedded, mx.array)
    if "bigram.table" in weights:
        embedded = embedded + bigram_embedding(weights, tokens)
    x = rms_norm(embedded)
    if keep is not None:
        x = x * keep[..., None]
    return smeared(weights, x, tokens) if "smear.gate" in weights else x


def bigram_embedding(weights: Arrays, tokens: mx.array) -> mx.array:
    """A small table indexed by a hash of the previous and the current token (PR 162, PR 414)."""
    table = weights["bigram.table"]
    found = lookup(table, bigram_buckets(tokens, table.shape[0]))
    assert isinstance(found, mx.array)
    return weights["bigram.scale"] * (found @ weights["bigram.up"].T)


def bigram_buckets(tokens: mx.array, buckets: int) -> mx.array:
    """Bucket of each token and the one before it; the first position has the last for itself."""
    current, previous = BIGRAM_FACTORS
    mixed = (current * tokens[:, 1:]) ^ (previous * tokens[:, :-1])
    first = mx.full((tokens.shape[0], 1), buckets - 1, dtype=tokens.dtype)
    return mx.concatenate([first, mixed % (buckets - 1)], axis=1)


def smeared(weights: Arrays, x: mx.array, tokens: mx.array) -> mx.array:
    """Add a gated share of the token before: x_t + s · σ(w · x_t[:12]) · x_{t-1}."""
    gate = weights["smear.gate"]
    opening = mx.sigmoid(x[:, 1:, : gate.shape[0]] @ gate)
    opening = opening * weights["smear.scale"] * (tokens[:, 1:] != DOCUMENT_START)
    return mx.concatenate([x[:, :1], x[:, 1:] + opening[..., None] * x[:, :-1]], axis=1)


def value_embedding(weights: Arrays, tokens: mx.array) -> mx.array | None:
    """A second, narrow token embedding, projected to the size of the values (PR 374)."""
    if "value_embed.table" not in weights:
        return None
    found = lookup(weights["value_embed.table"], tokens)
    assert isinstance(found, mx.array)
    return found @ weights["value_embed.up"].T
