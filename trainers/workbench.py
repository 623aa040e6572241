"""What a run works with, laid out for those who look inside it, and how a checkpoint is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from scripts.causal.files import InputError
from trainers.batches import Batches
from trainers.data import DataSet
from trainers.engine import Engine, Weights
from trainers.evaluation import Validation
from trainers.loop import Schedule

WEIGHTS_FILE = "weights.safetensors"  # in the folder of a stage that ends with weights
MAX_CHECKPOINT_BYTES = 2**32  # a billion weights; what fits in 16 MB has under a tenth of that


@dataclass(frozen=True)
class Workbench:
    """A run's parts before anything has run, the same for every backend.

    Attributes:
        engine: the model; per-token losses and gradients by parameter name are its methods.
        start: the weights that the run starts from.
        batches: training batches in the run's order.
        schedule: what happens at which step.
        validation: all of it, in sequences side by side.
        data: the data set.
        stored_weights: folder of a QUANTIZE stage's files → the weights its evaluation loads.
    """

    engine: Engine
    start: Weights
    batches: Batches
    schedule: Schedule
    validation: Validation
    data: DataSet
    stored_weights: Callable[[Path], Weights]


def read_checkpoint(path: Path) -> Weights:
    """The weights of a safetensors file by name, float32.

    Raises:
        InputError: missing, too large, not a safetensors file or a damaged one, or a weight that
            is no floating-point number or not finite.
    """
    try:
        if not path.is_file():
            raise InputError("no such checkpoint", where=path)
        if path.stat().st_size > MAX_CHECKPOINT_BYTES:
            raise InputError("too large for a checkpoint", where=path)
        with safe_open(path, framework="numpy") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, TypeError, ValueError) as error:  # the latter: a type NumPy lacks
        raise InputError(f"is not a whole safetensors file: {error}", where=path) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=path) from error
    weights: Weights = {}
    for name, values in found.items():
        if values.dtype.kind != "f" or not np.isfinite(values).all():
            raise InputError(f"weight {name!r} holds what is no finite number", where=path)
        weights[name] = values.astype(np.float32)
    return weights
