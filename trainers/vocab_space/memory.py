"""Memories that fade: what earlier positions wrote, weighted by how long ago, in linear time.

Three kinds. `fading_sum` keeps one number per channel. `fading_attention` keeps key–value pairs,
as linear attention with decay does (Sun et al. 2023, "Retentive Network"; Yang et al. 2024, "Gated
Linear Attention"):

    out_t = Σ_{s ≤ t} exp(log_decay_{s+1} + … + log_decay_t) · (q_t · k_s) · v_s

Written out, that is a time × time matrix. Here a sequence is cut into chunks: within a chunk the
matrix is formed, and what came before reaches a chunk as one state of (key, value) channels.

`fading_resemblance` is the same with keys as wide as the vocabulary. There such a state is larger
than the rows of the matrix that it saves, unless sequences are long. So rows are formed, block by
block, from the diagonal back to where a memory has faded below rounding.

All three have their gradients written out: automatic ones would fill a whole sequence with zeros
for every slice that is taken, and keep every intermediate matrix.
"""

from __future__ import annotations

import math
from itertools import cycle, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainers.vocab_space.parts import product_type

SPAN = 32  # positions that a sum walks through one by one, in all chunks at once
CHUNK = 64  # positions between two states of a memory of keys and values
BLOCK = 128  # rows of the time × time matrix that are formed at once


def fading_sum(x: Tensor, log_decay: Tensor) -> Tensor:
    """Return y_t = x_t + exp(log_decay) · y_{t−1}.

    Args:
        x: (batch, time, groups, channels).
        log_decay: (groups,), negative; one rate for all channels of a group.

    Returns:
        y, shaped as x.
    """
    found: Tensor = _Sum.apply(x, log_decay)  # type: ignore[no-untyped-call]
    return found


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, log_decay: Tensor) -> Tensor:
        rates = log_decay.to(x.dtype).repeat_interleave(x.shape[3])
        found = scan(x.flatten(2), rates).reshape(x.shape)
        ctx.save_for_backward(x, found, rates)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, found, rates = ctx.saved_tensors
        into = scan(grad.flatten(2), rates, backwards=True).reshape(x.shape)
        # dy_t / dlog_decay = exp(log_decay) · y_{t−1} = y_t − x_t, and what follows from it.
        return into, (into * (found - x)).sum((0, 1, 3))


def scan(x: Tensor, rates: Tensor, *, backwards: bool = False) -> Tensor:
    """`fading_sum` without a gradient; or, backwards, of what is to come instead of what was.

    Place after place of a chunk, in all chunks at once; then what reaches a chunk from before it.

    Args:
        x: (batch, time, channels).
        rates: (channels,), the log decay of each.
        backwards: from the end of time to its start.

    Returns:
        y, shaped as x.
    """
    batch, time, channels = x.shape
    length = min(SPAN, time)
    chunks = -(-time // length)
    missing = chunks * length - time
    x = F.pad(x, (0, 0, 0, missing)) if missing else x.contiguous()
    parts = x.view(batch, chunks, length, channels)
    order = range(length)[::-1] if backwards else range(length)
    across = range(chunks)[::-1] if backwards else range(chunks)
    rate, found = rates.exp(), torch.empty_like(parts)
    found[:, :, order[0]] = parts[:, :, order[0]]
    for before, here in pairwise(order):
        torch.addcmul(parts[:, :, here], rate, found[:, :, before], out=found[:, :, here])
    if chunks > 1:
        whole, state = (rates * length).exp(), torch.zeros_like(found[:, :, 0])
        for before, here in pairwise(across):
            torch.addcmul(found[:, before, order[-1]], whole, state[:, before], out=state[:, here])
        age = torch.arange(1, length + 1, device=x.device, dtype=x.dtype)
        left = ((age.flip(0) if backwards else age)[:, None] * rates).exp()
        found.addcmul_(left, state[:, :, None])
    return found.view(batch, -1, channels)[:, :time]


def fading_attention(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> Tensor:
    """Linear attention whose memory fades (formula in the module's text).

    Args:
        q, k: (batch, time, keys).
        v: (batch, time, values).
        log_decay: () where it always fades alike, or (batch, time) where what is read decides; at
            most 0.

    Returns:
        (batch, time, values), in the type of products.
    """
    dtype = product_type(q)
    found: Tensor = _Attention.apply(  # type: ignore[no-untyped-call]
        q.to(dtype), k.to(dtype), v.to(dtype), log_decay
    )
    return found


class _Attention(torch.autograd.Function):
    """In chunks: (batch · chunks, length, channels) throughout."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> Tensor:
        batch, time, _ = q.shape
        length = min(CHUNK, time)
        ctx.batch, ctx.time, ctx.length = batch, time, length
        q, k, v = (_cut(x, length) for x in (q, k, v))
        weights, reached, left, kept = _faded(log_decay, q.shape[0] // batch, length, q.dtype)
        scores = torch.bmm(q, k.mT)
        found = torch.bmm(scores * weights, v)
        states = None
        if q.shape[0] > batch:
            states = _carry(torch.bmm((k * left).mT, v), kept, batch)
            found.baddbmm_(q * reached, states)
        ctx.save_for_backward(q, k, v, log_decay, scores, states, weights, reached, left, kept)
        return _join(found, batch, time)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        q, k, v, log_decay, scores, states, weights, reached, left, kept = ctx.saved_tensors
        grad = _cut(grad, ctx.length)
        inner = torch.bmm(grad, v.mT) * weights
        to_q, to_k = torch.bmm(inner, k), torch.bmm(inner.mT, q)
        to_v = torch.bmm((scores * weights).mT, grad)
        if states is not None:
            to_q += torch.bmm(grad, states.mT) * reached
            later = _carry(torch.bmm((q * reached).mT, grad), kept, ctx.batch, backwards=True)
            to_k += torch.bmm(v, later.mT) * left
            to_v.baddbmm_(k * left, later)
        # Only differences of the accumulated log decay count: what is read at a position grows
        # with that position's, what was written there shrinks.
        exact = kept.dtype
        moved = (q.to(exact) * to_q).sum(-1) - (k.to(exact) * to_k).sum(-1)
        moved = _join(moved[..., None], ctx.batch, ctx.time)[..., 0].double()
        later_moved = moved.flip(-1).cumsum(-1).flip(-1)
        to_decay = later_moved if log_decay.dim() else later_moved.sum()
        to_q, to_k, to_v = (_join(x, ctx.batch, ctx.time) for x in (to_q, to_k, to_v))
        return to_q, to_k, to_v, to_decay.to(log_decay.dtype)


def _cut(x: Tensor, length: int) -> Tensor:
    """(batch, time, channels) → (batch · chunks, length, channels), zeros after the end."""
    missing = -x.shape[1] % length
    x = F.pad(x, (0, 0, 0, missing)) if missing else x.contiguous()
    return x.view(-1, length, x.shape[-1])


def _join(x: Tensor, batch: int, time: int) -> Tensor:
    return x.view(batch, -1, x.shape[-1])[:, :time]


def _faded(
    log_decay: Tensor, chunks: int, length: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What fading leaves, for every chunk, or one for all where it always fades alike.

    Returns:
        Of what is written in a chunk at its places, (…, length, length), 0 above the diagonal; of
        what came before, at its places, (…, length, 1); of what is written at its places, at its
        end, (…, length, 1); of what came before, at its end, (chunks or 1, batch or 1, 1, 1).
    """
    if log_decay.dim():
        # In double precision: differences of a long sum would lose what is left of the digits.
        steps = F.pad(log_decay.double(), (0, chunks * length - log_decay.shape[1]))
        inside = steps.view(-1, length).cumsum(-1)
    else:
        inside = log_decay.double() * torch.arange(1, length + 1, device=log_decay.device)[None]
    ahead = torch.ones(length, length, dtype=torch.bool, device=log_decay.device).triu(1)
    ages = (inside[:, :, None] - inside[:, None]).masked_fill(ahead, -math.inf)
    end = inside[:, -1:]
    kept = end.exp().view(-1, chunks if log_decay.dim() else 1).T[..., None, None]
    found = (ages, inside[..., None], (end - inside)[..., None])
    exact = torch.promote_types(dtype, torch.float32)
    weights, reached, left = (one.to(exact).exp().to(dtype) for one in found)
    return weights, reached, left, kept.to(exact)


def _carry(added: Tensor, kept: Tensor, batch: int, *, backwards: bool = False) -> Tensor:
    """What has been added before each chunk, faded; or, backwards, what is added after it."""
    parts = added.view(batch, -1, *added.shape[1:])
    found = torch.empty_like(parts)
    state = torch.zeros_like(parts[:, 0], dtype=torch.promote_types(added.dtype, torch.float32))
    each = list(zip(found.unbind(1), parts.unbind(1), cycle(kept.unbind()), strict=False))
    for before, more, left in reversed(each) if backwards else each:
        before.copy_(state)
        torch.addcmul(more, left, state, out=state)
    return found.view_as(added)


def fading_resemblance(
    x: Tensor, past: Tensor, scale: Tensor, v: Tensor, log_decay: Tensor
) -> Tensor:
    """`fading_attention` with q = scale · x and k = past, both as wide as the vocabulary.

    A product with a weight below the rounding unit's square is not formed: 2^−16 in bfloat16,
    where the sum that it would go into is rounded to 2^−8 of itself.

    Args:
        x: (batch, time, words), what asks.
        past: (batch, time, words), under which `v` is found; often x itself.
        scale: (words,), how much each word counts.
        v: (batch, time, values).
        log_decay: (), negative.

    Returns:
        (batch, time, values), in the type of products.
    """
    dtype = product_type(x)
    x, past, v = x.to(dtype), past.to(dtype), v.to(dtype)
    time, keys, values = x.shape[1], x.shape[2], v.shape[2]
    smallest = 2 * math.log(torch.finfo(dtype).eps / 2)
    reach = min(time, max(1, math.ceil(smallest / min(float(log_decay.detach()), -1e-9))))
    # A state costs keys × values twice per position, rows their mean length × (keys + values).
    length = reach * (1 - reach / (2 * time))
    if 2 * keys * values < length * (keys + values):
        return fading_attention(x * scale.to(dtype), past, v, log_decay)
    found: Tensor = _Resemblance.apply(  # type: ignore[no-untyped-call]
        x, past, scale, v, log_decay, reach
    )
    return found


class _Resemblance(torch.autograd.Function):
    """In blocks of rows; each from `reach` positions before its first row to its last.

    Sequence by sequence: slices of a whole batch would be copied before they are multiplied.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, past: Tensor, scale: Tensor, v: Tensor, log_decay: Tensor, reach: int
    ) -> Tensor:
        asked, v = x * scale.to(x.dtype), v.contiguous()
        ctx.blocks, ctx.reach = _blocks(x.shape[1], reach), reach
        weights, _ = _band(log_decay, reach, x.dtype)
        found = torch.empty_like(v)
        scores = []
        for one in range(len(x)):
            for low, start, end in ctx.blocks:
                scores.append(asked[one, start:end] @ past[one, low:end].mT)
                mixed = scores[-1] * _cut_band(weights, low, start, end)
                torch.mm(mixed, v[one, low:end], out=found[one, start:end])
        ctx.save_for_backward(x, past, scale, v, log_decay, *scores)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, past, scale, v, log_decay, *scores = ctx.saved_tensors
        grad, each = grad.contiguous(), iter(scores)
        weights, ages = _band(log_decay, ctx.reach, x.dtype)
        to_decay = torch.zeros_like(ages)
        row_side, past_side, to_v = (torch.empty_like(one) for one in (x, past, v))
        for one in range(len(x)):
            mixed, inner = [], []
            for low, start, end in ctx.blocks:
                score, here = next(each), _cut_band(weights, low, start, end)
                inner.append((grad[one, start:end] @ v[one, low:end].mT).mul_(here))
                mixed.append(score * here)
                torch.mm(inner[-1], past[one, low:end], out=row_side[one, start:end])
                _cut_band(to_decay, low, start, end).add_(inner[-1] * score)
            for _, start, end in ctx.blocks:
                for rows, read, out in ((inner, x, past_side), (mixed, grad, to_v)):
                    columns = _columns(rows, ctx.blocks, start, end)
                    last = start + len(columns)
                    torch.mm(columns.mT, read[one, start:last], out=out[one, start:end])
        by_scale = scale.to(x.dtype)
        to_scale = (x * row_side).sum((0, 1), dtype=ages.dtype).to(scale.dtype)
        to_log = (to_decay * ages).sum().to(log_decay.dtype)
        return row_side.mul_(by_scale), past_side.mul_(by_scale), to_scale, to_v, to_log, None


def _blocks(time: int, reach: int) -> list[tuple[int, int, int]]:
    """Blocks of rows: the first column of each, its first row, its end."""
    return [
        (max(0, start - reach + 1) // BLOCK * BLOCK, start, min(start + BLOCK, time))
        for start in range(0, time, BLOCK)
    ]


def _band(log_decay: Tensor, reach: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weights and ages of a block of rows that reaches back as far as any, aligned right."""
    wide = -(-(reach - 1) // BLOCK) * BLOCK
    row = torch.arange(BLOCK, device=log_decay.device)[:, None] + wide
    ages = row - torch.arange(BLOCK + wide, device=log_decay.device)
    faded = (log_decay.double() * ages).masked_fill(ages < 0, -math.inf)
    exact = torch.promote_types(dtype, torch.float32)
    return faded.to(exact).exp().to(dtype), ages.to(exact)


def _cut_band(band: Tensor, low: int, start: int, end: int) -> Tensor:
    """The part of `_band` that the block of rows from `start`, columns from `low`, is under."""
    skipped = band.shape[1] - BLOCK - (start - low)
    return band[: end - start, skipped : skipped + end - low]


def _columns(
    rows: list[Tensor], blocks: list[tuple[int, int, int]], start: int, end: int
) -> Tensor:
    """Columns from `start` to `end`, from the diagonal down, of the matrix made of these rows."""
    reaching = [
        block[:, start - low : end - low]
        for block, (low, first, _) in zip(rows, blocks, strict=True)
        if low < end and first >= start
    ]
    return torch.cat(reaching)
