"""Fake quantization on torch: weights as the artifact will have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from trainers.gpt.init import GRID_MIN_SIDE, GRID_SMALLEST, GRID_TOPS


@torch.no_grad()
def fake_quantize(weight: Tensor, bits: str = "int8") -> Tensor:
    """The nearest point of the artifact's grid: `trainers.quantize`, there and back.

    Matrices have one step per row, tensors of more dimensions one for all: the largest magnitude
    over the largest code, rounded down to float16. Vectors and matrices that are smaller than 16
    on a side stay as they are, as they do there.
    """
    top = GRID_TOPS[bits]
    if weight.dim() < 2 or (weight.dim() == 2 and min(weight.shape) < GRID_MIN_SIDE):
        return weight.clone()
    over = 1 if weight.dim() == 2 else tuple(range(weight.dim()))
    exact = weight.abs().amax(dim=over, keepdim=True).double() / top
    near = exact.half()
    below = (near.view(torch.int16) - 1).view(torch.float16)
    step = torch.where(near.double() > exact, below, near).float().clamp(min=GRID_SMALLEST)
    return (weight / step).clamp(-top, top).round() * step


@contextmanager
def weights_on_grid(parameters: Iterable[Tensor], bits: str = "int8") -> Iterator[None]:
    """Within, the parameters lie on the grid; afterwards they are again what they were.

    A gradient taken within and applied afterwards is the straight-through estimate (Bengio et
    al. 2013), with no rounding in the graph.
    """
    changed = list(parameters)
    kept = [parameter.detach().clone() for parameter in changed]
    with torch.no_grad():
        for parameter in changed:
            parameter.copy_(fake_quantize(parameter, bits))
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(changed, kept, strict=True):
                parameter.copy_(value)
