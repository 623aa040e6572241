"""Memories that fade: what earlier positions wrote, weighted by how long ago, in linear time.

Two kinds. `fading_sum` keeps one number per channel. `fading_attention` keeps key–value pairs, as
linear attention with decay does (Sun et al. 2023, "Retentive Network"; Yang et al. 2024, "Gated
Linear Attention"):

    out_t = Σ_{s ≤ t} exp(log_decay_{s+1} + … + log_decay_t) · (q_t · k_s) · v_s

Written out, that is a time × time matrix. Here a sequence is cut into chunks: within a chunk the
matrix is formed, and what came before reaches a chunk as one state of (key, value) channels. Where
the state would be larger than the rows of the matrix that it saves (keys as wide as the vocabulary
and short sequences), the rows are formed after all, block by block and only up to the diagonal.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 64


def fading_sum(x: Tensor, log_decay: Tensor) -> Tensor:
    """Return y_t = x_t + exp(log_decay) · y_{t−1}.

    Args:
        x: (batch, time, groups, channels).
        log_decay: (groups,), negative; one rate for all channels of a group.

    Returns:
        y, shaped as x.
    """
    batch, time, groups, channels = x.shape
    length = min(CHUNK, time)
    chunks = -(-time // length)
    padded = F.pad(x, (0, 0, 0, 0, 0, chunks * length - time))
    parts = padded.view(batch, chunks, length, groups, channels).permute(3, 0, 1, 2, 4)
    rates = log_decay.to(x.dtype)
    age = torch.arange(length, device=x.device, dtype=x.dtype)
    ages = (age[:, None] - age).clamp(min=0)
    within = (rates[:, None, None] * ages).exp().tril()  # (groups, length, length)
    found = within[:, None, None] @ parts  # (groups, batch, chunks, length, channels)
    if chunks > 1:
        carried = (rates[:, None] * (age + 1)).exp()[:, None, :, None]
        state, outs = found[:, :, 0, -1:], [found[:, :, 0]]
        for index in range(1, chunks):
            outs.append(found[:, :, index] + carried * state)
            state = outs[-1][:, :, -1:]
        found = torch.stack(outs, dim=2)
    return found.permute(1, 2, 3, 0, 4).reshape(batch, chunks * length, groups, channels)[:, :time]


def fading_attention(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> Tensor:
    """Linear attention whose memory fades (formula in the module's text).

    Args:
        q, k: (batch, heads, time, keys).
        v: (batch, heads, time, values).
        log_decay: (heads,) where a head always fades alike, or (batch, heads, time) where what is
            read decides; at most 0.

    Returns:
        (batch, heads, time, values).
    """
    batch, heads, time, keys = q.shape
    if log_decay.dim() == 1:
        log_decay = log_decay[None, :, None].expand(batch, heads, time)
    # A state costs keys × values per position, a row of the matrix time / 2 × (keys + values).
    by_state = 2 * keys * v.shape[-1] < time * (keys + v.shape[-1]) / 2
    # Differences of a long sum: in float32 they would lose what is left of the digits.
    faded = log_decay.double().cumsum(-1)
    return _by_chunks(q, k, v, faded) if by_state else _by_rows(q, k, v, faded)


def _by_rows(q: Tensor, k: Tensor, v: Tensor, faded: Tensor) -> Tensor:
    """Rows of the time × time matrix in blocks, each only as far as its diagonal."""
    outs = []
    for start in range(0, q.shape[2], CHUNK):
        end = min(start + CHUNK, q.shape[2])
        weights = _weights(faded[..., start:end], faded[..., :end], start).to(q.dtype)
        scores = (q[:, :, start:end] @ k[:, :, :end].mT) * weights
        outs.append(scores @ v[:, :, :end])
    return torch.cat(outs, dim=2)


def _by_chunks(q: Tensor, k: Tensor, v: Tensor, faded: Tensor) -> Tensor:
    batch, heads, time, _ = q.shape
    length = min(CHUNK, time)
    chunks = -(-time // length)
    missing = chunks * length - time

    def cut(x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, missing)).view(batch, heads, chunks, length, x.shape[-1])

    queries, written, values = cut(q), cut(k), cut(v)
    total = F.pad(faded, (0, missing), mode="replicate").view(batch, heads, chunks, length)
    before = F.pad(total[:, :, :-1, -1], (1, 0))[..., None]  # faded up to the chunk's start
    inside = total - before
    weights = _weights(inside, inside, 0).to(q.dtype)
    found = ((queries @ written.mT) * weights) @ values
    if chunks == 1:
        return found[:, :, 0, :time]
    left = (inside[..., -1:] - inside).exp().to(q.dtype)[..., None]  # of a key, at the chunk's end
    added = (written * left).mT @ values  # (batch, heads, chunks, keys, values)
    kept = inside[..., -1].exp().to(q.dtype)[..., None, None]
    state, states = torch.zeros_like(added[:, :, 0]), []
    for index in range(chunks):
        states.append(state)
        state = kept[:, :, index] * state + added[:, :, index]
    reached = queries * inside.exp().to(q.dtype)[..., None]
    found = found + reached @ torch.stack(states, dim=2)
    return found.reshape(batch, heads, chunks * length, v.shape[-1])[:, :, :time]


def _weights(reader: Tensor, writer: Tensor, start: int) -> Tensor:
    """How much of what was written is left where it is read, 0 above the diagonal.

    Args:
        reader: accumulated log decay at the rows, (..., rows).
        writer: the same at the columns, (..., columns).
        start: the column that is the first row's own.
    """
    age = (reader[..., :, None] - writer[..., None, :]).float()
    rows = torch.arange(reader.shape[-1], device=reader.device) + start
    ahead = torch.arange(writer.shape[-1], device=reader.device) > rows[:, None]
    return age.masked_fill(ahead, float("-inf")).exp()
