"""A vocabulary-space model and its optimizer as an `Engine`: torch, on a CPU or one GPU."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scripts.causal.files import InputError
from trainers.engine import StepSettings, Tokens, Weights
from trainers.gpt.engine_torch import TORCH_BACKENDS, keep_freed_memory
from trainers.gpt.qat_torch import weights_on_grid
from trainers.vocab_space.config import VocabConfig, fields_with, vocab_config
from trainers.vocab_space.model import VocabModel, parameter_starts, require_fit

# A state holds a number for every word, and every step keeps several: 2,048 tokens of 8 steps are
# about a gigabyte with what the gradient needs.
MICRO_TOKENS = {"cuda": 32768, "cpu": 2048}
EPS = 1e-8
FULL_RATE_FAN = 8  # inputs up to which a parameter learns at the full rate


class VocabEngine:
    """Implements `trainers.engine.Engine`; one for each architecture and backend.

    Args:
        config: a complete configuration; its architecture is fixed for the engine's life.
        backend: one of TORCH_BACKENDS.

    Raises:
        InputError: unknown backend.
    """

    def __init__(self, config: VocabConfig, backend: str):
        if backend not in TORCH_BACKENDS:
            raise InputError(f"no torch backend {backend!r}", mend=", ".join(TORCH_BACKENDS))
        _, kind, precision = backend.split("-")
        self._device = torch.device(kind)
        if kind == "cpu":
            torch.set_num_threads(1)  # one loss curve whatever the machine
            keep_freed_memory()
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self._config = config
        self._model = VocabModel(config, dtype).to(self._device)
        self._parameters = self._model.named()
        self._noise = torch.Generator(self._device)
        self._averages: dict[str, list[Tensor]] = {}
        self._micro = max(1, MICRO_TOKENS[kind] // config.train_seq_len)
        groups: dict[float, list[Tensor]] = {}
        for name, start in parameter_starts(config).items():
            rate = min(1.0, (FULL_RATE_FAN / start.fan) ** 0.5)
            groups.setdefault(rate, []).append(self._parameters[name])
        self._rates = list(groups)
        self._optimizer = torch.optim.AdamW(
            [{"params": members} for members in groups.values()], eps=EPS, fused=True
        )

    def configure(self, config: Mapping[str, bool | int | float | str]) -> None:
        """Take the hyperparameters of the next run.

        Raises:
            InputError: the configuration is invalid or of another architecture.
        """
        new = vocab_config(config)
        for name in fields_with(role="architecture"):
            if getattr(new, name) != getattr(self._config, name):
                raise InputError(
                    f"this engine has {name}={getattr(self._config, name)!r}, "
                    f"but got {name}={getattr(new, name)!r}"
                )
        self._config = new
        self._model.configure(new)

    @torch.no_grad()
    def load(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Replace every weight and reset the optimizer's state and the noise.

        The noise of soft choices follows from the weights: a run's seed has drawn them.

        Raises:
            InputError: a weight is missing, unknown or of another shape.
        """
        require_fit(weights, self._config)
        drawn = hashlib.sha256()
        for name, parameter in self._parameters.items():
            values = np.ascontiguousarray(weights[name])
            drawn.update(values.tobytes())
            parameter.copy_(torch.from_numpy(values))
        self._noise.manual_seed(int.from_bytes(drawn.digest()[:7], "little"))
        self._optimizer.state.clear()
        self._averages.clear()

    def step(self, tokens: Tokens, settings: StepSettings) -> float:
        """One optimizer step on the batch (sequences, time + 1); the mean loss in nats."""
        config = self._config
        self._optimizer.zero_grad()
        total = 0.0
        for part in torch.split(self._to_device(tokens), self._micro):
            aim, loss = self._model(part, self._noise)
            share = len(part) / len(tokens)
            (aim * share).backward()
            total += float(loss) * share
        for parameter in self._parameters.values():
            if parameter.grad is None:  # what halts the last step is never read
                parameter.grad = torch.zeros_like(parameter)
        if config.grad_clip:
            torch.nn.utils.clip_grad_norm_(self._parameters.values(), config.grad_clip)
        for rate, group in zip(self._rates, self._optimizer.param_groups, strict=True):
            group["lr"] = config.rate * rate * settings.lr_scale
            group["betas"] = (config.beta1, config.beta2)
            group["weight_decay"] = config.weight_decay
        self._optimizer.step()
        return total

    @torch.no_grad()
    def losses(self, tokens: Tokens) -> NDArray[np.float32]:
        """Loss in nats of every target: tokens (sequences, time + 1) → (sequences, time)."""
        parts = torch.split(self._to_device(tokens), self._micro)
        return torch.cat([self._model.losses(part) for part in parts]).cpu().numpy()

    def on_grid(self) -> AbstractContextManager[None]:
        """Within, the weights are as the int8 artifact would have them; afterwards as before."""
        return weights_on_grid(self._parameters.values())

    def weights(self) -> Weights:
        """Every weight by name, float32."""
        return self._named(self._parameters.values())

    def gradient(self, tokens: Tokens, shares: NDArray[np.float32]) -> Weights:
        """The gradient by every weight of Σ shares · losses / Σ shares, by name."""
        for parameter in self._parameters.values():
            parameter.grad = torch.zeros_like(parameter)
        weights = self._to_device(shares / shares.sum(dtype=np.float32))
        for part, share in zip(
            torch.split(self._to_device(tokens), self._micro),
            torch.split(weights, self._micro),
            strict=True,
        ):
            (self._model.losses(part) * share).sum().backward()  # type: ignore[no-untyped-call]
        return self._named(p.grad for p in self._parameters.values() if p.grad is not None)

    @torch.no_grad()
    def average(self, name: str, share: float) -> None:
        """Move the average of this name towards the weights, 1 being all the way."""
        now: list[Tensor] = list(self._parameters.values())
        if name not in self._averages:
            self._averages[name] = [value.detach().clone() for value in now]
        torch._foreach_lerp_(self._averages[name], now, share)

    def averages(self) -> dict[str, Weights]:
        """The averages by name, each as `weights`."""
        return {name: self._named(values) for name, values in self._averages.items()}

    @torch.no_grad()
    def states(self, tokens: Tokens) -> NDArray[np.float32]:
        """The soft-capped state before and after every step, (steps + 1, batch, time, words)."""
        found = self._model.states(self._to_device(tokens))
        return torch.stack([self._model.logits(state) for state in found]).cpu().numpy()

    def _named(self, values: Iterable[Tensor]) -> Weights:
        arrays = (value.detach().float().cpu().numpy().copy() for value in values)
        return dict(zip(self._parameters, arrays, strict=True))

    def _to_device(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)
