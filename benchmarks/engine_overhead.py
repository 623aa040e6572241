"""What a run pays before its first step: warm in this process, and in a process of its own."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from scripts.causal.campaign.executor import InProcessExecutor
from scripts.causal.campaign.ledger import Ledger, open_ledger
from scripts.causal.campaign.run import read_chain
from trainers.api import Config, RunSpec, Trainer, load_trainer
from trainers.data import DataSet, open_dataset
from trainers.gpt.config import fields_with, gpt_config
from trainers.gpt.init import DOCUMENT_START, initial_weights
from trainers.shards import write_shard

ROOT = Path(__file__).parents[1]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@dataclass(frozen=True)
class Timing:
    """One run: seconds before its first step, to its end, and of one of its steps.

    `work` is what all steps and looks at the validation took, where that was watched.
    """

    before: float
    whole: float
    step: float
    work: float = math.nan


@dataclass
class Setting:
    """What every part of the benchmark runs on.

    Attributes:
        data: a data set whose validation is short, for both sides.
    """

    trainer: Trainer
    data: str
    scratch: Path
    overrides: dict[str, Any] = field(default_factory=dict)

    def spec(self, backend: str, scale: str, seed: int, changes: Config | None = None) -> RunSpec:
        """A run of the baseline with these fields replaced."""
        config = self.trainer.resolve(scale, {**self.overrides, **(changes or {})})
        return RunSpec("gpt", backend, scale, config, seed, self.data)


@contextmanager
def setting(steps: int, val_tokens: int, *, exactly: bool = False) -> Iterator[Setting]:
    """The default corpus with its validation cut, in a scratch folder.

    Args:
        exactly: cut in the middle of a document rather than behind one: the first has 6,358
            tokens, six times what a run of three steps on MLX is to be validated on.
    """
    trainer = load_trainer("gpt")
    whole = open_dataset(Path(trainer.default_data()))
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        scratch = Path(folder)
        overrides = {
            "iterations": steps,
            "warmdown_iters": max(1, steps // 2),
            "val_points": 1,
            "val_tokens": val_tokens,
        }
        yield Setting(
            trainer, str(cut(whole, scratch / "data", val_tokens, exactly)), scratch, overrides
        )


def cut(whole: DataSet, folder: Path, val_tokens: int, exactly: bool = False) -> Path:
    """A data set with the same training text and the first documents, or tokens, of validation."""
    folder.mkdir()
    tokens = np.asarray(whole.val_tokens())
    (starts,) = np.nonzero(tokens == DOCUMENT_START)
    end = int(starts[np.searchsorted(starts, min(val_tokens, int(starts[-1])))])
    end = val_tokens + 1 if exactly else end  # the last target has no input after it
    write_shard(folder / "fineweb_val_000000.bin", tokens[:end])
    for path in (*whole.train, whole.tokenizer):
        (folder / path.name).symlink_to(path)
    return folder


# --------------------------------------------------------------------------------------------
# In this process


class InProcess:
    """Runs one after the other by the campaign's own executor and ledger; times each."""

    def __init__(self, place: Setting, ledger: Ledger):
        self._place, self._ledger = place, ledger
        self._executor = InProcessExecutor(place.trainer, ledger)

    def run(self, spec: RunSpec) -> Timing:
        """Compute a run that the ledger does not have."""
        steps, looks = list[tuple[float, float]](), list[tuple[float, float]]()
        with watched(spec.backend, "step", steps), watched(spec.backend, "losses", looks):
            started = time.perf_counter()
            self._executor.submit(spec)
            while not self._executor.poll():
                pass
            ended = time.perf_counter()
        found = read_chain(self._place.trainer, spec, self._ledger)
        if found is None or found.failure:
            raise RuntimeError(f"the run failed: {found and found.failure}")
        taken = min(after - before for before, after in steps)
        work = sum(after - before for before, after in [*steps, *looks])
        return Timing(steps[0][0] - started, ended - started, taken, work)


@contextmanager
def watched(backend: str, name: str, spans: list[tuple[float, float]]) -> Iterator[None]:
    """Note when each call of a method of this process's engines began and ended."""
    engine: Any
    if backend.startswith("mlx"):
        from trainers.gpt.engine_mlx import MlxEngine as engine
    else:
        from trainers.gpt.engine_torch import TorchEngine as engine
    plain = getattr(engine, name)

    def timed(self: Any, *arguments: Any) -> Any:
        before = time.perf_counter()
        found = plain(self, *arguments)
        spans.append((before, time.perf_counter()))
        return found

    setattr(engine, name, timed)
    try:
        yield
    finally:
        setattr(engine, name, plain)


# --------------------------------------------------------------------------------------------
# In a process of its own


def own_program(spec: RunSpec, folder: Path) -> list[str]:
    """The command line of the trainer's own program, the same work as a run in process."""
    config = folder / "run.json"
    config.write_text(
        json.dumps({"backend": spec.backend, "seed": spec.seed, "config": dict(spec.config)})
    )
    where = ["--config", str(config), "--data", spec.data, "--output", str(folder / "out")]
    return [sys.executable, "-m", "trainers.gpt.main", *where]


def compiled_script(spec: RunSpec, folder: Path) -> list[str]:
    """The command line of the plain script under torch.compile, as the competition's are."""
    config = folder / "run.json"
    config.write_text(json.dumps({"seed": spec.seed, "config": dict(spec.config)}))
    script = str(Path(__file__).with_name("plain_gpt.py"))
    where = ["--config", str(config), "--data", spec.data, "--compile"]
    return [sys.executable, script, *where]


def in_subprocess(command: list[str], environment: Mapping[str, str] | None = None) -> Timing:
    """Start a run and follow its log; needs at least two steps."""
    started, marks = time.perf_counter(), list[float]()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **ONE_THREAD, **(environment or {})},
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("step:") and " train_loss:" in line:
                marks.append(time.perf_counter())
    ended = time.perf_counter()
    if process.returncode or len(marks) < 2:
        raise RuntimeError(f"{' '.join(command)} failed:\n{''.join(said[-20:])}")
    step = min(b - a for a, b in pairwise(marks))
    return Timing(marks[0] - step - started, ended - started, step)


# --------------------------------------------------------------------------------------------


def overhead(
    place: Setting, backend: str, scale: str, rounds: int, *, compiled: bool
) -> dict[str, Any]:
    """Start runs in process and as subprocesses in turns; medians in seconds.

    Args:
        compiled: also start the plain script under torch.compile, its disk cache warm.
    """
    programs: dict[str, Callable[[RunSpec, Path], list[str]]] = {"own program": own_program}
    environment: dict[str, str] = {}
    if compiled:
        programs["plain script, torch.compile"] = compiled_script
        environment["TORCHINDUCTOR_CACHE_DIR"] = str(place.scratch / "inductor")
    folder = place.scratch / f"overhead-{backend}"
    folder.mkdir()
    ledger = open_ledger(folder / "ledger.sqlite")
    warm = InProcess(place, ledger)
    warm.run(place.spec(backend, scale, 0))  # compiles, and reads what stays
    cold = {}
    for name, program in programs.items():  # fills the disk caches
        cold[name] = in_subprocess(program(place.spec(backend, scale, 0), folder), environment)
    timings: dict[str, list[Timing]] = {name: [] for name in ("in process", *programs)}
    for number in range(rounds):
        changes = {"matrix_lr": 0.03 + 0.001 * number, "logit_softcap": 20.0 + number}
        spec = place.spec(backend, scale, number + 1, changes)
        timings["in process"].append(warm.run(spec))
        for name, program in programs.items():
            timings[name].append(in_subprocess(program(spec, folder), environment))
    ledger.close()
    rows = {name: summary(items) for name, items in timings.items()}
    ours = rows["in process"]
    for name in programs:
        rows[name]["first_time_before"] = cold[name].before
        rows[name]["times_before"] = rows[name]["before"] / ours["before"]
        rows[name]["times_whole"] = rows[name]["whole"] / ours["whole"]
    return {"backend": backend, "scale": scale, "rounds": rounds, "rows": rows}


def summary(timings: list[Timing]) -> dict[str, float]:
    """Medians over the rounds, seconds; of a step the least."""
    return {
        "before": float(np.median([timing.before for timing in timings])),
        "whole": float(np.median([timing.whole for timing in timings])),
        "step": min(timing.step for timing in timings),
    }


def recompilations() -> dict[str, dict[str, int]]:
    """Graphs made for one architecture, and how many more for every hyperparameter changed."""
    import torch
    from torch._dynamo.testing import CompileCounter

    from trainers.gpt.model_torch import GPT

    small = {
        "num_layers": 2,
        "model_dim": 32,
        "num_heads": 2,
        "num_kv_heads": 1,
        "vocab_size": 64,
        "train_seq_len": 16,
        "train_batch_tokens": 64,
    }
    config = gpt_config(small)
    changes = [{name: other(getattr(config, name))} for name in fields_with(role="hyperparameter")]
    changes = [change for change in changes if None not in change.values()]
    counter = CompileCounter()
    # On the meta device: what CUDA would compile. On a CPU torch's engine has nothing compiled.
    model = GPT(config, torch.bfloat16, torch.bfloat16).to("meta")
    model.compile_regions(backend=counter)
    tokens = torch.zeros(4, 17, dtype=torch.long, device="meta")

    def on_torch(change: Mapping[str, Any]) -> int:
        model.configure(replace(config, **change))
        model(tokens).backward()
        model.losses(tokens)
        return counter.frame_count

    found = {"torch": counted(on_torch, changes)}
    try:
        from trainers.engine import StepSettings
        from trainers.gpt.engine_mlx import MlxEngine
    except ImportError:
        return found
    engine = MlxEngine(config)
    engine.load(initial_weights(config, seed=0))
    rows = np.zeros((4, 17), np.int64)

    def on_mlx(change: Mapping[str, Any]) -> int:
        engine.configure(vars(replace(config, **change)))
        engine.step(rows, StepSettings(0.5, 0.9))
        engine.losses(rows)
        return engine.traces

    return found | {"mlx": counted(on_mlx, changes)}


def counted(work: Callable[[Mapping[str, Any]], int], changes: list[Any]) -> dict[str, int]:
    """Graphs after the first run, changes made, and graphs that they cost."""
    first, last = work({}), 0
    for change in changes:
        last = work(change)
    return {"graphs": first, "changes": len(changes), "graphs_for_changes": last - first}


def other(value: Any) -> Any:
    """Another value of a hyperparameter; None for a word."""
    if isinstance(value, bool | str):
        return None
    return 0.7 * value if value else 0.05
