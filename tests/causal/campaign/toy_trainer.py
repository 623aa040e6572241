"""A real trainer, small: a least-squares fit by SGD in NumPy, rounded to int8, evaluated."""

import os
import signal
import time
import zlib
from pathlib import Path

import numpy as np

from scripts.causal.files import InputError, canonical_json, digest
from trainers.api import RunFailed, StageKind, StagePlan, StageResult
from trainers.seeds import stream

DEFAULTS = {
    "model_dim": 8,
    "iterations": 40,
    "warmdown_iters": 20,
    "learning_rate": 0.05,
    "activation": "linear",
    "quant_bits": 8,
    "step_seconds": 0.0,
    "accident": "",  # a file: while it is there the process kills itself, and the file goes
}
SCALES = {"tiny": {}, "slow": {"step_seconds": 0.002}}
QUANTIZE_FIELDS = ("quant_bits",)


class ToyTrainer:
    """y = f(Xw) with noise; bpb is the mean squared error on held-out rows, in bits."""

    name = "toy"

    def resolve(self, scale, overrides):
        if scale not in SCALES:
            raise InputError(f"no scale {scale!r}", mend=f"scales: {', '.join(SCALES)}")
        if unknown := set(overrides) - set(DEFAULTS):
            raise InputError(f"the toy trainer has no field {sorted(unknown)[0]!r}")
        return {**DEFAULTS, **SCALES[scale], **overrides}

    def backends(self):
        return ["numpy-cpu-float64"]

    def default_data(self, progress=None):
        return "toy-data"

    def stages(self, spec):
        config = dict(spec.config)
        late = {name: config.pop(name) for name in QUANTIZE_FIELDS}
        config.pop("step_seconds")
        root = [self.name, spec.backend, str(spec.seed), spec.data, "code-1"]
        plans, key = [], None
        for kind, read in (
            (StageKind.TRAIN, config),
            (StageKind.QUANTIZE, late),
            (StageKind.EVALUATE, {}),
        ):
            parent, key = key, digest(*root, kind, canonical_json(read), key or "")
            plans.append(StagePlan(kind=kind, key=key, parent=parent, spec=spec))
        return tuple(plans)

    def execute(self, plan, parent, output, progress=None):
        assert not list(output.iterdir()), "the stage's folder must be empty"
        work = {"train": _train, "quantize": _quantize, "evaluate": _evaluate}[plan.kind]
        return work(plan.spec, parent, output, progress)

    def flops_per_step(self, config):
        return 100.0 * config["model_dim"]

    def parameters(self, config):
        return config["model_dim"]

    def artifact_file(self, config):
        return "model.json"

    def source_modules(self, backend):
        return ("toy_trainer",)


def _rows(seed, dim, part, count):
    generator = stream(seed, "data", part)
    inputs = generator.normal(size=(count, dim))
    return inputs, inputs.sum(axis=1) + 0.1 * generator.normal(size=count)


def _bits(weights, seed):
    inputs, targets = _rows(seed, len(weights), "validation", 200)
    return float(np.mean((inputs @ weights - targets) ** 2) / np.log(2))


def _train(spec, parent, output, progress):
    config, began = spec.config, time.perf_counter()
    _accident(config["accident"])
    weights = np.zeros(config["model_dim"])
    inputs, targets = _rows(spec.seed, config["model_dim"], "train", 512)
    order = stream(spec.seed, "order")
    losses = []
    for step in range(config["iterations"]):
        time.sleep(config["step_seconds"])
        batch = order.integers(0, len(inputs), 16)
        error = inputs[batch] @ weights - targets[batch]
        if config["activation"] == "tanh":
            error = np.tanh(error)
        left = (config["iterations"] - step) / max(config["warmdown_iters"], 1)
        rate = config["learning_rate"] * min(1.0, left)
        weights -= rate * inputs[batch].T @ error / 16
        losses.append(float(np.mean(error**2)))
        if not np.isfinite(losses[-1]) or losses[-1] > 1e6:
            raise RunFailed(f"diverged: training loss {losses[-1]:.3g} at step {step}")
        if progress is not None:
            progress((step + 1) / config["iterations"])
    np.save(output / "weights.npy", weights)
    return StageResult(
        metrics={
            "pre_quant_bpb": _bits(weights, spec.seed),
            "parameters": float(len(weights)),
            "seconds": time.perf_counter() - began,
            "threads": float(os.environ.get("OMP_NUM_THREADS", 0)),
        },
        curves={"step": [float(i) for i in range(len(losses))], "train_loss": losses},
    )


def _quantize(spec, parent, output, progress):
    weights = np.load(parent / "weights.npy", allow_pickle=False)
    scale = np.abs(weights).max() / (2 ** (spec.config["quant_bits"] - 1) - 1)
    rounded = np.round(weights / scale) * scale
    np.save(output / "rounded.npy", rounded)
    return StageResult(metrics={"artifact_bytes": float(len(zlib.compress(rounded.tobytes())))})


def _evaluate(spec, parent, output, progress):
    rounded = np.load(parent / "rounded.npy", allow_pickle=False)
    return StageResult(metrics={"val_bpb": _bits(rounded, spec.seed)})


def _accident(marker):
    if marker == "bug":
        raise TypeError("a bug in the trainer")
    if marker and Path(marker).exists():
        Path(marker).unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    if marker.endswith("always"):
        os.kill(os.getpid(), signal.SIGKILL)
