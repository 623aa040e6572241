"""The program of a run: train, quantize, evaluate; or evaluate a finished artifact.

From the repository (`torchrun --standalone --nproc_per_node=8 -m` in place of `python -m` on
eight GPUs):

    python -m trainers.gpt.main --config run.json --seed 42 --output DIR --data DIR
    python -m trainers.gpt.main --config run.json --artifact DIR/model.int8.zlib --eval

With --train-only no validation shard is opened, and with --losses every target's loss is written:
that is how a referee finds out what a score rests on.

run.json holds `backend` and `config`. A submission is this file with the modules it imports and
with its run embedded, so there it is `python train_gpt.py [--eval]`. As in the competition's
scripts, DATA_PATH, TOKENIZER_PATH, SEED and MAX_WALLCLOCK_SECONDS are read from the environment.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from scripts.causal.files import InputError, atomic_path, read_json
from trainers.averaging import TRACKED
from trainers.batches import Batches
from trainers.data import DataSet, open_dataset
from trainers.engine import Engine, GridEngine
from trainers.evaluation import Tally, Validation, evaluate, target_count
from trainers.gpt.config import GPTConfig, gpt_config
from trainers.gpt.init import initial_weights
from trainers.gpt.quantizing import TrainedGrid, artifact_name, quantized_artifact
from trainers.gpt.run import batches_of, final_score, schedule_of, validation_of
from trainers.gpt.run_log import LoggedEngine, RunLog, is_first_process, open_log
from trainers.loop import Diverged, Schedule, at_rest, train, warm_up
from trainers.quantize.artifact import read_artifact
from trainers.quantize.int8 import ArtifactError

DEFAULT_DATA = "data/datasets/fineweb10B_sp{vocab_size}"  # the competition's layout
MAX_ARTIFACT_BYTES = 64 * 1024 * 1024
_ENGINES = {"torch": "TorchEngine", "mlx": "MlxEngine"}

# A wall-clock cap is turned into a number of steps before the clock starts, so that all processes
# agree and the warmdown is planned. The margin is for steps that turn out slower than the paced.
PACE_STEPS = 20
PACE_MARGIN = 0.98


@dataclass(frozen=True)
class Job:
    """What is to be run, on which data."""

    config: GPTConfig
    backend: str
    seed: int
    data: DataSet


def main(argv: Sequence[str] | None = None, *, run: Mapping[str, Any] | None = None) -> None:
    """Run the program.

    Args:
        argv: command line; left out, the process's own.
        run: `backend`, `config` and `seed` of a submission; None in the repository.
    """
    options = _options(argv, embedded=run is not None)
    try:
        job = _job(options, run if run is not None else read_json(options.config))
        if options.eval:
            beside = Path(__file__).with_name(artifact_name(job.config))
            _evaluate_artifact(
                job, options.artifact or beside, options.losses, counts_code=run is not None
            )
        else:
            _train_and_evaluate(
                job, options.output, options.steps, evaluates=not options.train_only
            )
    except (InputError, ArtifactError) as error:
        _fail(error, code=2)
    except Diverged as error:
        _fail(error, code=1)
    if leave := _engine_names(job.backend).get("leave_processes"):
        leave()


def _options(argv: Sequence[str] | None, *, embedded: bool) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train, quantize and evaluate one run.")
    if not embedded:
        parser.add_argument("--config", type=Path, required=True, help="run.json")
    parser.add_argument("--seed", type=int, help="seed of every random stream; or SEED")
    parser.add_argument("--data", type=Path, help="folder of shards; or DATA_PATH")
    parser.add_argument("--tokenizer", type=Path, help="its *.model; or TOKENIZER_PATH")
    parser.add_argument("--backend", help="another backend than the run's own")
    parser.add_argument(
        "--output", type=Path, default=Path("run"), help="folder for log and model"
    )
    parser.add_argument("--eval", action="store_true", help="evaluate the artifact, train nothing")
    parser.add_argument("--artifact", type=Path, help="with --eval; else model.* here")
    parser.add_argument(
        "--losses", type=Path, help="with --eval: write the nats of every target (.npy)"
    )
    parser.add_argument(
        "--train-only", action="store_true", help="train and quantize; open no validation shard"
    )
    parser.add_argument("--steps", type=int, help="train so many steps, not the run's own number")
    options = parser.parse_args(argv)
    if options.eval and (options.train_only or options.steps is not None):
        parser.error("--eval trains nothing")
    if options.losses and not options.eval:
        parser.error("--losses goes with --eval")
    return options


def _job(options: argparse.Namespace, run: Any) -> Job:
    """Complete the run from options and environment, and check it.

    Raises:
        InputError: a field is missing or wrong, or the data does not fit the run.
    """
    if not isinstance(run, Mapping) or not isinstance(run.get("config"), Mapping):
        raise InputError("a run needs `config`, an object of fields", mend="see --help")
    config = gpt_config(run["config"])
    backend = options.backend or run.get("backend")
    if not isinstance(backend, str):
        raise InputError("a run needs `backend`", mend='for example "torch-cuda-bfloat16"')
    seed = options.seed if options.seed is not None else os.environ.get("SEED", run.get("seed"))
    if seed is None and not options.eval:
        raise InputError("a run needs a seed", mend="give --seed or SEED")
    try:
        seed = int(seed or 0)
    except (TypeError, ValueError) as error:
        raise InputError(f"a seed must be a whole number, but got {seed!r}") from error
    layout = DEFAULT_DATA.format(vocab_size=config.vocab_size)
    folder = options.data or Path(os.environ.get("DATA_PATH") or layout)
    if not folder.is_dir():
        raise InputError("no such folder", where=folder, mend="give --data or DATA_PATH")
    tokenizer = options.tokenizer or os.environ.get("TOKENIZER_PATH")
    data = open_dataset(
        folder, Path(tokenizer) if tokenizer else None, validation=not options.train_only
    )
    if data.vocab_size != config.vocab_size:
        raise InputError(
            f"the run's vocabulary has {config.vocab_size} tokens, the data's {data.vocab_size}",
            where=folder,
        )
    return Job(config, backend, seed, data)


# --------------------------------------------------------------------------------------------
# Training


def _train_and_evaluate(job: Job, output: Path, steps: int | None, *, evaluates: bool) -> None:
    """Train, then write and judge the artifact; the log and the artifact go to `output`."""
    config, cap = job.config, _wallclock_cap()
    engine = _make_run_engine(config, job.backend)
    schedule, batches = schedule_of(config, job.seed), batches_of(config, job.data, job.seed)
    if steps is not None:
        if steps < 1:
            raise InputError(f"--steps must be at least 1, but got {steps}")
        schedule = dataclasses.replace(schedule, iterations=steps)
    weights = initial_weights(config, seed=job.seed)
    with open_log(output, job.seed) as file:
        log = RunLog(file)
        log.head(Path(__file__), config, job.backend, job.seed, job.data)
        warm_up(engine, weights, batches, schedule)
        if cap is not None:
            steps = _steps_within(cap, engine, batches, schedule)
            schedule = dataclasses.replace(schedule, iterations=steps)
            log(f"max_wallclock_seconds:{cap:g} steps:{steps} of {config.iterations}")
        grid = TrainedGrid(config, job.data, job.seed, schedule)
        curve = train(
            LoggedEngine(engine, log),
            weights,
            batches,
            schedule,
            validation_of(config, job.data, config.val_tokens) if evaluates else None,
            averages=[average for average in TRACKED if average.name == config.averaged],
            before_step=lambda step: grid.before_step(step, engine),
        )
        log.curve(curve)
        if config.averaged:
            engine.load(engine.averages()[config.averaged])
        if evaluates:
            everything = validation_of(config, job.data)
            log(f"pre_quant val_bpb:{evaluate(engine, everything).bpb:.8f}")

        artifact = quantized_artifact(
            config, engine.weights(), job.data, seed=job.seed, grids=grid.grids
        )
        log(f"artifact_bytes:{len(artifact)}")
        if is_first_process():
            with atomic_path(output / artifact_name(config)) as temporary:
                temporary.write_bytes(artifact)
        if not evaluates:
            return
        engine.load(read_artifact(artifact))
        final = final_score(engine, config, job.data)
        stored = f"{config.quant_bits}_{config.compressor}"
        log(f"final_{stored}_roundtrip_exact val_loss:{final.loss:.8f} val_bpb:{final.bpb:.8f}")


def _wallclock_cap() -> float | None:
    text = os.environ.get("MAX_WALLCLOCK_SECONDS", "")
    try:
        cap = float(text) if text else 0.0
    except ValueError:
        cap = math.nan
    if not (math.isfinite(cap) and cap >= 0):
        raise InputError(f"MAX_WALLCLOCK_SECONDS must be a number of seconds, but got {text!r}")
    return cap or None


def _steps_within(cap: float, engine: Engine, batches: Batches, schedule: Schedule) -> int:
    """Steps of the schedule that fit into `cap` seconds, the same on every process."""
    count, start, pace = min(PACE_STEPS, schedule.iterations), schedule.recurrence_start, 0.0
    for recurrent, share in ((False, start), (True, 1 - start)):
        if not share:
            continue
        started = time.perf_counter()
        for step in range(count):
            engine.step(batches.batch(step), at_rest(schedule, recurrent))
        pace += share * (time.perf_counter() - started) / count
    steps = max(1, min(schedule.iterations, int(PACE_MARGIN * cap / pace)))
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        distributed = importlib.import_module("torch.distributed")
        agreed = [steps]  # the first process's clock decides
        distributed.broadcast_object_list(agreed, src=0)
        steps = agreed[0]
    return steps


def _make_run_engine(config: GPTConfig, backend: str) -> GridEngine:
    """The backend's engine, with the other processes joined."""
    names = _engine_names(backend)
    if join := names.get("join_processes"):
        join(backend)
    engine: GridEngine = names[_ENGINES[backend.partition("-")[0]]](config, backend)
    return engine


def _engine_names(backend: str) -> Mapping[str, Any]:
    """What the module of the backend's engine holds: in a submission this file, else by import."""
    family = backend.partition("-")[0]
    if family not in _ENGINES:
        raise InputError(f"no backend {backend!r}", mend="torch-… or mlx-…")
    names = globals()
    if not any(name in names for name in _ENGINES.values()):
        names = vars(importlib.import_module(f"trainers.gpt.engine_{family}"))
    if _ENGINES[family] not in names:
        raise InputError(f"this file holds no engine for backend {backend!r}")
    return names


# --------------------------------------------------------------------------------------------
# Evaluation


@dataclass
class EveryLoss(Tally):
    """A tally that keeps every loss.

    Attributes:
        kept: nats of each target in the order of the text, shape (targets,); NaN where it has
            not been scored yet.
    """

    kept: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    def add(
        self,
        validation: Validation,
        rows: NDArray[np.int64],
        losses: NDArray[np.float32],
        scored: NDArray[np.bool_] | None = None,
        at: NDArray[np.int64] | None = None,
    ) -> None:
        """As the tally's own."""
        first = self.targets
        super().add(validation, rows, losses, scored, at)
        where = np.arange(first, self.targets) if at is None else at
        self.kept[where] = losses.ravel() if scored is None else losses[scored]


def _evaluate_artifact(
    job: Job, artifact: Path, losses: Path | None, *, counts_code: bool
) -> None:
    """Print one JSON line: the artifact's score on all of validation, and the bytes counted.

    Args:
        losses: file for the loss of every target, float32 in the order of the text; or None.

    Raises:
        InputError: the artifact is missing, too large or of another model.
        ArtifactError: it is damaged.
    """
    try:
        size = artifact.stat().st_size
        if size > MAX_ARTIFACT_BYTES:
            raise InputError(f"{size:,} bytes are too many for an artifact", where=artifact)
        packed = artifact.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=artifact) from error
    engine = _make_run_engine(job.config, job.backend)
    engine.load(read_artifact(packed))
    tally = None
    if losses is not None:
        targets = target_count(validation_of(job.config, job.data))
        tally = EveryLoss(kept=np.full(targets, np.nan, dtype=np.float32))
    score = final_score(engine, job.config, job.data, tally=tally)
    if tally is not None and losses is not None and is_first_process():
        with atomic_path(losses) as temporary, temporary.open("wb") as file:
            np.save(file, tally.kept, allow_pickle=False)
    result = {"val_bpb": score.bpb, "val_loss": score.loss, "bytes_model": size}
    if counts_code:
        result["bytes_code"] = Path(__file__).stat().st_size
        result["bytes_total"] = size + result["bytes_code"]
    if is_first_process():
        print(json.dumps(result, allow_nan=False))


def _fail(error: Exception, *, code: int) -> NoReturn:
    if is_first_process():
        print(f"error: {error}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
