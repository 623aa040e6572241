"""Operations of every step with their gradients written out: few passes over the state.

A state is as large as a batch of predictions, and a step does little arithmetic for each of its
numbers: time goes into reading and writing them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

RMS_EPS = 1e-6


def normalized(state: Tensor, dtype: torch.dtype) -> Tensor:
    """The state over its root mean square at every position, in the type of products."""
    found: Tensor = _Normalized.apply(state, dtype)  # type: ignore[no-untyped-call]
    return found


class _Normalized(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, state: Tensor, dtype: torch.dtype) -> Tensor:
        square = torch.linalg.vector_norm(state, dim=-1, keepdim=True).square()
        rate = (square / state.shape[-1] + RMS_EPS).rsqrt()
        found = (state * rate).to(dtype)
        ctx.save_for_backward(found, rate)
        return found

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        found, rate = ctx.saved_tensors
        along = torch.linalg.vecdot(grad, found)[..., None] / found.shape[-1]
        return torch.addcmul(grad, found, along, value=-1) * rate, None
