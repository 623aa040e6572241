"""Mixing across positions: what a position takes from itself and those before it.

The cosine, band and column sizes make the parameter counts that were published for 1,024 words
and 8 steps (`trainers.vocab_space.versions`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainers.vocab_space.attention import causal_attention
from trainers.vocab_space.fused import filtered, scaled
from trainers.vocab_space.memory import fading_attention, fading_resemblance, fading_sum
from trainers.vocab_space.parts import (
    Parameters,
    Part,
    Pass,
    Start,
    blank,
    dense,
    earlier,
    fade,
    grouped,
    memories,
    waves,
    words,
)
from trainers.vocab_space.spectra import bound_memory

READ = 0.03  # of what a memory returns is added at the start
HEADS, KV_HEADS, ROPE_BASE = 8, 4, 10000.0
KERNEL = 8
COSINES, KEYS = 48, 64
GOLF_HEADS = 4
BANDS, GATE_RANK = 16, 16
NARROW = 64
COLUMN = 16
SCALES = 4


def _no_starts(count: int, rank: int) -> dict[str, Start]:
    return {}


def _attention_starts(count: int, rank: int) -> dict[str, Start]:
    narrow = count // HEADS * KV_HEADS
    return {
        "q": dense(count, count),
        "k": dense(count, narrow),
        "v": dense(count, narrow),
        "out": dense(count, count, READ),
    }


def _attention(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """Grouped-query attention with rotary positions (Su et al. 2021)."""
    batch, time, count = x.shape
    width = count // HEADS

    def heads(values: Tensor) -> Tensor:
        return values.view(batch, time, -1, width).transpose(1, 2)

    q, k, v = (heads(x @ p[name]) for name in "qkv")
    half = width // 2
    angle = torch.arange(time, device=x.device)[:, None] * ROPE_BASE ** (
        -torch.arange(half, device=x.device) / half
    )
    cos, sin = angle.cos().to(q.dtype), angle.sin().to(q.dtype)

    def turn(values: Tensor) -> Tensor:
        one, two = values.chunk(2, dim=-1)
        return torch.cat((one * cos - two * sin, one * sin + two * cos), dim=-1)

    mixed = causal_attention(turn(q), turn(k), v)
    return mixed.transpose(1, 2).reshape(batch, time, count) @ p["out"]


def _convolution_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "kernel": Start((count, KERNEL), std=1 / math.sqrt(KERNEL), fan=KERNEL),
        "bias": words(count, 0.0),
        "read": words(count, READ),
    }


def _convolution(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """One short filter per word over the last positions."""
    return scaled(filtered(x, p["kernel"], p["bias"]), p["read"])


def _fourier_memory_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "q": dense(COSINES, KEYS),
        "k": dense(COSINES, KEYS),
        "read": words(count, READ),
        "decay": memories(1, 32.0, 32.0),
    }


def _fourier_memory(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """Linear attention with decay; a few cosines of the state are all that keys know."""
    low = waves(x, COSINES)
    q, k = low @ (p["q"] / KEYS), low @ p["k"]
    return scaled(_recall(q, k, x, p["decay"]), p["read"])


def _dense_memory_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "q": dense(count, KEYS),
        "k": dense(count, KEYS),
        "read": words(count, READ),
        "decay": memories(1, 32.0, 32.0),
    }


def _dense_memory(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """Linear attention with decay whose keys see every word."""
    q, k = (x @ torch.cat((p["q"] / KEYS, p["k"]), dim=1)).chunk(2, dim=-1)
    return scaled(_recall(q, k, x, p["decay"]), p["read"])


def _recall(q: Tensor, k: Tensor, v: Tensor, decay: Tensor) -> Tensor:
    """One memory: q, k (batch, time, keys), v (batch, time, values)."""
    return fading_attention(q, k, v, fade(decay)[0])


def _golf_memory_starts(count: int, rank: int) -> dict[str, Start]:
    return {"key": Start((GOLF_HEADS, count), std=1.0)}


def _golf_scales(count: int, rank: int) -> dict[str, Start]:
    return {
        "value": words(count),
        "read": words(count, READ),
        "decay": memories(GOLF_HEADS),
    }


def _golf_memory(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """Associations: each head weighs the words its own way, for queries and keys alike.

    What is stored under a position's predecessor is the position itself, a quarter of the words
    for each head.
    """
    count = x.shape[-1]
    past, decay = earlier(x), fade(p["decay"])
    scales = p["key"].square() / count
    values = scaled(x, p["value"]).chunk(GOLF_HEADS, dim=-1)
    heads = (
        fading_resemblance(x, past, scales[head], values[head], decay[head])
        for head in range(GOLF_HEADS)
    )
    return scaled(torch.cat(list(heads), dim=-1), p["read"])


def _bound_memory_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "query": words(count),
        "key": words(count),
        "value": words(count),
        "read": words(count, READ),
        "decay": memories(1, 32.0, 32.0),
    }


def _bound_memory(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """Associations bound by circular convolution (Plate 1995), which is a product after an FFT."""
    read = p["read"] / math.sqrt(x.shape[-1])
    return bound_memory(x, p["query"], p["key"], p["value"], read, fade(p["decay"])[0])


def _similarity_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "q": words(count),
        "k": words(count),
        "read": words(count, READ),
        "decay": memories(1, 32.0, 32.0),
    }


def _similarity(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """A position hears those that resemble it, word by word, and those more that are near."""
    likeness = p["q"] * p["k"] / x.shape[-1]
    return scaled(fading_resemblance(x, x, likeness, x, fade(p["decay"])[0]), p["read"])


def _waves_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "cosine": dense(BANDS, BANDS),
        "sine": dense(BANDS, BANDS),
        "frequency": Start((BANDS,), value=0.05, last=1.5),
        "decay": memories(BANDS),
        "phase": words(count, 0.0),
        "read": words(count, READ),
        "gate_in": dense(count, GATE_RANK),
        "gate_out": blank(GATE_RANK, count),
        "damping": memories(BANDS),
    }


def _waves(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """Bands of words that oscillate, each at its frequency, and drive one another, gated.

    A band's memory is a fading sum that turns: its real part is the sum of cosines of the time
    since, taken apart into what is turned back at writing and forth at reading. One that does
    not turn, with a rate of its own, damps it.
    """
    bands = grouped(x.float(), BANDS)
    turn = torch.arange(x.shape[1], device=x.device)[:, None] * p["frequency"]
    cos, sin = turn.cos()[..., None], turn.sin()[..., None]
    decay = fade(p["decay"])
    even, odd = fading_sum(bands * cos, decay), fading_sum(bands * sin, decay)
    steady = fading_sum(bands, fade(p["damping"]))
    real, imaginary = even * cos + odd * sin, even * sin - odd * cos
    coupled = torch.einsum("btgw,gh->bthw", real - steady / 2, p["cosine"])
    coupled = coupled + torch.einsum("btgw,gh->bthw", imaginary, p["sine"])
    swing = torch.tanh(coupled.reshape(x.shape) + p["phase"])
    gate = torch.sigmoid((x @ p["gate_in"]) @ p["gate_out"])
    return p["read"] * swing * gate


def _narrow_memory_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "down": dense(count, NARROW),
        "q": dense(NARROW, NARROW),
        "k": dense(NARROW, NARROW),
        "v": dense(NARROW, NARROW),
        "up": dense(NARROW, count, READ),
        "decay": memories(1, 32.0, 32.0),
    }


def _narrow_memory(p: Parameters, low: Tensor, run: Pass) -> Tensor:
    """Linear attention with decay inside a subspace of the words, read by `down`, left by `up`."""
    all_three = torch.cat((p["q"] / NARROW, p["k"], p["v"]), dim=1)
    q, k, v = (low @ all_three).chunk(3, dim=-1)
    return _recall(q, k, v, p["decay"])


def _policy_memory_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "down": dense(count, NARROW),
        "up": dense(NARROW, count, READ),
        "decay": memories(NARROW),
    }


def _policy_memory(p: Parameters, low: Tensor, run: Pass) -> Tensor:
    """A compressed state that fades, each of its channels at its rate."""
    return fading_sum(low[..., None].float(), fade(p["decay"]))[..., 0]


def _slow_and_fast_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "slow": memories(count // COLUMN, 64.0, 1024.0),
        "slow_read": words(count, READ / 8),
        **_narrow_memory_starts(count, rank),
    }


def _slow_and_fast(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """A long average of every word beside a memory in a subspace."""
    slow = fade(p["slow"])
    columns = grouped(x.float(), x.shape[-1] // COLUMN) * (1 - slow.exp())[:, None]
    fast = _narrow_memory(p, x @ p["down"], run) @ p["up"]
    return p["slow_read"] * fading_sum(columns, slow).flatten(2) + fast


def _timescales_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "decay": memories(SCALES, 2.0, 512.0),
        "read": Start((SCALES, count), value=READ),
    }


def _timescales(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """Averages of every word over several spans of time, mixed word by word."""
    decay = fade(p["decay"])
    several = x.float()[:, :, None] * (1 - decay.exp())[:, None]
    return (fading_sum(several, decay) * p["read"]).sum(2)


def _modulated_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        **_convolution_starts(count, rank),
        "gate_in": dense(count, GATE_RANK),
        "gate_out": blank(GATE_RANK, count),
        "down": dense(count, NARROW),
        "forget": Start((NARROW,)),
        "span": memories(1, 16.0, 16.0),
        "up": dense(NARROW, count, READ),
    }


def _modulated(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """A convolution that the input modulates, and a memory that the input makes forget."""
    gate = 2 * torch.sigmoid((x @ p["gate_in"]) @ p["gate_out"])
    low = x @ p["down"]
    decay = fade(low @ p["forget"] + p["span"])
    recalled = fading_attention(low / NARROW, low, low, decay)
    return torch.addcmul(recalled @ p["up"], _convolution(p, x, run), gate)


def _columns_starts(count: int, rank: int) -> dict[str, Start]:
    return {"decay": memories(count // COLUMN), "read": words(count, READ)}


def _columns(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """Columns of words, each with a memory that fades at its own rate."""
    decay = fade(p["decay"])
    columns = grouped(x.float(), x.shape[-1] // COLUMN) * (1 - decay.exp())[:, None]
    return p["read"] * fading_sum(columns, decay).flatten(2)


ACROSS: dict[str, Part] = {
    "attention": Part(_no_starts, _attention, shared=_attention_starts),
    "convolution": Part(_convolution_starts, _convolution),
    "fourier_memory": Part(_fourier_memory_starts, _fourier_memory),
    "dense_memory": Part(_dense_memory_starts, _dense_memory),
    "golf_memory": Part(_golf_scales, _golf_memory, shared=_golf_memory_starts),
    "bound_memory": Part(_bound_memory_starts, _bound_memory),
    "similarity": Part(_similarity_starts, _similarity),
    "waves": Part(_waves_starts, _waves),
    "narrow_memory": Part(_narrow_memory_starts, _narrow_memory, reads="down", writes="up"),
    "policy_memory": Part(_policy_memory_starts, _policy_memory, reads="down", writes="up"),
    "slow_and_fast": Part(_slow_and_fast_starts, _slow_and_fast),
    "timescales": Part(_timescales_starts, _timescales),
    "modulated": Part(_modulated_starts, _modulated),
    "columns": Part(_columns_starts, _columns),
}
