"""What training as it quantizes makes of a gap."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from compression_model import SEED, Subject

from trainers.gpt.quantizing import quantized_by_training
from trainers.quantize.artifact import read_artifact
from trainers.quantize.pack import pack
from trainers.quantize.recipe import Recipe

STEPS, QUICK_STEPS = 600, 6
COARSER = 1.3  # than GPTQ's the grid may about be at the same gap
TRIES = 2  # of some minutes each


def tuned_at_gap(
    model: Subject, gap: float, recipe: Recipe, coder: str, *, quick: bool
) -> dict[str, Any]:
    """The smallest artifact found whose gap is no larger.

    Args:
        recipe: with whose knob GPTQ at once has about this gap.
    """
    tries = list[dict[str, Any]]()
    steps = QUICK_STEPS if quick else STEPS
    config = replace(model.config, curvature_steps=True, gptq="full", distill_steps=steps)
    k = COARSER * recipe.k
    for _ in range(TRIES):
        started = time.perf_counter()
        arrays = quantized_by_training(
            config, model.weights, replace(recipe, k=k), model.inputs, model.data, seed=SEED
        )
        seconds = round(time.perf_counter() - started, 1)
        packed = pack(arrays, coder)
        found = model.gap(read_artifact(packed))
        bits = 8 * len(packed) / model.parameters
        tries.append(
            {"k": k, "bytes": len(packed), "bits": bits, "gap": found, "seconds": seconds}
        )
        if 0.8 * gap < found <= gap:
            break
        # The gap goes as the knob squared.
        k *= float(np.clip(np.sqrt(0.9 * max(gap, 1e-6) / max(found, 1e-6)), 0.5, 1.5))
    within = [told for told in tries if told["gap"] <= gap]
    return min(within or tries, key=lambda told: told["bytes"])
