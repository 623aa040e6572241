"""What quantization costs, as a whole and tensor by tensor, on the very same targets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.causal.forms import Record
from trainers.engine import Engine, Weights
from trainers.evaluation import Validation, scored_windows
from trainers.token_bytes import bits_per_byte


class TensorGap(Record):
    """One tensor quantized, all others exact.

    Attributes:
        parameters: its number of weights.
        relative_error: ‖Q − W‖ / ‖W‖, Frobenius.
        gap, error: bpb lost, and its standard error over sequences.
    """

    name: str
    parameters: int
    relative_error: float
    gap: float
    error: float


class QuantizerGap(Record):
    """One quantizer on the whole model.

    Attributes:
        artifact_bytes: of the whole model, packed.
        bits_per_parameter: these bytes over all parameters.
        gap, error: bpb lost, and its standard error over sequences.
        sum_of_tensors: the gaps of the tensors by themselves; what it misses of `gap` is what
            their roundings do to one another.
        tensors: those that it changes, the costliest first.
    """

    name: str
    artifact_bytes: int
    bits_per_parameter: float
    gap: float
    error: float
    sum_of_tensors: float
    tensors: tuple[TensorGap, ...]


@dataclass(frozen=True)
class SequenceLosses:
    """Σ nats of each validation sequence, shape (sequences,), and the bytes of them all."""

    nats: NDArray[np.float64]
    byte_count: int

    @property
    def bpb(self) -> float:
        """Bits per byte of all sequences."""
        return bits_per_byte(float(self.nats.sum()), self.byte_count)

    def gap(self, exact: SequenceLosses) -> tuple[float, float]:
        """Bpb above `exact`, and its standard error, sequences taken as independent."""
        more, unit = self.nats - exact.nats, math.log(2) * self.byte_count
        count = len(more)
        spread = float(more.std(ddof=1)) * math.sqrt(count) if count > 1 else 0.0
        return float(more.sum()) / unit, spread / unit


def sequence_losses(engine: Engine, validation: Validation) -> SequenceLosses:
    """Score every sequence with the engine's weights."""
    nats, byte_count = [], 0
    for rows, _ in scored_windows(validation):
        nats.append(engine.losses(rows).sum(axis=1, dtype=np.float64))
        byte_count += int(validation.table.count_bytes(rows[:, :-1], rows[:, 1:]).sum())
    return SequenceLosses(np.concatenate(nats), byte_count)


def quantizer_gap(
    engine: Engine,
    weights: Weights,
    validation: Validation,
    exact: SequenceLosses,
    name: str,
    packed: tuple[int, Weights],
    progress: Callable[[float], None] | None = None,
) -> QuantizerGap:
    """Measure quantized weights, whole and tensor by tensor; the engine ends with the exact ones.

    Args:
        exact: losses of the weights as they are.
        name: of the quantizer.
        packed: bytes of its artifact, and the weights that it gives back.
    """
    size, rounded = packed
    changed = [each for each in weights if not np.array_equal(weights[each], rounded[each])]

    def measured(tried: Weights) -> tuple[float, float]:
        engine.load(tried)
        return sequence_losses(engine, validation).gap(exact)

    gap, error = measured(rounded)
    tensors = []
    for done, each in enumerate(changed, start=1):
        lost, its_error = measured({**weights, each: rounded[each]})
        norm = float(np.linalg.norm(weights[each]))
        tensors.append(
            TensorGap(
                name=each,
                parameters=weights[each].size,
                relative_error=float(np.linalg.norm(rounded[each] - weights[each])) / norm,
                gap=lost,
                error=its_error,
            )
        )
        if progress is not None:
            progress(done / len(changed))
    engine.load(weights)
    return QuantizerGap(
        name=name,
        artifact_bytes=size,
        bits_per_parameter=8 * size / sum(values.size for values in weights.values()),
        gap=gap,
        error=error,
        sum_of_tensors=math.fsum(tensor.gap for tensor in tensors),
        tensors=tuple(sorted(tensors, key=lambda tensor: -tensor.gap)),
    )
