"""Muon or AdamW for the matrices, Adam for the rest: twin of `trainers.gpt.optim_torch`.

Pure functions: weights, state and gradients go in, new weights and state come out. Learning
rates and the like are arrays, since a compiled function would bake numbers in.
"""

from __future__ import annotations

import mlx.core as mx

from trainers.gpt.init import EMBEDDING, HEAD, MATRIX, SCALAR, parameter_group
from trainers.gpt.kernels_mlx import Arrays

OptimizerState = dict[str, Arrays]
NS_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NS_EPS = 1e-7
_ADAM_RATES = {
    MATRIX: "matrix_lr",
    EMBEDDING: "embedding_lr",
    HEAD: "head_lr",
    SCALAR: "scalar_lr",
}


def optimizer_state(weights: Arrays, rule: str = "muon") -> OptimizerState:
    """The state before the first step: Muon's momentum, Adam's moments and its step count."""
    by_muon = rule != "adamw"
    matrices = [name for name in weights if by_muon and parameter_group(name) == MATRIX]
    others = [name for name in weights if name not in matrices]
    return {
        "momentum": {name: mx.zeros_like(weights[name]) for name in matrices},
        "mean": {name: mx.zeros_like(weights[name]) for name in others},
        "square": {name: mx.zeros_like(weights[name]) for name in others},
        "count": {"steps": mx.array(0.0)},
    }


def optimizer_step(
    weights: Arrays,
    state: OptimizerState,
    grads: Arrays,
    hyper: Arrays,
    *,
    ns_steps: int,
    rule: str = "muon",
) -> tuple[Arrays, OptimizerState]:
    """Move each group of parameters by its own rule and learning rate.

    Args:
        weights, grads: by name.
        state: from `optimizer_state` or the step before.
        hyper: scalars: matrix_lr, embedding_lr, head_lr and scalar_lr (times the schedule's
            factor), momentum, weight_decay, beta1, beta2, adam_eps, and grad_clip (0: no
            clipping).
        ns_steps: iterations of Newton–Schulz.
        rule: for the matrices: muon, muoneq_r (each row of an update first brought to length 1,
            PR 1260) or adamw.
    """
    grads = _clipped(grads, hyper["grad_clip"])
    equal_rows = rule == "muoneq_r"
    moved, momentum = _muon(weights, state["momentum"], grads, hyper, ns_steps, equal_rows)
    others, adam_state = _adam(weights, state, grads, hyper)
    moved |= others
    return {name: moved[name] for name in weights}, {"momentum": momentum, **adam_state}


def newton_schulz(matrices: mx.array, steps: int) -> mx.array:
    """Push every singular value towards 1: matrices (n, rows, cols) with rows <= cols.

    The quintic iteration of Muon (Jordan et al. 2024); values end between about 0.7 and 1.2.
    """
    a, b, c = NS_COEFFICIENTS
    norm = mx.sqrt(mx.square(matrices).sum(axis=(-2, -1), keepdims=True))
    x = matrices / (norm + NS_EPS)
    for _ in range(steps):
        gram = x @ x.swapaxes(-1, -2)
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x


def _muon(
    weights: Arrays,
    momentum: Arrays,
    grads: Arrays,
    hyper: Arrays,
    ns_steps: int,
    equal_rows: bool,
) -> tuple[Arrays, Arrays]:
    """Nesterov momentum, each update orthogonalized; equal shapes go through it together."""
    lr = hyper["matrix_lr"]
    momentum = {name: hyper["momentum"] * old + grads[name] for name, old in momentum.items()}
    groups: dict[tuple[int, int], list[str]] = {}
    for name, matrix in momentum.items():
        groups.setdefault((min(matrix.shape), max(matrix.shape)), []).append(name)
    moved: Arrays = {}
    for names in groups.values():
        updates = [grads[name] + hyper["momentum"] * momentum[name] for name in names]
        if equal_rows:
            updates = [u / (mx.linalg.norm(u, axis=1, keepdims=True) + NS_EPS) for u in updates]
        wide = mx.stack([u.T if u.shape[0] > u.shape[1] else u for u in updates])
        orthogonal = newton_schulz(wide, ns_steps)
        for index, name in enumerate(names):
            rows, cols = weights[name].shape
            update = orthogonal[index].T if rows > cols else orthogonal[index]
            step = lr * max(1, rows / cols) ** 0.5
            moved[name] = weights[name] * (1 - lr * hyper["weight_decay"]) - step * update
    return moved, momentum


def _adam(
    weights: Arrays, state: OptimizerState, grads: Arrays, hyper: Arrays
) -> tuple[Arrays, OptimizerState]:
    """Adam (Kingma & Ba 2015), on matrices with weight decay (Loshchilov & Hutter 2019)."""
    beta1, beta2 = hyper["beta1"], hyper["beta2"]
    steps = state["count"]["steps"] + 1
    # 1 - β^steps; expm1 keeps the digits that a plain difference of float32 numbers loses.
    mean_share, square_share = (-mx.expm1(steps * mx.log(beta)) for beta in (beta1, beta2))
    moved: Arrays = {}
    mean: Arrays = {}
    square: Arrays = {}
    for name, old in state["mean"].items():
        grad = grads[name]
        mean[name] = old + (1 - beta1) * (grad - old)
        square[name] = beta2 * state["square"][name] + (1 - beta2) * mx.square(grad)
        scale = mx.sqrt(square[name]) / mx.sqrt(square_share) + hyper["adam_eps"]
        lr = hyper[_ADAM_RATES[parameter_group(name)]]
        now = weights[name]
        if parameter_group(name) == MATRIX:
            now = now * (1 - lr * hyper["weight_decay"])
        moved[name] = now - lr / mean_share * mean[name] / scale
    return moved, {"mean": mean, "square": square, "count": {"steps": steps}}


def _clipped(grads: Arrays, limit: mx.array) -> Arrays:
    """Scale all gradients down to a common norm of `limit`; unless it is 0."""
    norm = mx.sqrt(mx.stack([mx.square(grad).sum() for grad in grads.values()]).sum())
    factor = mx.where(limit > 0, mx.minimum(limit / (norm + 1e-6), 1.0), 1.0)
    return {name: factor * grad for name, grad in grads.items()}
