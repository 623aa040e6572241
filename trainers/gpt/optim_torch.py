"""Muon (or AdamW) for the matrices inside the blocks, Adam for embedding, scales and gains."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from trainers.engine import StepSettings
from trainers.gpt.config import GPTConfig
from trainers.gpt.init import EMBEDDING, HEAD, MATRIX, SCALAR, parameter_group
from trainers.gpt.kernels_torch import COMPILE_OPTIONS

NS_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NS_EPS = 1e-7

# Channels. On a CPU setting up a product of smaller matrices in bfloat16 costs more than it saves:
# five steps on four of 24 × 48 took 303 µs here, 85 in float32; on four of 48 × 96 343 and 301.
TINY = 128


def newton_schulz(matrices: Tensor, steps: int) -> Tensor:
    """Push every singular value towards 1: matrices (..., rows, cols) with rows <= cols.

    The quintic iteration of Muon (Jordan et al. 2024); its coefficients trade exactness (values
    end between about 0.7 and 1.2) for speed.
    """
    a, b, c = NS_COEFFICIENTS
    x = matrices.view(-1, *matrices.shape[-2:])
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + NS_EPS)
    for _ in range(steps):
        gram = torch.bmm(x, x.mT)
        inner = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, inner, x, beta=a)
    return x.view(matrices.shape)


class Muon:
    """Nesterov momentum, each matrix's update orthogonalized (Jordan et al. 2024).

    Matrices that have one shape, up to transposition, go through Newton–Schulz together.

    Args:
        equal_rows: each row of an update is first brought to length 1, so that no output channel
            is heard more than another (MuonEq-R, PR 1260).
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        ns_steps: int,
        dtype: torch.dtype,
        equal_rows: bool = False,
    ):
        self._ns_steps, self._dtype, self._equal_rows = ns_steps, dtype, equal_rows
        self._parameters = list(parameters)
        self._momentum = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._groups: dict[tuple[int, int], list[int]] = {}
        for index, parameter in enumerate(self._parameters):
            rows, cols = parameter.shape
            self._groups.setdefault((min(rows, cols), max(rows, cols)), []).append(index)
        # On CUDA one graph for each shape; on a CPU a compiler pays only after minutes.
        compiled = bool(self._parameters) and self._parameters[0].is_cuda
        self._newton_schulz = (
            torch.compile(newton_schulz, **COMPILE_OPTIONS) if compiled else newton_schulz
        )

    def reset(self) -> None:
        """Forget the momentum."""
        torch._foreach_zero_(self._momentum)

    @staticmethod
    def _tiny(wide: Tensor) -> bool:
        return wide.device.type == "cpu" and wide.size(2) < TINY

    @torch.no_grad()
    def step(self, *, lr: float, momentum: float, weight_decay: float) -> None:
        """Move every parameter along its gradient."""
        grads = [gradient_of(parameter) for parameter in self._parameters]
        torch._foreach_mul_(self._momentum, momentum)
        torch._foreach_add_(self._momentum, grads)
        updates = torch._foreach_add(grads, self._momentum, alpha=momentum)
        if self._equal_rows:
            lengths = [update.norm(dim=1, keepdim=True) + NS_EPS for update in updates]
            torch._foreach_div_(updates, lengths)
        if weight_decay:
            torch._foreach_mul_(self._parameters, 1 - lr * weight_decay)
        for members in self._groups.values():
            wide = torch.stack([_wide(updates[index]) for index in members])
            wide = wide.to(torch.float32 if self._tiny(wide) else self._dtype)
            for index, update in zip(
                members, self._newton_schulz(wide, self._ns_steps).unbind(), strict=True
            ):
                parameter = self._parameters[index]
                rows, cols = parameter.shape
                turned = update.mT if rows > cols else update
                parameter.add_(turned.to(parameter.dtype), alpha=-lr * max(1, rows / cols) ** 0.5)


class Adam:
    """Adam (Kingma & Ba 2015); with weight decay it is AdamW (Loshchilov & Hutter 2019)."""

    def __init__(self, parameters: Iterable[Tensor]):
        self._parameters = list(parameters)
        self._mean = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._square = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._steps = [
            parameter.new_zeros((), dtype=torch.float32) for parameter in self._parameters
        ]

    def reset(self) -> None:
        """Forget the moments."""
        for state in (self._mean, self._square, self._steps):
            torch._foreach_zero_(state)

    @torch.no_grad()
    def step(
        self, *, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float = 0.0
    ) -> None:
        """Move every parameter along its gradient."""
        torch._foreach_add_(self._steps, 1)
        torch._fused_adamw_(
            self._parameters,
            [gradient_of(parameter) for parameter in self._parameters],
            self._mean,
            self._square,
            [],
            self._steps,
            lr=lr,
            beta1=beta1,
            beta2=beta2,
            weight_decay=weight_decay,
            eps=eps,
            amsgrad=False,
            maximize=False,
        )


class Optimizer:
    """Moves each group of a model's parameters by its own rule and learning rate.

    Args:
        rule: for the matrices: muon, muoneq_r or adamw.
    """

    def __init__(
        self,
        parameters: dict[str, Tensor],
        *,
        ns_steps: int,
        dtype: torch.dtype,
        rule: str = "muon",
    ):
        group = {
            kind: [value for name, value in parameters.items() if parameter_group(name) == kind]
            for kind in (MATRIX, EMBEDDING, HEAD, SCALAR)
        }
        self._all = list(parameters.values())
        self._matrices = (
            Adam(group[MATRIX])
            if rule == "adamw"
            else Muon(group[MATRIX], ns_steps=ns_steps, dtype=dtype, equal_rows=rule == "muoneq_r")
        )
        self._embedding, self._scalars = Adam(group[EMBEDDING]), Adam(group[SCALAR])
        self._head = Adam(group[HEAD]) if group[HEAD] else None

    def reset(self) -> None:
        """Forget everything that past steps left behind."""
        for part in (self._matrices, self._embedding, self._head, self._scalars):
            if part is not None:
                part.reset()

    def step(self, config: GPTConfig, settings: StepSettings) -> None:
        """One step on the gradients that the parameters hold."""
        if config.grad_clip:
            self._clip(config.grad_clip)
        scale, decay = settings.lr_scale, config.weight_decay
        adam = {"beta1": config.beta1, "beta2": config.beta2, "eps": config.adam_eps}
        lr = config.matrix_lr * scale
        if isinstance(self._matrices, Muon):
            self._matrices.step(lr=lr, momentum=settings.muon_momentum, weight_decay=decay)
        else:
            self._matrices.step(lr=lr, weight_decay=decay, **adam)
        self._embedding.step(lr=config.embedding_lr * scale, **adam)
        if self._head is not None:
            self._head.step(lr=config.head_lr * scale, **adam)
        self._scalars.step(lr=config.scalar_lr * scale, **adam)

    @torch.no_grad()
    def _clip(self, limit: float) -> None:
        grads = [gradient_of(parameter) for parameter in self._all]
        norm = torch.stack(torch._foreach_norm(grads)).norm()
        torch._foreach_mul_(grads, (limit / (norm + 1e-6)).clamp(max=1.0))


def gradient_of(parameter: Tensor) -> Tensor:
    """The gradient that the last backward pass left at a parameter."""
    assert parameter.grad is not None, "a parameter took no part in the loss"
    return parameter.grad


def _wide(matrix: Tensor) -> Tensor:
    return matrix.mT if matrix.size(0) > matrix.size(1) else matrix
