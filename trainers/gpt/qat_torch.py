"""Fake quantization on torch: weights as the artifact will have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

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


@torch.no_grad()
def nearest_on(weight: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The nearest point of a grid with these steps, to the bit as it comes back when stored."""
    top, wide = GRID_TOPS["int8"], rows[:, None]
    return (weight / (wide * columns)).clamp(-top, top).round() * wide * columns


def weights_on_grid(
    parameters: Iterable[Tensor], bits: str = "int8"
) -> AbstractContextManager[None]:
    """Within, the parameters lie on the grid; afterwards they are again what they were.

    A gradient taken within and applied afterwards is the straight-through estimate (Bengio et
    al. 2013), with no rounding in the graph.
    """
    changed = list(parameters)
    return changed_to(changed, (fake_quantize(parameter, bits) for parameter in changed))


@contextmanager
def changed_to(parameters: Sequence[Tensor], values: Iterable[Tensor]) -> Iterator[None]:
    """Within, the parameters have these values; afterwards they are again what they were."""
    kept = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, kept, strict=True):
                parameter.copy_(value)
