"""What a configuration means to the quantizer: its recipe, its calibration text, its artifact."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from scripts.causal.files import InputError
from trainers.data import DataSet
from trainers.engine import Tokens
from trainers.gpt.config import GPTConfig
from trainers.gpt.run import batches_of
from trainers.quantize.int8 import quantize
from trainers.quantize.knob import solved_knob
from trainers.quantize.pack import pack
from trainers.quantize.recipe import Recipe, quantized
from trainers.quantize.statistics import Inputs

# Where the knob stands when nothing else is said: 12.85 deviations (record 2026-04-05), and steps
# that come to about 4 bits for a weight.
USUAL_CLIP, USUAL_STEP = 12.85, 0.003


def artifact_name(config: GPTConfig) -> str:
    """Name of the artifact's file, which says how the weights are stored: model.int8.zlib."""
    return f"model.{config.quant_bits}.{config.compressor}"


def quantized_artifact(
    config: GPTConfig, weights: Mapping[str, NDArray[np.float32]], data: DataSet, *, seed: int
) -> bytes:
    """The artifact of these weights; with every field neutral, that of `trainers.quantize.int8`.

    Raises:
        ArtifactError: the weights cannot be stored, or not under `artifact_cap`.
        InputError: calibration is asked for where there is no torch model.
    """
    recipe, inputs = recipe_of(config), dict[str, Inputs]()
    if recipe == Recipe() and config.compressor == "zlib":
        return quantize(weights)
    if recipe.needs_calibration:
        inputs = calibration_of(config, weights, data, seed=seed)
    if config.artifact_cap:
        recipe = recipe_under(config.artifact_cap, recipe, weights, inputs, config.compressor)
    return pack(quantized(weights, recipe, inputs), config.compressor)


def recipe_of(config: GPTConfig) -> Recipe:
    """The recipe that the fields of the quantize stage spell out."""
    clip, k = "largest", 0.0
    if config.gptq == "lite":
        clip = "percentile"
    elif config.sdclip:
        clip, k = "deviation", config.quant_k or USUAL_CLIP
    elif config.curvature_steps:
        clip, k = "curvature", config.quant_k or USUAL_STEP
    return Recipe(
        bits=config.quant_bits,
        clip=clip,
        k=k,
        grouped=config.quant_group > 0,
        compensated=config.gptq == "full",
        activation_aware=config.awq,
        correction_rank=config.lqer_rank if config.lqer else 0,
        correction_count=config.lqer_count,
    )


def recipe_under(
    cap: int,
    recipe: Recipe,
    weights: Mapping[str, NDArray[np.float32]],
    inputs: Mapping[str, Inputs],
    coder: str,
) -> Recipe:
    """The recipe with its knob turned until the artifact lies just under `cap` bytes.

    Rounding to the nearest leaves about as many bytes as GPTQ does and takes a moment, so it
    says where GPTQ begins.

    Raises:
        ArtifactError: no knob does it.
    """

    def size(k: float, of: Recipe) -> int:
        return len(pack(quantized(weights, replace(of, k=k), inputs), coder))

    count = sum(value.size for value in weights.values())
    solve = partial(solved_knob, cap=cap, weights=count)
    k = recipe.k
    if recipe.compensated:
        k = solve(partial(size, of=replace(recipe, compensated=False)), start=k)
    return replace(recipe, k=solve(partial(size, of=recipe), start=k))


def calibration_of(
    config: GPTConfig, weights: Mapping[str, NDArray[np.float32]], data: DataSet, *, seed: int
) -> dict[str, Inputs]:
    """Statistics over tokens of the training split, or over text that the model writes.

    Raises:
        InputError: there is no torch model here.
    """
    sequences = max(1, config.calibration_tokens // config.train_seq_len)
    names = globals()  # in a submission everything is one file
    if "calibrate" not in names:
        try:
            names = vars(importlib.import_module("trainers.gpt.calibration"))
        except ImportError as error:
            raise InputError("there is no torch model here to calibrate with") from error
    if config.calibration == "self_generated":
        tokens = names["self_generated"](config, weights, sequences=sequences, seed=seed)
    else:
        tokens = training_tokens(config, data, sequences, seed)
    found: dict[str, Inputs] = names["calibrate"](config, weights, tokens, seed=seed)
    return found


def training_tokens(config: GPTConfig, data: DataSet, sequences: int, seed: int) -> Tokens:
    """The first sequences of the training split in the order of this seed."""
    batches, found = batches_of(config, data, seed), list[Tokens]()
    while sum(map(len, found)) < sequences:
        found.append(batches.batch(len(found)))
    return np.concatenate(found)[:sequences]
