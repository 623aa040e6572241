"""A model of the records' size under the cap: seconds and memory, in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

CAP_BYTES = 15_900_000  # the program needs the rest of the 16,000,000
SHAPE: dict[str, Any] = {"num_layers": 11, "model_dim": 512, "mlp_mult": 3.0}
CALIBRATION_TOKENS = 4096


def large(quick: bool) -> dict[str, Any]:
    """Pack 11 layers × 512 just under the cap; quick takes the tiny shape."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(packed_large, quick).result()


def packed_large(quick: bool) -> dict[str, Any]:
    """In this process: random weights of the trained size, calibration, knob, artifact, and back.

    The weights are drawn, since only their number and spread decide bytes and seconds: a normal
    distribution per matrix leaves an entropy coder the least to gain.
    """
    import numpy as np

    from trainers.data import open_dataset
    from trainers.gpt.config import gpt_config
    from trainers.gpt.init import parameter_shapes
    from trainers.gpt.quantizing import quantized_artifact
    from trainers.gpt.trainer import GptTrainer
    from trainers.quantize.artifact import read_artifact
    from trainers.seeds import stream

    trainer = GptTrainer()
    fields = {
        "curvature_steps": True,
        "gptq": "full",
        "compressor": "ans",
        "calibration_tokens": CALIBRATION_TOKENS,
        "artifact_cap": 40_000 if quick else CAP_BYTES,
    }
    config = gpt_config(
        trainer.resolve("tiny", fields) if quick else trainer.resolve("baseline", SHAPE | fields)
    )
    weights = {
        name: stream(0, "large", name).standard_normal(shape, np.float32)
        * np.float32(shape[-1] ** -0.5 if len(shape) == 2 else 0.1)
        for name, shape in parameter_shapes(config).items()
    }
    data = open_dataset(Path(trainer.default_data()))
    started, before = time.perf_counter(), time.process_time()
    packed = quantized_artifact(config, weights, data, seed=0)
    writing, middle = time.perf_counter() - started, time.process_time()
    read_artifact(packed)
    count = sum(value.size for value in weights.values())
    return {
        "parameters": count,
        "bytes": len(packed),
        "bits": 8 * len(packed) / count,
        "cap": config.artifact_cap,
        "seconds_to_pack": round(writing, 1),
        "processor_seconds_to_pack": round(middle - before, 1),
        "processor_seconds_to_unpack": round(time.process_time() - middle, 1),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
