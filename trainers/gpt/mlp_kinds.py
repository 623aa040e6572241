"""Every kind of MLP, for torch and MLX alike: what comes between the way in and the way out.

Written with what arrays of both libraries can do, and four functions that each spells its own
way. A kind with several paths names the pairs among them that an auxiliary loss decorrelates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from trainers.gpt.mlp_shapes import BANKS, PATH_EPS, periodic_width

Array = Any  # torch.Tensor or mlx.core.array
PathPairs = list[tuple[Array, Array]]
SQUARE = "leaky_relu_sq"  # the activation of paths that have no other


class Library(Protocol):
    """What the two libraries have no common name for."""

    def activate(self, x: Array, activation: str) -> Array:
        """The nonlinearity of this name."""
        ...

    def join(self, parts: Sequence[Array]) -> Array:
        """The parts side by side, along the last axis."""
        ...

    def wide(self, x: Array) -> Array:
        """The same in float32."""
        ...

    def typed(self, x: Array, other: Array) -> Array:
        """The same in the other's type."""
        ...


def mlp_features(
    kind: str, path: Callable[..., Array], hidden: int, library: Library
) -> tuple[Array, PathPairs]:
    """What the last matrix reads, (batch, time, hidden), and the pairs to be decorrelated.

    Args:
        kind: the activation, or a kind of MLP of its own shape.
        path: x, or what is given second, times the matrix of this name.
        hidden: channels that the last matrix reads.
        library: of the arrays.
    """

    def square(x: Array) -> Array:
        return library.activate(x, SQUARE)

    match kind:
        case "swiglu":  # Shazeer 2020
            return library.activate(path("gate"), "silu") * path("value"), []
        case "fan":
            return fan_features(path("fc"), hidden, library), []
        case "dml_gated":
            # Double machine learning (Chernozhukov et al. 2018) by analogy: the path that models
            # the nuisance and the linear one that it gates are kept apart by their correlation.
            nuisance, target = square(path("nuisance")), path("target")
            return nuisance * target, [(nuisance, target)]
        case "dml_orth":  # the same apartness by construction: Gram-Schmidt instead of a loss
            nuisance = square(path("nuisance"))
            target = orthogonal_to(library, path("target"), path("map", nuisance))
            return library.join((nuisance, target)), []
        case "fan_dml":
            value = fan_features(path("fc"), hidden, library)
            gate = square(path("gate"))
            return gate * value, [(gate, value)]
        case "causal_wide":
            memory, feature, residual = (path(bank) for bank in BANKS)
            return _banks(library, memory, square(feature), square(residual))
        case "dml_causal_wide":
            gates = [square(path(f"{bank}_gate")) for bank in BANKS]
            memory, feature, residual = (path(f"{bank}_value") for bank in BANKS)
            values = [memory, square(feature), square(residual)]
            products = [gate * value for gate, value in zip(gates, values, strict=True)]
            wide, across = _banks(library, *products)
            return wide, [*across, *zip(gates, values, strict=True)]
    return library.activate(path("fc"), kind), []


def fan_features(x: Array, hidden: int, library: Library) -> Array:
    """A quarter periodic, sin and cos of the same projection (FAN, arXiv 2410.02675)."""
    periodic = periodic_width(hidden)
    phase, rest = x[..., :periodic], x[..., periodic:]
    return library.join((phase.sin(), phase.cos(), library.activate(rest, SQUARE)))


def orthogonal_to(library: Library, x: Array, *others: Array) -> Array:
    """Each token's x without what lies in the span of the others: Gram-Schmidt."""
    basis: list[Array] = []
    for vector in (*others, x):
        rest = library.wide(vector)
        for axis in basis:
            share = (rest * axis).sum(axis=-1, keepdims=True)
            length = axis.square().sum(axis=-1, keepdims=True)
            rest = rest - axis * (share / (length + PATH_EPS))
        basis.append(rest)
    return library.typed(basis[-1], x)


def decorrelation_loss(pairs: PathPairs, library: Library) -> Array:
    """Barlow Twins (Zbontar et al. 2021) without its diagonal, summed over the pairs.

    Every channel of a pair is standardized over the tokens of the pass; the squared correlations
    of each channel with the other path's channels of other number are summed, and their mean
    over channels is taken.
    """
    total: Array = 0.0
    for one, other in pairs:
        left, right = _standardized(one, library), _standardized(other, library)
        correlation = library.wide(left.T @ right) / left.shape[0]
        on_diagonal = correlation.diagonal().square().sum()
        total = total + (correlation.square().sum() - on_diagonal) / left.shape[1]
    return total


def _standardized(x: Array, library: Library) -> Array:
    flat = library.wide(x.reshape(-1, x.shape[-1]))
    centred = flat - flat.mean(axis=0)
    return library.typed(centred * (centred.square().mean(axis=0) + PATH_EPS).rsqrt(), x)


def _banks(
    library: Library, memory: Array, feature: Array, residual: Array
) -> tuple[Array, PathPairs]:
    """Three banks side by side, the last one orthogonal to the others, and their three pairs."""
    residual = orthogonal_to(library, residual, memory, feature)
    pairs = [(memory, feature), (memory, residual), (feature, residual)]
    return library.join((memory, feature, residual)), pairs
