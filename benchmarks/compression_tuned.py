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

STEPS, QUICK_STEPS = 9600, 6
# Where the search begins: at .0021 the gap was .0042, at .0020 .0038 (int8 + zlib: .0036).
FIRST_K = 0.00199
TRIES, ENOUGH = 3, 0.8  # of 45 minutes each; share of the gap at which no more are made
AIM = 0.98  # share of the gap that a try is to have: it must not be above
USUAL_POWER, POWERS = 2.0, (1.2, 4.0)  # of the knob, with which the gap goes; those believed


def tuned_at_gap(
    model: Subject, gap: float, recipe: Recipe, coder: str, *, quick: bool
) -> dict[str, Any]:
    """The smallest artifact found whose gap is no larger, and all that were tried."""
    tries = list[dict[str, Any]]()
    steps = QUICK_STEPS if quick else STEPS
    config = replace(model.config, curvature_steps=True, gptq="full", distill_steps=steps)
    k = FIRST_K
    for _ in range(TRIES):
        started = time.perf_counter()
        arrays = quantized_by_training(
            config, model.weights, replace(recipe, k=k), model.inputs, model.data, seed=SEED
        )
        seconds = round(time.perf_counter() - started, 1)
        packed = pack(arrays, coder)
        stored = read_artifact(packed)
        found = model.gap(stored)
        bits = 8 * len(packed) / model.parameters
        told = {"k": k, "bytes": len(packed), "bits": bits, "gap": found}
        told["divergence"] = model.divergence(stored)
        tries.append(told | {"seconds": seconds, "seconds_a_step": round(seconds / steps, 3)})
        if ENOUGH * gap < found <= gap:
            break
        k = next_knob([(told["k"], told["gap"]) for told in tries], AIM * gap)
    within = [told for told in tries if told["gap"] <= gap]
    return min(within or tries, key=lambda told: told["bytes"]) | {"tries": tries}


def next_knob(tries: list[tuple[float, float]], gap: float) -> float:
    """A knob for this gap, of which gaps are a power; from the two tries that are nearest to it.

    Args:
        tries: knobs and the gaps that they gave.
    """
    logs = [(np.log(k), np.log(max(found, 1e-6) / max(gap, 1e-6))) for k, found in tries]
    logs.sort(key=lambda entry: abs(entry[1]))
    (at, over), power = logs[0], USUAL_POWER
    if len(logs) > 1 and logs[1][0] != at:
        power = float(np.clip((logs[1][1] - over) / (logs[1][0] - at), *POWERS))
    return float(np.exp(at + np.clip(-over / power, np.log(0.5), np.log(1.5))))
