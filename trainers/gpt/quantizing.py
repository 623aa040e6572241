"""What a configuration means to the quantizer: its recipe, its calibration text, its artifact."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.causal.files import InputError
from trainers.data import DataSet
from trainers.engine import GridEngine, Tokens
from trainers.gpt.config import GPTConfig
from trainers.gpt.run import batches_of
from trainers.loop import Schedule
from trainers.quantize.int8 import is_quantized, quantize
from trainers.quantize.knob import solved_knob
from trainers.quantize.lattice import Grid, Lattice, lattice
from trainers.quantize.pack import Stored, pack
from trainers.quantize.recipe import Recipe, quantized
from trainers.quantize.statistics import Inputs

# Where the knob stands when nothing else is said: 12.85 deviations (record 2026-04-05), and steps
# that came to 4.1 bits for a weight of a model of 575,116 trained on 20 M tokens.
USUAL_CLIP, USUAL_STEP = 12.85, 0.001
# For the grid that training goes on: it is taken at the first step there and again where half the
# steps are left, since both weights and curvature move. Tokens of each calibration.
GRID_TAKEN, GRID_TOKENS = (0.0, 0.5), 16384
LEAN = 0.4  # of grids that training puts a model on: at equal divergence .06 bits less than 0


def artifact_name(config: GPTConfig) -> str:
    """Name of the artifact's file, which says how the weights are stored: model.int8.zlib."""
    return f"model.{config.quant_bits}.{config.compressor}"


def quantized_artifact(
    config: GPTConfig,
    weights: Mapping[str, NDArray[np.float32]],
    data: DataSet,
    *,
    seed: int,
    grids: Mapping[str, Grid] | None = None,
) -> bytes:
    """The artifact of these weights; with every field neutral, that of `trainers.quantize.int8`.

    Args:
        grids: that the weights were trained on, with `qat_k`: they are stored on them.

    Raises:
        ArtifactError: the weights cannot be stored, or not under `artifact_cap`.
        InputError: calibration is asked for where there is no torch model.
    """
    if grids:
        lattices = {name: Lattice.whole(*grid) for name, grid in grids.items()}
        return pack(quantized(weights, Recipe(), lattices=lattices), config.compressor)
    recipe, inputs = recipe_of(config), dict[str, Inputs]()
    if recipe == Recipe() and config.compressor == "zlib":
        return quantize(weights)
    if recipe.needs_calibration:
        inputs = calibration_of(config, weights, data, seed=seed)
    cap = aim = config.artifact_cap
    while True:
        if cap:
            recipe = recipe_under(aim, recipe, weights, inputs, config.compressor)
        if not config.distill_steps:
            return pack(quantized(weights, recipe, inputs), config.compressor)
        stored = quantized_by_training(config, weights, recipe, inputs, data, seed=seed)
        artifact = pack(stored, config.compressor)
        if not cap or len(artifact) <= cap:
            return artifact
        aim -= len(artifact) - cap  # training may add a few bytes to what GPTQ had


def quantized_by_training(
    config: GPTConfig,
    weights: Mapping[str, NDArray[np.float32]],
    recipe: Recipe,
    inputs: Mapping[str, Inputs],
    data: DataSet,
    *,
    seed: int,
) -> list[Stored]:
    """As `quantized`, but what rounding spoils is trained away (`trainers.gpt.distilling`)."""
    lattices = {
        name: lattice(weights[name], known, recipe.k, states=recipe.trellis, lean=LEAN)
        for name, known in inputs.items()
        if is_quantized(weights[name].shape)
    }
    distilled = _defined("trainers.gpt.distilling")["distilled"]
    batch, steps = batches_of(config, data, seed).batch, config.distill_steps
    tuned = distilled(config, weights, inputs, lattices, batch, steps=steps)
    return quantized(tuned, recipe, inputs, lattices)


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
        trellis=config.trellis_states,
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
    names = _defined("trainers.gpt.calibration")
    if config.calibration == "self_generated":
        tokens = names["self_generated"](config, weights, sequences=sequences, seed=seed)
    else:
        tokens = training_tokens(config, data, sequences, seed)
    found: dict[str, Inputs] = names["calibrate"](config, weights, tokens, seed=seed)
    return found


def _defined(module: str) -> Mapping[str, Any]:
    """What a module that needs torch defines; in a submission everything is one file."""
    if "calibrate" in globals():
        return globals()
    try:
        return vars(importlib.import_module(module))
    except ImportError as error:
        raise InputError("there is no torch model here to calibrate with") from error


@dataclass
class TrainedGrid:
    """The grid of curvature steps that late training goes on, taken as it goes (`qat_k`).

    Attributes:
        grids: of each matrix the steps of rows and columns, as last taken; none without `qat_k`.
    """

    config: GPTConfig
    data: DataSet
    seed: int
    schedule: Schedule
    grids: dict[str, Grid] = field(default_factory=dict)

    def before_step(self, step: int, engine: GridEngine) -> None:
        """Take the grid from the engine's weights where it is due."""
        if step not in self._due:
            return
        weights = engine.weights()
        tokens = training_tokens(
            self.config, self.data, max(1, GRID_TOKENS // self.config.train_seq_len), self.seed
        )
        found = _defined("trainers.gpt.calibration")["calibrate"](
            self.config, weights, tokens, seed=self.seed
        )
        steps = {
            name: lattice(weights[name], found[name], self.config.qat_k, split=False)
            for name in sorted(found)
            if is_quantized(weights[name].shape)
        }
        self.grids = {name: (known.rows, known.columns) for name, known in steps.items()}
        engine.set_grids(self.grids)

    @cached_property
    def _due(self) -> frozenset[int]:
        late = self.schedule.quantized_steps() if self.config.qat_k else range(0)
        return frozenset(late.start + int(share * len(late)) for share in GRID_TAKEN if late)


def training_tokens(config: GPTConfig, data: DataSet, sequences: int, seed: int) -> Tokens:
    """The first sequences of the training split in the order of this seed."""
    batches, found = batches_of(config, data, seed), list[Tokens]()
    while sum(map(len, found)) < sequences:
        found.append(batches.batch(len(found)))
    return np.concatenate(found)[:sequences]
