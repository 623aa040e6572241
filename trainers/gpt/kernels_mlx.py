"""Parts that the MLX model's modules share."""

from __future__ import annotations

import mlx.core as mx

from trainers.gpt.init import RMS_EPS

Arrays = dict[str, mx.array]


def rms_norm(x: mx.array) -> mx.array:
    """Divide each vector (..., dim) by its root mean square; no weights."""
    normal: mx.array = mx.fast.rms_norm(x, None, RMS_EPS)
    return normal


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
