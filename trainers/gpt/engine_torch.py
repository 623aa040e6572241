"""The GPT and its optimizer on torch: CUDA in bfloat16, or one CPU thread in float32 or bfloat16.

Under torchrun every process holds the whole model, takes its contiguous part of each global
batch, and the gradients are summed over processes before the (identical) optimizer step.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from scripts.causal.files import InputError
from trainers.engine import Alteration, Grids, StepSettings, Tokens, Weights
from trainers.gpt.config import GPTConfig, fields_with, gpt_config
from trainers.gpt.init import require_fit
from trainers.gpt.kernels_cpu import CpuKernels
from trainers.gpt.kernels_torch import Kernels
from trainers.gpt.model_torch import GPT
from trainers.gpt.objectives import examples_of, is_altered
from trainers.gpt.objectives_torch import TensorExamples, altered_loss, predictions
from trainers.gpt.optim_torch import Optimizer, gradient_of
from trainers.gpt.qat_torch import changed_to, nearest_on, weights_on_grid

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # as in malloc.h
TORCH_BACKENDS = ("torch-cuda-bfloat16", "torch-cpu-bfloat16", "torch-cpu-float32")

# Tokens of one forward and backward pass; a larger batch is accumulated. 65,536 is an eighth of
# the baseline's batch, so one to eight GPUs compute the same batch. On a CPU it bounds memory and
# keeps activations near the cache.
MICRO_TOKENS = {"cuda": 65536, "cpu": 8192}


def torch_backends() -> list[str]:
    """The torch backends of this machine, best first."""
    cuda, bfloat16, float32 = TORCH_BACKENDS
    found = [cuda] if torch.cuda.is_available() else []
    return [*found, bfloat16, float32] if _fast_bfloat16() else [*found, float32, bfloat16]


def _fast_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 matrices itself: AMX tiles, or AVX-512 BF16.

    With the latter a step of 2 layers × 64 took 44 ms here, 73 ms in float32. The result of one
    seed moved by 0.004 bpb, about what any change of no consequence does at this size (0.003).
    """
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


def keep_freed_memory() -> None:
    """Have glibc keep what a step frees for the next one.

    By default it returns a step's activations to the system and asks for them again: measured
    here 7,600 page faults and a sixth of the time of a step. Elsewhere this does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 32 * 2**20)  # its largest value
        mallopt(M_TRIM_THRESHOLD, 2**30)


def join_processes(backend: str) -> None:
    """Under torchrun, join the other processes; otherwise, or when joined already, do nothing."""
    if "WORLD_SIZE" not in os.environ or dist.is_initialized():
        return
    if backend.startswith("torch-cuda"):
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group("nccl")
    else:
        dist.init_process_group("gloo")


def leave_processes() -> None:
    """Wait for the other processes, then part: NCCL warns where nobody does.

    An exit without it may abort while they talk.
    """
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


class TorchEngine:
    """An `Engine` on torch. One for each architecture and backend, reused for many runs.

    Args:
        config: a complete configuration; its architecture is fixed for the engine's life.
        backend: one of TORCH_BACKENDS.

    Raises:
        InputError: unknown backend, or a batch that the processes cannot share evenly.
    """

    def __init__(self, config: GPTConfig, backend: str):
        if backend not in TORCH_BACKENDS:
            raise InputError(f"no torch backend {backend!r}", mend=", ".join(TORCH_BACKENDS))
        _, kind, precision = backend.split("-")
        self._device = torch.device(kind)
        if kind == "cuda":
            self._device = torch.device(kind, torch.cuda.current_device())
        if kind == "cpu":
            # A sum split over more threads is rounded otherwise: one thread, whatever the
            # machine, gives one loss curve; and workers side by side do not fight over cores.
            torch.set_num_threads(1)
            keep_freed_memory()
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self._rank, self._world = 0, 1
        if dist.is_initialized():
            self._rank, self._world = dist.get_rank(), dist.get_world_size()
        if config.batch_sequences % self._world:
            raise InputError(
                f"`batch sequences % processes == 0` must hold, but got "
                f"{config.batch_sequences} sequences and {self._world} processes"
            )
        self._micro = _micro_batch(
            config.batch_sequences // self._world, config.train_seq_len, MICRO_TOKENS[kind]
        )
        self._config = config
        # On a CPU, passes over memory in bfloat16 cost as much as in float32.
        stream = dtype if kind == "cuda" else torch.float32
        kernels = CpuKernels(dtype) if kind == "cpu" else Kernels(dtype)
        self._model = GPT(config, dtype, stream, kernels).to(self._device)
        self._parameters: dict[str, Tensor] = dict(self._model.named_parameters())
        self._averages: dict[str, list[Tensor]] = {}
        # In place of the configuration's, in training.
        self._grids: dict[str, tuple[Tensor, Tensor]] = {}
        self._sure: NDArray[np.bool_] | None = None  # where the model was, at the last step
        self._recurrent = True  # as the last step had it; loaded weights are finished ones
        # bfloat16 is enough for an iteration that ends within 0.7 to 1.2 (Jordan et al. 2024).
        self._optimizer = Optimizer(
            self._parameters, ns_steps=config.muon_ns_steps, dtype=dtype, rule=config.optimizer
        )
        if kind == "cuda":
            self._model.compile_regions()
        self.configure(vars(config))

    def configure(self, config: Mapping[str, bool | int | float | str]) -> None:
        """Take the hyperparameters of the next run.

        Raises:
            InputError: the configuration is invalid or of another architecture.
        """
        new = gpt_config(config)
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
        """Replace every weight and reset the optimizer's state.

        Raises:
            InputError: a weight is missing, unknown or of another shape.
        """
        require_fit(weights, self._config)
        for name, parameter in self._parameters.items():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(weights[name])))
        self._optimizer.reset()
        self._averages.clear()
        self._grids.clear()
        self._sure = None
        self._recurrent = True

    def step(self, tokens: Tokens, settings: StepSettings) -> float:
        """One optimizer step on the global batch (sequences, time + 1); the mean loss in nats."""
        self._recurrent = settings.recurrent
        with self._training_grid() if settings.quantized else contextlib.nullcontext():
            if is_altered(self._config, settings.alteration):
                loss = self._altered_gradient(tokens, settings)
            else:
                loss = self._mean_gradient(tokens)
        self._optimizer.step(self._config, settings)
        return float(loss)

    def set_grids(self, grids: Grids) -> None:
        """Until the next `load`, steps that are `quantized` have matrices on these grids."""
        self._grids = {
            name: (self._to_device(rows), self._to_device(columns))
            for name, (rows, columns) in grids.items()
        }

    def _training_grid(self) -> AbstractContextManager[None]:
        if not self._grids:
            return weights_on_grid(self._parameters.values(), self._config.qat_bits)
        rounded = (nearest_on(self._parameters[name], *grid) for name, grid in self._grids.items())
        return changed_to([self._parameters[name] for name in self._grids], rounded)

    def _mean_gradient(self, tokens: Tokens) -> Tensor:
        """The mean loss over the batch; its gradient is left at the parameters."""
        mine = self._to_device(np.array_split(tokens, self._world)[self._rank])
        for parameter in self._parameters.values():
            parameter.grad = None
        total = torch.zeros((), device=self._device)
        for part in torch.split(mine, self._micro):
            loss = self._model(part, self._recurrent) * (len(part) / len(tokens))
            loss.backward()
            total += loss.detach()
        if self._world > 1:
            grads = [parameter.grad for parameter in self._parameters.values()]
            self._sum_over_processes([*(grad for grad in grads if grad is not None), total])
        return total

    def _altered_gradient(self, tokens: Tokens, settings: StepSettings) -> Tensor:
        """A loss that is no plain mean over the batch; its gradient is left at the parameters."""
        for parameter in self._parameters.values():
            parameter.grad = torch.zeros_like(parameter)
        total, count = torch.zeros((2,), device=self._device).unbind()
        sure = list[NDArray[np.bool_]]()
        for part in self._altered_parts(tokens, settings.alteration):
            loss, counted, sure_at = altered_loss(
                self._model, self._config, part, settings.mtp_weight, self._recurrent
            )
            loss.backward()  # type: ignore[no-untyped-call]
            total, count = total + loss.detach(), count + counted
            if sure_at is not None:
                sure.append(sure_at.cpu().numpy())
        self._sure = np.concatenate(sure) if sure else None
        grads = [gradient_of(parameter) for parameter in self._parameters.values()]
        if self._world > 1:
            self._sum_over_processes([*grads, total, count])
        with torch.no_grad():
            torch._foreach_div_(grads, count.clamp(min=1))
        return total / count.clamp(min=1)

    def _altered_parts(
        self, tokens: Tokens, alteration: Alteration | None
    ) -> Iterator[TensorExamples]:
        """This process's share of the batch, part by part, as the loss is to see it."""
        rows = np.array_split(np.arange(len(tokens)), self._world)[self._rank]
        for part in np.array_split(rows, range(self._micro, len(rows), self._micro)):
            mine, predicted = alteration, None
            sure = None if self._sure is None else self._sure[part - rows[0]]
            if alteration is not None and alteration.corrupted is not None:
                mine = replace(alteration, corrupted=alteration.corrupted[part])
                inputs = self._to_device(tokens[part, :-1])
                predicted = predictions(self._model, inputs, self._recurrent).cpu().numpy()
            examples = vars(examples_of(tokens[part], mine, predicted, sure))
            yield TensorExamples(**{name: self._to_device(v) for name, v in examples.items()})

    def losses(self, tokens: Tokens) -> NDArray[np.float32]:
        """Loss in nats of every target: tokens (sequences, time + 1) → (sequences, time)."""
        out = torch.zeros((len(tokens), tokens.shape[1] - 1), device=self._device)
        rows = np.array_split(np.arange(len(tokens)), self._world)[self._rank]
        for part in np.array_split(rows, range(self._micro, len(rows), self._micro)):
            if len(part):
                out[part[0] : part[-1] + 1] = self._padded_losses(tokens[part])
        if self._world > 1:
            dist.all_reduce(out)
        return out.cpu().numpy()

    def on_grid(self) -> AbstractContextManager[None]:
        """Within, the weights are as the int8 artifact would have them; afterwards as before."""
        return weights_on_grid(self._parameters.values())

    def weights(self) -> Weights:
        """Every weight by name, float32."""
        return self._named(self._parameters.values())

    def gradient(self, tokens: Tokens, shares: NDArray[np.float32]) -> Weights:
        """The gradient by every weight of Σ shares · losses / Σ shares, by name."""
        mine = np.array_split(tokens, self._world)[self._rank]
        own = np.array_split(shares, self._world)[self._rank]
        for parameter in self._parameters.values():
            parameter.grad = torch.zeros_like(parameter)
        shared = self._to_device(own / shares.sum(dtype=np.float32))
        for part, share in zip(
            torch.split(self._to_device(mine), self._micro),
            torch.split(shared, self._micro),
            strict=True,
        ):
            if len(part):
                self._model.weighted_loss(part, share).backward()  # type: ignore[no-untyped-call]
        grads = [gradient_of(parameter) for parameter in self._parameters.values()]
        if self._world > 1:
            self._sum_over_processes(grads)
        return self._named(grads)

    @torch.no_grad()
    def average(self, name: str, share: float) -> None:
        """Move the average of this name towards the weights, 1 being all the way."""
        now = list(self._parameters.values())
        if name not in self._averages:
            self._averages[name] = [value.detach().clone() for value in now]
        torch._foreach_lerp_(self._averages[name], now, share)

    def averages(self) -> dict[str, Weights]:
        """The averages by name, each as `weights`."""
        return {name: self._named(values) for name, values in self._averages.items()}

    def _named(self, values: Iterable[Tensor]) -> Weights:
        arrays = (value.detach().float().cpu().numpy().copy() for value in values)
        return dict(zip(self._parameters, arrays, strict=True))

    def _padded_losses(self, tokens: Tokens) -> Tensor:
        """A short last batch is filled up on CUDA, so that no second shape is compiled."""
        count = len(tokens)
        if self._device.type == "cuda" and 1 < count < self._micro:
            tokens = np.concatenate(
                [tokens, np.zeros_like(tokens, shape=(self._micro - count, tokens.shape[1]))]
            )
        return self._model.losses(self._to_device(tokens), self._recurrent)[:count]

    def _to_device(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device, non_blocking=True)

    def _sum_over_processes(self, tensors: list[Tensor]) -> None:
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(
            tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True
        ):
            tensor.copy_(part.view_as(tensor))


def _micro_batch(sequences: int, seq_len: int, limit: int) -> int:
    """Sequences of one pass: the largest divisor of `sequences` within `limit` tokens."""
    fits = [n for n in range(1, sequences + 1) if sequences % n == 0 and n * seq_len <= limit]
    return max(fits, default=1)
