"""Round trips, and what becomes of an artifact that is not whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.quantize.artifact import read_artifact, restored
from trainers.quantize.header import CODERS
from trainers.quantize.int8 import ArtifactError
from trainers.quantize.pack import BEST, pack, parts_of
from trainers.quantize.recipe import Recipe, quantized
from trainers.quantize.statistics import Inputs


def faults(
    weights: Mapping[str, NDArray[np.float32]],
    inputs: Mapping[str, Inputs],
    recipe: Recipe,
    mutations: int,
) -> dict[str, Any]:
    """Every coder there and back, then mutations of which each must be an ArtifactError."""
    arrays, not_exact, trips = quantized(weights, recipe, inputs), 0, 0
    expected, packed = restored(parts_of(arrays)), b""
    for coder in (*CODERS, BEST):
        try:
            packed = pack(arrays, coder)
        except ArtifactError:  # its package is not installed
            continue
        found = read_artifact(packed)
        same = all(np.array_equal(found[name], expected[name]) for name in expected)
        not_exact += not (same and set(found) == set(expected))
        trips += 1
    small = pack(quantized(dict(sorted(weights.items())[:6]), replace(recipe, k=1.0), inputs))
    generator, counts = np.random.default_rng(0), {"caught": 0, "not_caught": 0}
    for number in range(mutations):
        counts[_caught(mutated(small, number, generator))] += 1
    return {"round_trips": trips, "not_exact": not_exact, "mutations": mutations, **counts}


def mutated(artifact: bytes, number: int, generator: np.random.Generator) -> bytes:
    """Cut off, with one bit turned over, with bytes added, or with a stretch overwritten."""
    at = int(generator.integers(0, len(artifact)))
    match number % 4:
        case 0:
            return artifact[:at]
        case 1:
            turned = artifact[at] ^ (1 << int(generator.integers(0, 8)))
            return artifact[:at] + bytes([turned]) + artifact[at + 1 :]
        case 2:
            return artifact + generator.bytes(1 + at % 64)
        case _:
            noise = generator.bytes(16)
            changed = artifact[:at] + noise + artifact[at + 16 :]
            return changed if changed != artifact else artifact[:-1]


def _caught(artifact: bytes) -> str:
    try:
        read_artifact(artifact)
    except ArtifactError:
        return "caught"
    return "not_caught"
