"""The operations of a block with their gradients by hand, for one CPU thread.

A small model spends more time there on passing over memory, and on autograd's steps, than on
arithmetic. Each function does what the method of `trainers.gpt.kernels_torch` does, in fewer
passes; the residual stream is float32, what the products read is of their type. With a loss and
optimizer of fewer passes, that took a quarter off a step of 2 layers × 48 channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.gpt.attention_cpu import attend, joined_heads
from trainers.gpt.init import RMS_EPS
from trainers.gpt.kernels_torch import Heads, Kernels


class CpuKernels(Kernels):
    """The same by hand."""

    def looked_up(self, tokens: Tensor, table: Tensor) -> Tensor:
        """The norm of each row is taken once, not at each of its places."""
        return F.embedding(tokens, _normed(table.dtype, None, table)[1])

    def normed(
        self, terms: Sequence[Tensor], weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Of terms that are one tensor, as the first layer's are, the weights are added up."""
        if weights is not None and len(terms) == 2 and terms[0] is terms[1]:
            terms, weights = terms[:1], weights.sum(0, keepdim=True)
        return _normed(self.dtype, weights, *terms)

    def product(self, x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
        """The scale is put on the rows of the matrix."""
        y: Tensor = _Product.apply(  # type: ignore[no-untyped-call]
            x.to(self.dtype), weight, scale
        )
        return y

    def squared_mlp(
        self, x: Tensor, fc: Tensor, proj: Tensor, scale: Tensor, slope: float
    ) -> Tensor:
        """Nothing is kept of it but the square and its root."""
        y: Tensor = _SquaredMlp.apply(  # type: ignore[no-untyped-call]
            x, fc, proj, scale, slope
        )
        return y

    def angles(self, cos: Tensor, sin: Tensor, heads: int) -> tuple[Tensor, ...]:
        """As complex numbers: (time, heads · head_dim / 2)."""
        return (torch.complex(cos, -sin).repeat(1, heads),)

    def heads(
        self,
        x: Tensor,
        matrices: Heads,
        order: Tensor,
        gain: Tensor,
        angles: tuple[Tensor, ...],
    ) -> Heads:
        """The scores' factor, head_dim^-½, is part of the gain."""
        return joined_heads(x, matrices, order, gain, angles[0])

    def attention(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The scores are to be taken as they are."""
        return attend(q, k, v)


def _normed(dtype: torch.dtype, weights: Tensor | None, *terms: Tensor) -> tuple[Tensor, Tensor]:
    """`Kernels.normed`, the norm in this type."""
    total, normal = _Normed.apply(dtype, weights, *terms)  # type: ignore[no-untyped-call]
    return total, normal


class _Normed(torch.autograd.Function):
    """The two gradients that meet at a sum, of the stream and of the norm, are added at once."""

    @staticmethod
    def forward(
        ctx: Any, dtype: torch.dtype, weights: Tensor | None, *terms: Tensor
    ) -> tuple[Tensor, Tensor]:
        total = terms[0]
        if weights is None:
            for term in terms[1:]:
                total = total + term
        else:
            rows = weights.unbind()
            total = total * rows[0]
            for term, row in zip(terms[1:], rows[1:], strict=True):
                total.addcmul_(term, row)
        length = torch.linalg.vector_norm(total, dim=-1, keepdim=True)
        scale = length.square_().div_(total.size(-1)).add_(RMS_EPS).rsqrt_()
        normal = total * scale
        ctx.save_for_backward(normal, scale, weights, *(() if weights is None else terms))
        ctx.types = [term.dtype for term in terms]
        ctx.set_materialize_grads(False)
        return total, normal.to(dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        normal, scale, weights, *terms = ctx.saved_tensors
        by_total, by_normal = grads
        assert by_normal is not None
        grad = by_normal.float()
        along = (grad * normal).mean(-1, keepdim=True)
        grad = torch.addcmul(grad, normal, along, value=-1)
        grad = grad.mul_(scale) if by_total is None else torch.addcmul(by_total, grad, scale)
        if weights is None:
            return None, None, *(grad.to(kind) for kind in ctx.types)
        by_weights = [(grad * term).flatten(0, -2).sum(0) for term in terms]
        return None, torch.stack(by_weights), *(grad * row for row in weights.unbind())


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
        scaled, rows = (weight * scale[:, None]).to(x.dtype), x.flatten(0, -2)
        ctx.save_for_backward(rows, scaled, weight, scale)
        return torch.mm(rows, scaled.t()).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows, scaled, weight, scale = ctx.saved_tensors
        grad = grads[0].flatten(0, -2)
        by_scaled = torch.mm(grad.t(), rows).float()
        by_x = torch.mm(grad, scaled).view(*grads[0].shape[:-1], -1)
        return by_x, by_scaled * scale[:, None], (by_scaled * weight).sum(1)


class _SquaredMlp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, fc: Tensor, proj: Tensor, scale: Tensor, slope: float
    ) -> Tensor:
        first, last, rows = fc.to(x.dtype), (proj * scale[:, None]).to(x.dtype), x.flatten(0, -2)
        root = torch.mm(rows, first.t())
        root = F.leaky_relu_(root, slope) if slope else root.relu_()
        square = root * root
        ctx.save_for_backward(rows, root, square, first, last, proj, scale)
        ctx.slope = slope
        return torch.mm(square, last.t()).view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        rows, root, square, first, last, proj, scale = ctx.saved_tensors
        grad = grads[0].flatten(0, -2)
        by_last = torch.mm(grad.t(), square).float()
        # Half the gradient: the 2 of the square is put on the small arrays, where it is exact.
        half = torch.mm(grad, last).mul_(F.leaky_relu(root, ctx.slope) if ctx.slope else root)
        by_first = torch.mm(half.t(), rows).float().mul_(2)
        by_x = torch.mm(half, first * 2).view_as(grads[0])
        return by_x, by_first, by_last * scale[:, None], (by_last * proj).sum(1), None
