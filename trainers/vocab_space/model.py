"""A vocabulary-space language model: one-hot → steps of (across, within) → soft-cap.

The state is normalized by its root mean square before each part, never after, so that what the
parts add up to is read as it is: how strongly each word is active.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from scripts.causal.files import InputError
from trainers.engine import Weights
from trainers.seeds import stream
from trainers.vocab_space.across import ACROSS
from trainers.vocab_space.config import VocabConfig
from trainers.vocab_space.fused import (
    Flow,
    added,
    capped_losses,
    flow,
    normalized,
    projected,
    settled,
    written,
)
from trainers.vocab_space.parts import Pass, Start, dense
from trainers.vocab_space.versions import VERSIONS
from trainers.vocab_space.within import WITHIN

EMBEDDING_RANK = 64


def parameter_starts(config: VocabConfig) -> dict[str, Start]:
    """Every parameter by name and how it starts, in model order."""
    version = VERSIONS[config.architecture]
    count, rank = config.vocab_size, config.interaction_rank
    across, within = ACROSS[config.across], WITHIN[version.within]
    found: dict[str, Start] = {}
    if version.embedded:
        found["embedding"] = Start((count, EMBEDDING_RANK), std=1.0)
        found["unfold"] = dense(EMBEDDING_RANK, count)
    for kind, part in (("across", across), ("within", within)):
        found |= {f"{kind}.{name}": start for name, start in part.shared(count, rank).items()}
    for step in range(config.num_steps):
        for kind, part in (("across", across), ("within", within)):
            starts = part.starts(count, rank)
            found |= {f"steps.{step}.{kind}.{name}": start for name, start in starts.items()}
    return found


def parameter_count(config: VocabConfig) -> int:
    """Number of trained parameters."""
    return sum(math.prod(start.shape) for start in parameter_starts(config).values())


def initial_weights(config: VocabConfig, *, seed: int) -> Weights:
    """The weights that a run of this seed starts from, each from a stream of its own name."""
    found = {}
    for name, start in parameter_starts(config).items():
        last = start.value if start.last is None else start.last
        values = np.linspace(start.value, last, math.prod(start.shape), dtype=np.float32)
        values = values.reshape(start.shape)
        if start.std:
            noise = stream(seed, "init", name).standard_normal(start.shape, dtype=np.float32)
            values = values + np.float32(start.std) * noise
        found[name] = values
    return found


def require_fit(weights: Mapping[str, NDArray[np.float32]], config: VocabConfig) -> None:
    """Refuse weights that are not this configuration's.

    Raises:
        InputError: a weight is missing, unknown or of another shape.
    """
    starts = parameter_starts(config)
    if wrong := sorted(set(weights) ^ set(starts)):
        raise InputError(f"weights do not fit the model: {', '.join(wrong[:3])}")
    for name, start in starts.items():
        if weights[name].shape != start.shape:
            raise InputError(
                f"weight {name!r} must have shape {start.shape}, but got {weights[name].shape}"
            )


class VocabModel(nn.Module):
    """One of the seventeen architectures.

    Args:
        config: complete; `configure` replaces what changes no shape.
        dtype: of matrix products; the state and its sums stay float32.
    """

    def __init__(self, config: VocabConfig, dtype: torch.dtype):
        super().__init__()
        self._made_of, self._dtype = VERSIONS[config.architecture], dtype
        self._across, self._within = ACROSS[config.across], WITHIN[self._made_of.within]
        self.names = list(parameter_starts(config))
        self._values = nn.ParameterList(
            nn.Parameter(torch.zeros(start.shape)) for start in parameter_starts(config).values()
        )
        self.configure(config)

    def configure(self, config: VocabConfig) -> None:
        """Take hyperparameters."""
        self._config = config

    def named(self) -> dict[str, nn.Parameter]:
        """Every parameter by name."""
        return dict(zip(self.names, self._values, strict=True))

    def states(self, inputs: Tensor) -> list[Tensor]:
        """The state at the start and after every step: (batch, time) → each (…, words)."""
        now, run = self._start(inputs), self._pass()
        found = [settled(now).clone()]
        for step in range(self._config.num_steps):
            now = self._step(now._replace(more=None), step, run)
            found.append(settled(now).clone())
        return found

    def logits(self, state: Tensor) -> Tensor:
        """The state as a prediction: soft-capped."""
        cap = self._config.logit_softcap
        return cap * torch.tanh(state / cap)

    def losses(self, tokens: Tensor) -> Tensor:
        """Loss in nats of every target: (batch, time + 1) → (batch, time)."""
        now, run = self._start(tokens[:, :-1]), self._pass()
        for step in range(self._config.num_steps):
            now = self._step(now, step, run)
        return self._loss(now, tokens[:, 1:])[1]

    def forward(
        self, tokens: Tensor, noise: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """What is to be minimized, and the mean loss of the prediction, in nats."""
        weight = self._config.aux_weight if self._made_of.predictive else 0.0
        now, run, inner = self._start(tokens[:, :-1]), self._pass(noise), []
        for step in range(self._config.num_steps):
            if weight and step:
                now, losses = self._loss(now, tokens[:, 1:])
                inner.append(losses.mean())
            now = self._step(now, step, run)
        loss = self._loss(now, tokens[:, 1:])[1].mean()
        return loss + weight * torch.stack(inner).mean() if inner else loss, loss.detach()

    def _start(self, inputs: Tensor) -> Flow:
        parameters = self.named()
        state = torch.zeros(*inputs.shape, self._config.vocab_size, device=inputs.device)
        if self._made_of.embedded:
            low = F.embedding(inputs, parameters["embedding"])
            return written(flow(state, self._dtype), low, parameters["unfold"])
        return flow(state.scatter_(-1, inputs[..., None], 1.0), self._dtype)

    def _pass(self, noise: torch.Generator | None = None) -> Pass:
        return Pass(self._config.interaction_rank, self._config.gumbel_temperature, noise)

    def _step(self, now: Flow, step: int, run: Pass) -> Flow:
        for kind, part in (("across", self._across), ("within", self._within)):
            own = _under(self.named(), f"steps.{step}.{kind}.", f"{kind}.")
            reads, writes = own.get(part.reads), own.get(part.writes)
            with torch.autocast(
                now.state.device.type, self._dtype, enabled=self._dtype != torch.float32
            ):
                now, x = normalized(now) if reads is None else projected(now, reads)
                more = part.apply(own, x, run)
            now = added(now, more) if writes is None else written(now, more, writes)
        return now

    def _loss(self, now: Flow, targets: Tensor) -> tuple[Flow, Tensor]:
        return capped_losses(now, targets, self._config.logit_softcap)


def _under(parameters: Mapping[str, Tensor], *starts: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(start): value
        for start in starts
        for name, value in parameters.items()
        if name.startswith(start)
    }
