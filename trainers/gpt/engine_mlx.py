"""The GPT and its optimizer on MLX: Metal where there is one, else the CPU, in float32.

Each architecture is compiled once, its hyperparameters arrays among the inputs, so that a
campaign over learning rates or softcaps never traces again. Set MLX_DISABLE_COMPILE=1 (MLX's own
switch) where its compiler fails; losses stay the same.

MLX keys its cache of compiled functions by address and keeps one for each thread: a function
released on another thread can make a later one return its results (mlx#3940). So the compiled
functions are never released, and an engine works only on the thread that made it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from scripts.causal.files import InputError
from trainers.engine import Alteration, Grids, StepSettings, Tokens, Weights
from trainers.gpt.config import GPTConfig, fields_with, gpt_config
from trainers.gpt.init import parameter_shapes, require_fit, rotary_table
from trainers.gpt.kernels_mlx import Arrays
from trainers.gpt.model_mlx import token_losses, training_loss
from trainers.gpt.objectives import examples_of, is_altered
from trainers.gpt.objectives_mlx import altered_loss, predictions
from trainers.gpt.optim_mlx import OptimizerState, optimizer_state, optimizer_step
from trainers.gpt.qat_mlx import on_grid

MLX_BACKENDS = ("mlx-gpu-float32", "mlx-cpu-float32")
MICRO_TOKENS = 8192  # of one forward and backward pass: bounds memory on a laptop

# Scalars of the optimizer that come straight from the configuration.
_SCALARS = ("weight_decay", "beta1", "beta2", "adam_eps", "grad_clip")
_RATES = ("matrix_lr", "embedding_lr", "head_lr", "scalar_lr")


def mlx_backends() -> list[str]:
    """The MLX backends of this machine, best first."""
    return list(MLX_BACKENDS if mx.metal.is_available() else MLX_BACKENDS[1:])


@dataclass(frozen=True)
class _Compiled:
    """The compiled functions of one architecture; `traces` grows by one line for every trace."""

    gradient: Callable[[Arrays, Arrays, mx.array, bool], tuple[mx.array, Arrays]]
    update: Callable[[Arrays, OptimizerState, Arrays, Arrays], tuple[Arrays, OptimizerState]]
    losses: Callable[[Arrays, Arrays, mx.array, bool], mx.array]
    altered: Callable[[Arrays, Arrays, Arrays, bool], tuple[mx.array, mx.array, mx.array, Arrays]]
    predictions: Callable[[Arrays, Arrays, mx.array, bool], mx.array]
    weighted: Callable[[Arrays, Arrays, mx.array, mx.array], Arrays]
    traces: list[str]


@cache
def _compiled(architecture: GPTConfig, device: str, thread: int) -> _Compiled:
    """Compile an architecture, once per device and thread, for the life of the process."""
    traces: list[str] = []

    # The only plain value among the inputs, `recurrent`, has a graph for each of its two values.
    def gradient(
        weights: Arrays, hyper: Arrays, tokens: mx.array, recurrent: bool
    ) -> tuple[mx.array, Arrays]:
        traces.append("gradient")

        def loss(weights: Arrays) -> mx.array:
            value = training_loss(architecture, weights, hyper, tokens, recurrent=recurrent)
            return hyper["share"] * value

        value, grads = mx.value_and_grad(loss)(weights)
        return value, grads

    def update(
        weights: Arrays, state: OptimizerState, grads: Arrays, hyper: Arrays
    ) -> tuple[Arrays, OptimizerState]:
        traces.append("update")
        return optimizer_step(
            weights,
            state,
            grads,
            hyper,
            ns_steps=architecture.muon_ns_steps,
            rule=architecture.optimizer,
        )

    def losses(weights: Arrays, hyper: Arrays, tokens: mx.array, recurrent: bool) -> mx.array:
        traces.append("losses")
        return token_losses(architecture, weights, hyper, tokens, recurrent=recurrent)

    def altered(
        weights: Arrays, hyper: Arrays, examples: Arrays, recurrent: bool
    ) -> tuple[mx.array, mx.array, mx.array, Arrays]:
        traces.append("altered")

        def loss(weights: Arrays) -> tuple[mx.array, mx.array, mx.array]:
            return altered_loss(architecture, weights, hyper, examples, recurrent=recurrent)

        (value, count, sure), grads = mx.value_and_grad(loss)(weights)
        return value, count, sure, grads

    def likeliest(weights: Arrays, hyper: Arrays, tokens: mx.array, recurrent: bool) -> mx.array:
        traces.append("predictions")
        return predictions(architecture, weights, hyper, tokens, recurrent=recurrent)

    def weighted(weights: Arrays, hyper: Arrays, tokens: mx.array, shares: mx.array) -> Arrays:
        traces.append("weighted")

        def loss(weights: Arrays) -> mx.array:
            return (shares * token_losses(architecture, weights, hyper, tokens)).sum()

        _, grads = mx.value_and_grad(loss)(weights)
        return dict(grads)

    return _Compiled(
        gradient=mx.compile(gradient),
        update=mx.compile(update),
        losses=mx.compile(losses),
        altered=mx.compile(altered),
        predictions=mx.compile(likeliest),
        weighted=mx.compile(weighted),
        traces=traces,
    )


class MlxEngine:
    """An `Engine` on MLX. One for each architecture, reused for many runs, on one thread.

    Args:
        config: a complete configuration; its architecture is fixed for the engine's life.
        backend: one of MLX_BACKENDS; left out, the best of this machine.

    Raises:
        InputError: the backend is unknown, or is not on this machine.
    """

    def __init__(self, config: GPTConfig, backend: str | None = None):
        backend = backend or mlx_backends()[0]
        if backend not in mlx_backends():
            raise InputError(f"no MLX backend {backend!r} here", mend=", ".join(mlx_backends()))
        self._thread = threading.get_ident()
        self._device = mx.Device(mx.gpu if "gpu" in backend else mx.cpu)
        self._architecture = fields_with(role="architecture")
        self._config = config
        same = {name: getattr(config, name) for name in self._architecture}
        self._functions = _compiled(GPTConfig(**same), backend, self._thread)
        sequences = min(config.batch_sequences, max(1, MICRO_TOKENS // config.train_seq_len))
        while config.batch_sequences % sequences:
            sequences -= 1
        self._micro = sequences
        self._weights: Arrays = {}
        self._state: OptimizerState = {}
        self._averages: dict[str, Arrays] = {}
        # In place of the configuration's, in training.
        self._grids: dict[str, tuple[mx.array, mx.array]] = {}
        self._sure: NDArray[np.bool_] | None = None  # where the model was, at the last step
        self._recurrent = False  # as the last step had it; loaded weights are finished ones
        self._hyper: Arrays = {}
        self.configure(vars(config))

    @property
    def traces(self) -> int:
        """How often this architecture was traced: it stays when only hyperparameters change."""
        return len(self._functions.traces)

    def configure(self, config: Mapping[str, bool | int | float | str]) -> None:
        """Take the hyperparameters of the next run.

        Raises:
            InputError: the configuration is invalid or of another architecture.
        """
        new = gpt_config(config)
        for name in self._architecture:
            if getattr(new, name) != getattr(self._config, name):
                raise InputError(
                    f"this engine has {name}={getattr(self._config, name)!r}, "
                    f"but got {name}={getattr(new, name)!r}"
                )
        self._config = new
        with self._here():
            cos, sin = rotary_table(new)
            self._hyper = {
                "softcap": mx.array(new.logit_softcap),
                "selective_margin": mx.array(new.selective_margin),
                "embedding_mask_margin": mx.array(new.embedding_mask_margin),
                "mtp_margin": mx.array(new.mtp_margin),
                "barlow_weight": mx.array(new.barlow_weight),
                "cos": mx.array(cos),
                "sin": mx.array(sin),
                **{name: mx.array(getattr(new, name)) for name in _SCALARS},
            }

    def load(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Replace every weight and reset the optimizer's state.

        Raises:
            InputError: a weight is missing, unknown or of another shape.
        """
        require_fit(weights, self._config)
        with self._here():
            names = parameter_shapes(self._config)  # in model order
            self._weights = {name: mx.array(weights[name], mx.float32) for name in names}
            self._state = optimizer_state(self._weights, self._config.optimizer)
            self._averages, self._grids, self._sure = {}, {}, None
            self._recurrent = self._config.depth_recurrence
            mx.eval(self._weights, self._state)

    def step(self, tokens: Tokens, settings: StepSettings) -> float:
        """One optimizer step on tokens (sequences, time + 1); returns the mean loss in nats."""
        self._recurrent = settings.recurrent and self._config.depth_recurrence
        with self._here():
            hyper = self._hyper | {
                name: mx.array(getattr(self._config, name) * settings.lr_scale) for name in _RATES
            }
            hyper["momentum"] = mx.array(settings.muon_momentum)
            hyper["mtp_weight"] = mx.array(settings.mtp_weight)
            weights = self._weights
            if settings.quantized:
                weights = on_grid(weights, self._config.qat_bits, self._grids)
            if is_altered(self._config, settings.alteration):
                loss, grads = self._altered_gradient(weights, tokens, hyper, settings.alteration)
            else:
                loss, grads = self._mean_gradient(weights, tokens, hyper)
            self._weights, self._state = self._functions.update(
                self._weights, self._state, grads, hyper
            )
            mx.eval(self._weights, self._state)
        return loss

    def set_grids(self, grids: Grids) -> None:
        """Until the next `load`, steps that are `quantized` have matrices on these grids."""
        with self._here():
            self._grids = {
                name: (mx.array(rows), mx.array(columns))
                for name, (rows, columns) in grids.items()
            }

    def _mean_gradient(
        self, weights: Arrays, tokens: Tokens, hyper: Arrays
    ) -> tuple[float, Arrays]:
        """The mean loss over the batch, and its gradient."""
        total, grads = 0.0, dict[str, mx.array]()
        for start in range(0, len(tokens), self._micro):
            part = tokens[start : start + self._micro]
            hyper["share"] = mx.array(len(part) / len(tokens))
            loss, more = self._functions.gradient(
                weights, hyper, mx.array(part.astype(np.int32)), self._recurrent
            )
            grads = {name: grads[name] + more[name] for name in grads} or more
            mx.eval(loss, grads)  # now, so that no two parts lie in memory
            total += float(np.array(loss))
        return total, grads

    def _altered_gradient(
        self, weights: Arrays, tokens: Tokens, hyper: Arrays, alteration: Alteration | None
    ) -> tuple[float, Arrays]:
        """A loss that is no plain mean over the batch, and its gradient."""
        total, count, grads, sure_now = 0.0, 0.0, dict[str, mx.array](), []
        for start in range(0, len(tokens), self._micro):
            part = slice(start, start + self._micro)
            mine, predicted = alteration, None
            if alteration is not None and alteration.corrupted is not None:
                mine = replace(alteration, corrupted=alteration.corrupted[part])
                inputs = mx.array(tokens[part, :-1].astype(np.int32))
                likeliest = self._functions.predictions(weights, hyper, inputs, self._recurrent)
                predicted = np.array(likeliest).astype(np.int64)
            sure = None if self._sure is None else self._sure[part]
            examples = vars(examples_of(tokens[part], mine, predicted, sure))
            arrays = {name: mx.array(self._filled(value)) for name, value in examples.items()}
            loss, counted, sure_at, more = self._functions.altered(
                weights, hyper, arrays, self._recurrent
            )
            grads = {name: grads[name] + more[name] for name in grads} or more
            mx.eval(loss, counted, sure_at, grads)
            sure_now.append(np.array(sure_at))
            total, count = total + float(np.array(loss)), count + float(np.array(counted))
        self._sure = np.concatenate(sure_now) if self._config.embedding_mask else None
        count = max(count, 1.0)
        return total / count, {name: grad / count for name, grad in grads.items()}

    def losses(self, tokens: Tokens) -> NDArray[np.float32]:
        """Loss in nats of every target: tokens (sequences, time + 1) → (sequences, time)."""
        out = np.empty((len(tokens), tokens.shape[1] - 1), dtype=np.float32)
        with self._here():
            for start in range(0, len(tokens), self._micro):
                part = tokens[start : start + self._micro]
                values = self._functions.losses(
                    self._weights, self._hyper, mx.array(self._filled(part)), self._recurrent
                )
                out[start : start + len(part)] = np.array(values)[: len(part)]
        return out

    @contextmanager
    def on_grid(self) -> Iterator[None]:
        """Within, the weights are as the int8 artifact would have them; afterwards as before."""
        kept = self._weights
        with self._here():
            self._weights = on_grid(kept)
        try:
            yield
        finally:
            self._weights = kept

    def weights(self) -> Weights:
        """Every weight by name, float32."""
        return {name: np.array(value) for name, value in self._weights.items()}

    def gradient(self, tokens: Tokens, shares: NDArray[np.float32]) -> Weights:
        """The gradient by every weight of Σ shares · losses / Σ shares, by name."""
        grads: Arrays = {}
        with self._here():
            for start in range(0, len(tokens), self._micro):
                part = slice(start, start + self._micro)
                rows, counts = self._filled(tokens[part]), self._filled(shares[part])
                more = self._functions.weighted(
                    self._weights, self._hyper, mx.array(rows), mx.array(counts / shares.sum())
                )
                grads = {name: grads[name] + more[name] for name in grads} or more
                mx.eval(grads)
        return {name: np.array(value) for name, value in grads.items()}

    def average(self, name: str, share: float) -> None:
        """Move the average of this name towards the weights, 1 being all the way."""
        with self._here():
            old = self._averages.get(name, self._weights)
            self._averages[name] = {
                key: value + share * (self._weights[key] - value) for key, value in old.items()
            }
            mx.eval(self._averages[name])

    def averages(self) -> dict[str, Weights]:
        """The averages by name, each as `weights`."""
        return {
            name: {key: np.array(value) for key, value in values.items()}
            for name, values in self._averages.items()
        }

    def _filled(self, part: NDArray[Any]) -> NDArray[Any]:
        """A short part filled up with zeros, so that no further shape is traced.

        But for a single sequence, of which test-time training gives many.
        """
        full = np.zeros((1 if len(part) == 1 else self._micro, *part.shape[1:]), part.dtype)
        full[: len(part)] = part
        return full.astype(np.int32) if part.dtype == np.int64 else full

    def _here(self) -> mx.StreamContext:
        """The engine's device, as a context; on any other thread than its own, a refusal."""
        if threading.get_ident() != self._thread:
            raise RuntimeError("an MlxEngine must be used on the thread that made it (mlx#3940)")
        return mx.stream(self._device)
