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
from trainers.gpt.mlp_shapes import mlp_shapes
from trainers.seeds import stream

# Machine epsilon of float32, torch's default; given explicitly, since under bfloat16 torch would
# take that type's epsilon (0.0078), and so that MLX takes the same.
RMS_EPS = 1.1920929e-07

# The grids of `trainers.quantize`, which training on them must know and may not depend on.
GRID_TOPS, GRID_SMALLEST, GRID_MIN_SIDE = {"int8": 127, "int6": 31, "int5": 15}, 2.0**-24, 16

EMBEDDING, HEAD, MATRIX, SCALAR = "embedding", "head", "matrix", "scalar"
_TABLES = ("embed", "bigram.table", "value_embed.table")
_MATRICES = ("attn.q", "attn.k", "attn.v", "attn.proj", "bigram.up", "value_embed.up")

GATE_CHANNELS = 12  # of the stream that a small gate reads (PR 1667, PR 1851)
BIGRAM_FACTORS = (32749, 27191)  # primes whose product with a token stays below 2^31
DOCUMENT_START = 1  # the token that opens a document, here and in the competition's shards


def parameter_shapes(config: GPTConfig) -> dict[str, tuple[int, ...]]:
    """Every parameter by name, in model order. Linear layers are (out, in)."""
    dim, kv_dim = config.model_dim, config.num_kv_heads * config.head_dim
    shapes: dict[str, tuple[int, ...]] = {"embed": (config.vocab_size, dim)}
    if not config.tied_embeddings:
        shapes["head"] = (config.vocab_size, dim)
    if config.num_skips:
        shapes["skip_weights"] = (config.num_skips, dim)
    shapes |= _embedding_shapes(config)
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
            **attention_extras(config, layer),
            **{f"mlp.{name}": shape for name, shape in mlp_shapes(config).items()},
        }
        shapes |= {f"blocks.{layer}.{name}": shape for name, shape in block.items()}
    return shapes


def _embedding_shapes(config: GPTConfig) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    if config.bigram_hash:
        shapes["bigram.table"] = (config.bigram_hash, config.bigram_dim)
        shapes["bigram.up"] = (config.model_dim, config.bigram_dim)
        shapes["bigram.scale"] = (1,)
    if config.smear_gate:
        shapes["smear.gate"] = (min(GATE_CHANNELS, config.model_dim),)
        shapes["smear.scale"] = (1,)
    if config.value_embedding:
        width = config.value_embedding_dim
        shapes["value_embed.table"] = (config.vocab_size, width)
        shapes["value_embed.up"] = (config.num_kv_heads * config.head_dim, width)
    return shapes


def attention_extras(config: GPTConfig, layer: int) -> dict[str, tuple[int, ...]]:
    """What a layer's attention has beyond the baseline's, by the name it has there."""
    shapes: dict[str, tuple[int, ...]] = {}
    if config.value_residual and layer > 0:
        shapes["attn.value_mix"] = (1,)
    if takes_value_embedding(config, layer):
        shapes["attn.value_scale"] = (1,)
    if config.gated_attention:
        shapes["attn.gate"] = (config.num_heads, min(GATE_CHANNELS, config.model_dim))
    return shapes


def takes_value_embedding(config: GPTConfig, layer: int) -> bool:
    """Whether this layer adds the value embedding to its values."""
    return config.value_embedding and layer >= config.num_layers - config.value_embedding_layers


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
    """Which optimizer moves the parameter: MATRIX by Muon, the others by Adam."""
    if name == "head":
        return HEAD
    if name in _TABLES:
        return EMBEDDING
    return MATRIX if name.endswith(_MATRICES) or ".mlp." in name else SCALAR


def lookup_tables(config: GPTConfig) -> tuple[str, ...]:
    """Parameters that are read by row and multiply nothing."""
    tables = _TABLES[1:] if config.tied_embeddings else _TABLES
    return tuple(name for name in tables if name in parameter_shapes(config))


def initial_weights(config: GPTConfig, *, seed: int) -> Weights:
    """The weights that a run of this seed starts from, float32, by name."""
    return {
        name: _initial(config, name, shape, seed=seed)
        for name, shape in parameter_shapes(config).items()
    }


def rotary_table(config: GPTConfig) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosine and sine of the rotary angles, each (train_seq_len, head_dim / 2).

    `rope_dims = partial` turns a quarter of a head's channels (16 of 64, PR 315) and leaves the
    others as they are: their angle is 0. The channels turned together are those of the full
    rotation, i and i + head_dim / 2, so the turned ones are not the first quarter. Which they are
    is a matter of naming, since rows of the query and key matrices all start alike.
    """
    half = config.head_dim // 2
    turned = half if config.rope_dims == "full" else max(1, config.head_dim // 8)
    frequency = config.rope_base ** (-np.arange(turned) / turned)
    frequency = np.concatenate((frequency, np.zeros(half - turned)))
    angle = np.outer(np.arange(config.train_seq_len), frequency)
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


# Initial values of parameters that are not drawn, by the end of the name.
_CONSTANTS = {
    "proj": 0.0,  # blocks start as the identity
    "head": 0.0,
    "bigram.table": 0.0,  # the bigrams and the value embedding start as nothing
    "bigram.scale": 0.05,
    "value_embed.up": 0.0,
    "smear.gate": 0.0,
    "smear.scale": 0.0,  # no smearing at the start
    "attn.value_mix": 0.0,  # through a sigmoid: an even mix
    "attn.gate": 0.0,  # through twice a sigmoid: open
}
_NORMALS = {"value_embed.table": 0.01}  # standard deviation


def _initial(
    config: GPTConfig, name: str, shape: tuple[int, ...], *, seed: int
) -> NDArray[np.float32]:
    for ending, value in _CONSTANTS.items():
        if name.endswith(ending):
            return np.full(shape, value, dtype=np.float32)
    if parameter_group(name) == EMBEDDING:
        normal = stream(seed, "init", name).standard_normal(shape, dtype=np.float32)
        # As upstream: only an embedding that is the output layer too starts small.
        token = config.embed_init_std if config.tied_embeddings else 1.0
        return normal * np.float32(_NORMALS.get(name, token))
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
