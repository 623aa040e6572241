"""The GPT's parameters: their names, shapes, optimizer groups and initial values, in NumPy.

Each parameter draws from its own stream, so two arms at one seed start from the same values in
every parameter that both have, and torch and MLX start from the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from scripts.causal.files import InputError
from trainers.engine import Weights
from trainers.gpt.config import GPTConfig
from trainers.seeds import stream

# Machine epsilon of float32, torch's default; given explicitly, since under bfloat16 torch would
# take that type's epsilon (0.0078), and so that MLX takes the same.
RMS_EPS = 1.1920929e-07

EMBEDDING, MATRIX, SCALAR = "embedding", "matrix", "scalar"
_MATRICES = ("attn.q", "attn.k", "attn.v", "attn.proj", "mlp.fc", "mlp.proj")


def parameter_shapes(config: GPTConfig) -> dict[str, tuple[int, ...]]:
    """Every parameter by name, in model order. Linear layers are (out, in)."""
    dim, kv_dim = config.model_dim, config.num_kv_heads * config.head_dim
    shapes: dict[str, tuple[int, ...]] = {"embed": (config.vocab_size, dim)}
    if config.num_skips:
        shapes["skip_weights"] = (config.num_skips, dim)
    for layer in range(config.num_layers):
        block: dict[str, tuple[int, ...]] = {
            "resid_mix": (2, dim),
            "attn_scale": (dim,),
            "mlp_scale": (dim,),
            "attn.q": (dim, dim),
            "attn.k": (kv_dim, dim),
            "attn.v": (kv_dim, dim),
            "attn.proj": (dim, dim),
            "attn.q_gain": (config.num_heads,),
            "mlp.fc": (config.mlp_hidden, dim),
            "mlp.proj": (dim, config.mlp_hidden),
        }
        shapes |= {f"blocks.{layer}.{name}": shape for name, shape in block.items()}
    return shapes


def require_fit(weights: Mapping[str, NDArray[np.float32]], config: GPTConfig) -> None:
    """Refuse weights that are not this configuration's.

    Raises:
        InputError: a weight is missing, unknown or of another shape.
    """
    shapes = parameter_shapes(config)
    if set(weights) != set(shapes):
        wrong = sorted(set(weights) ^ set(shapes))
        raise InputError(f"weights do not fit the model: {', '.join(wrong[:3])}")
    for name, shape in shapes.items():
        if weights[name].shape != shape:
            raise InputError(
                f"weight {name!r} must have shape {shape}, but got {weights[name].shape}"
            )


def parameter_count(config: GPTConfig) -> int:
    """Number of trained parameters."""
    return sum(math.prod(shape) for shape in parameter_shapes(config).values())


def parameter_group(name: str) -> str:
    """Which optimizer moves the parameter: MATRIX by Muon, EMBEDDING and SCALAR by Adam."""
    if name == "embed":
        return EMBEDDING
    return MATRIX if name.endswith(_MATRICES) else SCALAR


def initial_weights(config: GPTConfig, *, seed: int) -> Weights:
    """The weights that a run of this seed starts from, float32, by name."""
    return {
        name: _initial(config, name, shape, seed=seed)
        for name, shape in parameter_shapes(config).items()
    }


def rotary_table(config: GPTConfig) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosine and sine of the rotary angles, each (train_seq_len, head_dim / 2)."""
    half = config.head_dim // 2
    frequency = config.rope_base ** (-np.arange(half) / half)
    angle = np.outer(np.arange(config.train_seq_len), frequency)
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def _initial(
    config: GPTConfig, name: str, shape: tuple[int, ...], *, seed: int
) -> NDArray[np.float32]:
    if name == "embed":
        normal = stream(seed, "init", name).standard_normal(shape, dtype=np.float32)
        return normal * np.float32(config.embed_init_std)
    if name.endswith("proj"):  # blocks start as the identity
        return np.zeros(shape, dtype=np.float32)
    if parameter_group(name) == MATRIX:  # torch's default for a linear layer
        bound = np.float32(1.0 / math.sqrt(shape[1]))
        uniform = stream(seed, "init", name).random(shape, dtype=np.float32)
        return (2 * uniform - 1) * bound
    if name.endswith("q_gain"):
        return np.full(shape, config.qk_gain, dtype=np.float32)
    ones = np.ones(shape, dtype=np.float32)
    if name.endswith("resid_mix"):  # all of the stream, nothing of the embedding
        ones[1] = 0.0
    return ones
