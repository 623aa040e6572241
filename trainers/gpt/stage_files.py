"""What a GPT's stages leave in their folders for the next one, beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.numpy import load_file, save_file

from scripts.causal.files import InputError, atomic_path
from trainers.engine import Weights
from trainers.gpt.config import GPTConfig
from trainers.quantize.artifact import read_artifact
from trainers.quantize.lattice import Grid
from trainers.workbench import WEIGHTS_FILE

AVERAGES_FILE, GRID_FILE = "averages.safetensors", "grid.safetensors"


def save_weights(weights: Weights, folder: Path) -> None:
    """What the next stage goes on with."""
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        save_file(weights, temporary)


def read_weights(folder: Path) -> Weights:
    """What `save_weights` wrote."""
    return load_file(folder / WEIGHTS_FILE)


def save_averages(averages: Mapping[str, Weights], folder: Path) -> None:
    """All averages that training kept, by the average's name."""
    flat = {
        f"{average}/{name}": value
        for average, weights in averages.items()
        for name, value in weights.items()
    }
    with atomic_path(folder / AVERAGES_FILE) as temporary:
        save_file(flat, temporary)


def read_average(average: str, folder: Path) -> Weights:
    """The weights of one of them."""
    start = f"{average}/"
    return {
        name.removeprefix(start): value
        for name, value in load_file(folder / AVERAGES_FILE).items()
        if name.startswith(start)
    }


def save_grids(grids: Mapping[str, Grid], folder: Path) -> None:
    """The grids that the weights beside them were trained on; nothing where there are none."""
    if not grids:
        return
    flat = {f"{name}/step": steps for name, (steps, _) in grids.items()}
    flat |= {f"{name}/column": columns for name, (_, columns) in grids.items()}
    with atomic_path(folder / GRID_FILE) as temporary:
        save_file(flat, temporary)


def read_grids(config: GPTConfig, folder: Path) -> dict[str, Grid]:
    """The grids that weights of this configuration were trained on.

    Raises:
        InputError: they are missing.
    """
    if not config.qat_k:
        return {}
    if not (folder / GRID_FILE).is_file():
        raise InputError("the grid that the weights were trained on is missing", where=folder)
    flat = load_file(folder / GRID_FILE)
    names = sorted(name.removesuffix("/step") for name in flat if name.endswith("/step"))
    return {name: (flat[f"{name}/step"], flat[f"{name}/column"]) for name in names}


def stored_weights(folder: Path) -> Weights:
    """The weights that the folder's only artifact holds.

    Raises:
        InputError: there is none, or several.
        ArtifactError: it is damaged.
    """
    found = sorted(folder.glob("model.*"))
    if len(found) != 1:
        raise InputError(f"{len(found)} artifacts where there should be one", where=folder)
    return read_artifact(found[0].read_bytes())
