"""The seventeen vocabulary-space models as one writes them down first: what ours is beside.

Standard torch functions and autograd's own gradients; a time × time matrix for every memory that
fades; nothing in chunks, nothing fused. The same parameters, mathematics and autocast as
`trainers.vocab_space.model`, and nothing of its code for what it computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers.engine import Tokens
from trainers.vocab_space import across, within
from trainers.vocab_space.config import VocabConfig
from trainers.vocab_space.parts import Parameters, Pass, choice, cosines
from trainers.vocab_space.versions import VERSIONS

RMS_EPS = 1e-6


def recall(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> Tensor:
    """Linear attention that fades.

    Args:
        q, k: (batch, heads, time, keys).
        v: (batch, heads, time, values).
        log_decay: (heads,) or, where what is read decides, (batch, heads, time).
    """
    place = torch.arange(q.shape[2])
    if log_decay.dim() == 1:
        faded = log_decay[:, None, None] * (place[:, None] - place)
    else:
        total = log_decay.cumsum(-1)
        faded = total[..., :, None] - total[..., None, :]
    weights = faded.masked_fill(place > place[:, None], -math.inf).exp()
    return ((q @ k.mT) * weights) @ v


def one_recall(q: Tensor, k: Tensor, v: Tensor, decay: Tensor) -> Tensor:
    """One head: q, k (batch, time, keys), v (batch, time, values)."""
    return recall(q[:, None] / q.shape[-1], k[:, None], v[:, None], fade(decay))[:, 0]


def fading_sum(x: Tensor, log_decay: Tensor) -> Tensor:
    """y_t = x_t + exp(log_decay) · y_{t−1} of x (batch, time, groups, channels)."""
    place = torch.arange(x.shape[1])
    faded = log_decay[:, None, None] * (place[:, None] - place)
    weights = faded.masked_fill(place > place[:, None], -math.inf).exp()
    return torch.einsum("gts,bsgc->btgc", weights, x)


def fade(raw: Tensor) -> Tensor:
    """Log decay per position from an unbounded parameter."""
    return F.logsigmoid(raw.float())


def grouped(values: Tensor, groups: int) -> Tensor:
    """(…, words) → (…, groups, words / groups)."""
    return values.reshape(*values.shape[:-1], groups, -1)


def earlier(state: Tensor) -> Tensor:
    """The state one position before."""
    return F.pad(state, (0, 0, 1, 0))[:, :-1]


def waves(state: Tensor, frequencies: int) -> Tensor:
    """Cosines of a state."""
    return state @ cosines(state.shape[-1], frequencies).mT


def from_waves(coefficients: Tensor, count: int) -> Tensor:
    """The state that has these cosines."""
    return coefficients @ cosines(count, coefficients.shape[-1])


def _attention(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    batch, time, count = x.shape
    width = count // across.HEADS

    def heads(values: Tensor) -> Tensor:
        return values.view(batch, time, -1, width).transpose(1, 2)

    q, k, v = (heads(x @ p[name]) for name in "qkv")
    half = width // 2
    angle = torch.arange(time)[:, None] * across.ROPE_BASE ** (-torch.arange(half) / half)
    cos, sin = angle.cos().to(q.dtype), angle.sin().to(q.dtype)

    def turn(values: Tensor) -> Tensor:
        one, two = values.chunk(2, dim=-1)
        return torch.cat((one * cos - two * sin, one * sin + two * cos), dim=-1)

    mixed = F.scaled_dot_product_attention(turn(q), turn(k), v, is_causal=True, enable_gqa=True)
    return mixed.transpose(1, 2).reshape(batch, time, count) @ p["out"]


def _convolution(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    padded = F.pad(x.transpose(1, 2), (p["kernel"].shape[1] - 1, 0))
    found = F.conv1d(padded, p["kernel"][:, None], p["bias"], groups=x.shape[-1])
    return p["read"] * found.transpose(1, 2)


def _fourier_memory(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    low = waves(x, across.COSINES)
    return p["read"] * one_recall(low @ p["q"], low @ p["k"], x, p["decay"])


def _dense_memory(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    return p["read"] * one_recall(x @ p["q"], x @ p["k"], x, p["decay"])


def _golf_memory(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    batch, time, count = x.shape
    asked = x[:, None] * p["key"][:, None]
    values = (p["value"] * x).view(batch, time, across.GOLF_HEADS, -1).transpose(1, 2)
    kept = earlier(asked.flatten(0, 1)).view_as(asked)
    found = recall(asked / count, kept, values, fade(p["decay"]))
    return p["read"] * found.transpose(1, 2).reshape(batch, time, count)


def _bound_memory(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    count = x.shape[-1]
    state = x.float()
    bound = torch.fft.rfft(p["key"] * earlier(state), norm="ortho")
    bound = bound * torch.fft.rfft(p["value"] * state, norm="ortho")
    kept = fading_sum(torch.view_as_real(bound).flatten(2)[:, :, None], fade(p["decay"]))
    memory = torch.view_as_complex(grouped(kept, count // 2 + 1))[:, :, 0]
    asked = torch.fft.rfft(p["query"] * state, norm="ortho").conj()
    found = torch.fft.irfft(asked * memory, n=count, norm="ortho")
    return p["read"] * found / math.sqrt(count)


def _similarity(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    return p["read"] * one_recall(x * p["q"], x * p["k"], x, p["decay"])


def _waves(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    bands = grouped(x.float(), across.BANDS)
    turn = torch.arange(x.shape[1])[:, None] * p["frequency"]
    cos, sin = turn.cos()[..., None], turn.sin()[..., None]
    decay = fade(p["decay"])
    even, odd = fading_sum(torch.cat((bands * cos, bands * sin), -1), decay).chunk(2, -1)
    steady = fading_sum(bands, fade(p["damping"]))
    real, imaginary = even * cos + odd * sin, even * sin - odd * cos
    coupled = torch.einsum("btgw,gh->bthw", real - steady / 2, p["cosine"])
    coupled = coupled + torch.einsum("btgw,gh->bthw", imaginary, p["sine"])
    swing = torch.tanh(coupled.reshape(x.shape) + p["phase"])
    gate = torch.sigmoid((x @ p["gate_in"]) @ p["gate_out"])
    return p["read"] * swing * gate


def _narrow_memory(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    low = x @ p["down"]
    return one_recall(low @ p["q"], low @ p["k"], low @ p["v"], p["decay"]) @ p["up"]


def _policy_memory(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    return fading_sum((x @ p["down"])[..., None].float(), fade(p["decay"]))[..., 0] @ p["up"]


def _slow_and_fast(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    slow = fade(p["slow"])
    columns = grouped(x.float(), x.shape[-1] // across.COLUMN) * (1 - slow.exp())[:, None]
    return p["slow_read"] * fading_sum(columns, slow).flatten(2) + _narrow_memory(p, x, run)


def _timescales(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    decay = fade(p["decay"])
    several = x.float()[:, :, None] * (1 - decay.exp())[:, None]
    return (fading_sum(several, decay) * p["read"]).sum(2)


def _modulated(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    gate = 2 * torch.sigmoid((x @ p["gate_in"]) @ p["gate_out"])
    low = x @ p["down"]
    decay = fade(low @ p["forget"] + p["span"])
    recalled = recall(low[:, None] / across.NARROW, low[:, None], low[:, None], decay[:, None])
    return _convolution(p, x, run) * gate + recalled[:, 0] @ p["up"]


def _columns(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    decay = fade(p["decay"])
    columns = grouped(x.float(), x.shape[-1] // across.COLUMN) * (1 - decay.exp())[:, None]
    return p["read"] * fading_sum(columns, decay).flatten(2)


def _fourier(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    hidden = F.gelu(waves(x, within.COSINES) @ p["into"] + p["bias"])
    return from_waves(hidden @ p["out"], x.shape[-1]) + p["diagonal"] * x


def _factored(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    return (x @ p["into"]) @ p["out"] + p["diagonal"] * x + p["bias"]


def _interaction(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    active = F.relu(x)
    return (active @ p["u"]) @ p["v"] + p["diagonal"] * active


def _spectrum(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    active = F.gelu(p["gain"] * x.float() + p["bias"])
    spectrum = torch.fft.rfft(active, norm="ortho") * torch.complex(p["real"], p["imaginary"])
    return torch.fft.irfft(spectrum, n=x.shape[-1], norm="ortho")


def _bands(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    bands = grouped(torch.tanh(p["gain"] * x), within.BANDS)
    moved = torch.einsum("btgi,gij->btgj", bands, p["operator"].to(bands.dtype))
    return moved.flatten(2) + p["diagonal"] * x


def _operations(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack((a + b, a - b, a * b, torch.maximum(a, b), torch.tanh(a), F.relu(a)), -1)


def _program(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    registers = waves(x, within.REGISTERS)
    first = registers @ choice(p["first"], run).mT.to(registers.dtype)
    second = registers @ choice(p["second"], run).mT.to(registers.dtype)
    results = (_operations(first, second) * choice(p["operation"], run)).sum(-1)
    return from_waves(results @ p["target"] + p["bias"], x.shape[-1]) + p["diagonal"] * x


def _bottleneck(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    return F.gelu(x @ p["into"]) @ p["out"]


def _policy(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    first, second = (x @ p["read"]).chunk(2, dim=-1)
    chosen = torch.softmax(first @ p["policy"], dim=-1)[..., None, :]
    results = (_operations(first, second) * chosen).sum(-1)
    return (results * torch.sigmoid(first @ p["gate"])) @ p["write"]


def _oscillators(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    pushed = p["frequency"] * (x + (x @ p["u"]) @ p["v"]) + p["phase"]
    gate = torch.sigmoid((x @ p["gate_in"]) @ p["gate_out"])
    return p["amplitude"] * torch.sin(pushed) * gate


def _teams(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    chosen = choice(x @ p["route"], run, hard=True)
    hidden = F.gelu(torch.einsum("btw,ewr->bter", x, p["into"].to(x.dtype)))
    written = torch.einsum("bter,erw->btw", hidden * chosen[..., None], p["out"].to(hidden.dtype))
    going = 1 - run.halted
    run.halted = run.halted + going * torch.sigmoid(x @ p["halt"] + p["halt_bias"])
    return going * (written + p["diagonal"] * x)


def _narrow(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    return F.gelu((x @ p["down"]) @ p["into"]) @ p["out"] @ p["up"]


def _predictive(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    least = x.topk(min(within.SPARSE, x.shape[-1]), dim=-1).values[..., -1:]
    settled = torch.log_softmax(x.float(), dim=-1)
    entropy = -(settled.exp() * settled).sum(-1, keepdim=True) / math.log(x.shape[-1])
    return _narrow(p, torch.where(x >= least, x, 0.0), run) * entropy


def _cosine_mix(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    count = x.shape[-1]
    active = F.gelu(p["gain"] * x)
    filtered = from_waves(waves(active, count) * p["filter"], count)
    return filtered + from_waves(waves(active, within.NARROW) @ p["mix"], count)


def _dendrites(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    inputs = grouped(x @ p["into"], within.BRANCHES)
    branches = torch.einsum("btnr,nrw->btnw", inputs, p["branch"].to(inputs.dtype))
    gates = torch.sigmoid(x[:, :, None] * p["gate"])
    excited = (branches * gates).sum(2) + p["diagonal"] * x
    columns = grouped(excited, x.shape[-1] // across.COLUMN)
    inhibited = columns - p["inhibition"][:, None] * columns.mean(-1, keepdim=True)
    return inhibited.flatten(2)


Mix = Callable[[Parameters, Tensor, Pass], Tensor]
ACROSS: dict[str, Mix] = {
    "attention": _attention,
    "convolution": _convolution,
    "fourier_memory": _fourier_memory,
    "dense_memory": _dense_memory,
    "golf_memory": _golf_memory,
    "bound_memory": _bound_memory,
    "similarity": _similarity,
    "waves": _waves,
    "narrow_memory": _narrow_memory,
    "policy_memory": _policy_memory,
    "slow_and_fast": _slow_and_fast,
    "timescales": _timescales,
    "modulated": _modulated,
    "columns": _columns,
}
WITHIN: dict[str, Mix] = {
    "fourier": _fourier,
    "factored": _factored,
    "interaction": _interaction,
    "spectrum": _spectrum,
    "bands": _bands,
    "program": _program,
    "bottleneck": _bottleneck,
    "policy": _policy,
    "oscillators": _oscillators,
    "teams": _teams,
    "narrow": _narrow,
    "predictive": _predictive,
    "cosine_mix": _cosine_mix,
    "dendrites": _dendrites,
}


class PlainModel(nn.Module):
    """One of the seventeen and a training step of it.

    Args:
        config: complete.
        weights: every parameter by name.
        dtype: of autocast; none in float32.
    """

    def __init__(
        self, config: VocabConfig, weights: Mapping[str, NDArray[np.float32]], dtype: torch.dtype
    ):
        super().__init__()
        self._config, self._dtype = config, dtype
        self.noise = torch.Generator()
        self.named = {n: nn.Parameter(torch.from_numpy(w.copy())) for n, w in weights.items()}
        self._optimizer = torch.optim.Adam(self.named.values(), lr=0.0)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, time + 1) → what is to be minimized, and the mean loss of the prediction.

        They differ where inner steps are trained too.
        """
        config, named = self._config, self.named
        version = VERSIONS[config.architecture]
        run = Pass(config.interaction_rank, config.gumbel_temperature, self.noise)
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        typed = torch.autocast("cpu", self._dtype, enabled=self._dtype != torch.float32)
        state = F.one_hot(inputs, config.vocab_size).float()
        if version.embedded:
            with typed:
                state = (named["embedding"][inputs] @ named["unfold"]).float()
        losses = []
        for step in range(config.num_steps):
            for kind, mix in (
                ("across", ACROSS[version.across]),
                ("within", WITHIN[version.within]),
            ):
                own = {
                    name.split(".")[-1]: value
                    for name, value in named.items()
                    if name.startswith((f"{kind}.", f"steps.{step}.{kind}."))
                }
                with typed:
                    added = mix(own, F.rms_norm(state, state.shape[-1:], eps=RMS_EPS), run)
                state = state + added
            if version.predictive or step == config.num_steps - 1:
                logits = config.logit_softcap * torch.tanh(state / config.logit_softcap)
                losses.append(F.cross_entropy(logits.flatten(0, 1), targets.flatten()))
        *inner, loss = losses
        aim = loss + config.aux_weight * torch.stack(inner).mean() if inner else loss
        return aim, loss.detach()

    def step(self, tokens: Tokens) -> float:
        """One step of an optimizer that stays where it is; the mean loss in nats."""
        self._optimizer.zero_grad()
        aim, loss = self(torch.from_numpy(tokens))
        aim.backward()
        torch.nn.utils.clip_grad_norm_(self.named.values(), self._config.grad_clip)
        self._optimizer.step()
        return float(loss)
