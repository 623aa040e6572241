"""Every quantizer that a diagnostic can try on trained weights, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trainers.engine import Weights
from trainers.quantize import int8


@dataclass(frozen=True)
class Quantizer:
    """Weights to the bytes of an artifact, and back to the weights that it evaluates with."""

    pack: Callable[[Weights], bytes]
    unpack: Callable[[bytes], Weights]


def quantizers() -> dict[str, Quantizer]:
    """The quantizers of `trainers.quantize`."""
    return {"int8": Quantizer(int8.quantize, int8.dequantize)}
