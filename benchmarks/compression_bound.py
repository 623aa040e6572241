"""How few bits any quantizer could do with: normal weights under the curvature that was measured.

Reverse water-filling (Cover & Thomas, Elements of Information Theory, section 10.3) over the
directions of each matrix's inputs, in which both curvature and the weights' variance are taken as
they are: rows' variances times directions' variances. The curvature is that of K-FAC, brought to
scale by one loss that was measured. Training that changes weights or curvature is not bound by it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trainers.quantize.int8 import is_quantized
from trainers.quantize.statistics import Inputs

OCTAVES, HALVINGS = 100, 60  # of the water level below the largest cost; of the search for it
Weights = Mapping[str, NDArray[np.float32]]


def least_bits(
    weights: Weights, inputs: Mapping[str, Inputs], stored: Weights, *, measured: float, gap: float
) -> float:
    """Bits for a parameter below which no code of fixed normal weights has this gap.

    Args:
        stored: the weights as some artifact gives them back.
        measured: the gap of that artifact; it scales the predicted losses.
        gap: for which the bits are asked.
    """
    inputs = {name: known for name, known in inputs.items() if is_quantized(weights[name].shape)}
    errors = {name: (weights[name] - stored[name]).astype(np.float64) for name in inputs}
    scale = measured / sum(_loss(errors[name], known) for name, known in inputs.items())
    costs = np.concatenate([_costs(weights[name], known) for name, known in inputs.items()])
    high = np.log(costs.max())
    low = high - OCTAVES * np.log(2)
    for _ in range(HALVINGS):
        level = (low + high) / 2
        lost = scale * np.minimum(costs, np.exp(level)).sum()
        low, high = (level, high) if lost < gap else (low, level)
    whole = sum(value.size for name, value in weights.items() if name not in inputs)
    bits = np.maximum(np.log2(np.maximum(costs, 1e-300)) - low / np.log(2), 0).sum() / 2
    return float((bits + 16 * whole) / (costs.size + whole))


def _loss(error: NDArray[np.float64], known: Inputs) -> float:
    """What an error costs to second order, but for a factor."""
    by_row = np.einsum("rc,cd,rd->r", error, known.hessian, error, optimize=True)
    return float(known.slope @ by_row + known.lookup @ np.square(error).sum(axis=1))


def _costs(weight: NDArray[np.float32], known: Inputs) -> NDArray[np.float64]:
    """The same for leaving a coefficient out, by the variance of its row and direction."""
    values, directions = np.linalg.eigh(known.hessian)
    squares = np.square(weight.astype(np.float64) @ directions)
    rows = squares.mean(axis=1, keepdims=True) / (squares.mean() or 1.0)
    spread = rows * (squares / np.maximum(rows, 1e-12)).mean(axis=0)
    curvature = np.outer(known.slope, np.maximum(values, 0)) + known.lookup[:, None]
    costs: NDArray[np.float64] = (spread * curvature).ravel()
    return costs
