"""The log of a run's program: its source, versions and machine first, then every step's loss."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from scripts.causal.files import InputError, canonical_json
from trainers.data import DataSet
from trainers.engine import Engine, StepSettings, Tokens, Weights
from trainers.gpt.config import GPTConfig, config_values
from trainers.gpt.init import parameter_count
from trainers.loop import TrainingCurve


class RunLog:
    """Lines to the log file and to standard output, from the first process alone."""

    def __init__(self, file: TextIO):
        self._file = file

    def __call__(self, line: str) -> None:
        """Write one line at once, so that a run can be followed."""
        if is_first_process():
            print(line, flush=True)
            print(line, file=self._file, flush=True)

    def head(
        self, program: Path, config: GPTConfig, backend: str, seed: int, data: DataSet
    ) -> None:
        """Begin the file with the source that runs, then versions, machine and run."""
        if is_first_process():
            self._file.write(_running_source(program))
        self("=" * 99)
        for name, value in _facts(config, backend, seed, data).items():
            self(f"{name}: {value}")
        self("=" * 99)

    def curve(self, curve: TrainingCurve) -> None:
        """The looks at validation that were taken on the way, and the time."""
        for step, bpb in zip(curve.val_step, curve.val_bpb, strict=True):
            self(f"step:{step} val_subset_bpb:{bpb:.6f}")
        self(f"train_seconds:{curve.seconds:.3f}")


class LoggedEngine:
    """An `Engine` that logs the loss of every step."""

    def __init__(self, engine: Engine, log: RunLog):
        self._engine, self._log, self._step = engine, log, 0

    def configure(self, config: Mapping[str, bool | int | float | str]) -> None:
        """As the engine's own."""
        self._engine.configure(config)

    def load(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """As the engine's own; counts steps from the start again."""
        self._engine.load(weights)
        self._step = 0

    def step(self, tokens: Tokens, settings: StepSettings) -> float:
        """As the engine's own."""
        loss = self._engine.step(tokens, settings)
        self._step += 1
        self._log(f"step:{self._step} train_loss:{loss:.6f}")
        return loss

    def losses(self, tokens: Tokens) -> NDArray[np.float32]:
        """As the engine's own."""
        return self._engine.losses(tokens)

    def on_grid(self) -> AbstractContextManager[None]:
        """As the engine's own."""
        return self._engine.on_grid()

    def weights(self) -> Weights:
        """As the engine's own."""
        return self._engine.weights()

    def gradient(self, tokens: Tokens, shares: NDArray[np.float32]) -> Weights:
        """As the engine's own."""
        return self._engine.gradient(tokens, shares)

    def average(self, name: str, share: float) -> None:
        """As the engine's own."""
        self._engine.average(name, share)

    def averages(self) -> dict[str, Weights]:
        """As the engine's own."""
        return self._engine.averages()


def open_log(output: Path, seed: int) -> TextIO:
    """The log file of a run with this seed, open for writing; the first process's alone.

    Raises:
        InputError: it cannot be written.
    """
    path = output / f"train_seed{seed}.log" if is_first_process() else Path(os.devnull)
    try:
        output.mkdir(parents=True, exist_ok=True)
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=path) from error


def is_first_process() -> bool:
    """Whether this is the process that speaks for all of them."""
    return os.environ.get("RANK", "0") == "0"


def _running_source(program: Path) -> str:
    """Text of the program and of every module of this project it runs (none, when bundled)."""
    ours = {
        Path(module.__file__)
        for name, module in sys.modules.items()
        if name.partition(".")[0] in ("scripts", "trainers") and module.__file__
    }
    files = [program, *sorted(ours - {program})]
    return "\n".join(path.read_text(encoding="utf-8") for path in files).rstrip("\n") + "\n"


def _facts(config: GPTConfig, backend: str, seed: int, data: DataSet) -> dict[str, str]:
    facts = {"python": platform.python_version()}
    for package in ("numpy", "sentencepiece", backend.partition("-")[0]):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    facts["machine"] = f"{platform.platform()}, {os.cpu_count()} CPUs"
    if "cuda" in backend and (tool := shutil.which("nvidia-smi")):
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
        facts["gpus"] = "; ".join(listed.stdout.split("\n")).strip("; ")
    facts["processes"] = os.environ.get("WORLD_SIZE", "1")
    facts["backend"], facts["seed"] = backend, str(seed)
    facts["parameters"] = str(parameter_count(config))
    facts["config"] = canonical_json(config_values(config))
    facts["data"] = data.fingerprint
    return facts
