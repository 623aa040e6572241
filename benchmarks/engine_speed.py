"""A step of the engine against the plain loop's, what a processor could do, and memory.

Each loop has a process of its own, as in use: what the engine asks of the allocator would
otherwise help the plain loop too. They take turns, a few steps each, so that a busy machine slows
them alike. Compared are the quickest steps, and the median step in processor time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from plain_gpt import PlainLoop

from trainers.data import open_dataset
from trainers.gpt.config import GPTConfig, gpt_config
from trainers.gpt.cost import training_flops_per_step
from trainers.gpt.init import initial_weights
from trainers.gpt.run import batches_of, schedule_of

PEAK_SIZE = 2048  # rows and columns of the matrices that the peak is measured with
PLAIN, PLAIN_THREADS = "plain float32", "plain float32, all threads"
KINDS = {  # first words of an operation's name → kind of work, in this order
    "matrix products": ("mm", "bmm", "addmm", "baddbmm", "linear", "matmul", "mkldnn"),
    "softmax and loss": ("_softmax", "softmax", "_log_softmax", "sigmoid", "gather", "scatter"),
    "embedding": ("embedding", "index"),
    "normalisation": ("_fused_rms", "rms_norm", "norm", "rsqrt", "linalg"),
    "conversion and copies": ("copy_", "_to_copy", "to", "cat", "stack", "clone", "contiguous"),
    "optimizer": ("_foreach", "_fused_adam"),
}


@dataclass(frozen=True)
class Job:
    """What a loop's process is to run, on the batches of seed 0.

    Attributes:
        loop: a torch backend, or one of the plain loops.
        seed: of the initial weights.
    """

    loop: str
    config: GPTConfig
    data: str
    seed: int


def serve(job: Job, line: Connection) -> None:
    """Answer until None: "step" → (seconds, processor seconds, loss), "peak", "profile"."""
    os.environ["KINETO_LOG_LEVEL"] = "5"  # the profiler is not to speak
    import torch

    if job.loop != PLAIN_THREADS:
        torch.set_num_threads(1)
    loop = make_loop(job)
    batches = batches_of(job.config, open_dataset(Path(job.data)), 0)
    schedule, step = schedule_of(job.config), 0

    def one() -> tuple[float, float, float]:
        nonlocal step
        started, worked = time.perf_counter(), time.process_time()
        loss = loop.step(batches.batch(step), schedule.settings(step))
        step += 1
        return time.perf_counter() - started, time.process_time() - worked, loss

    while (asked := line.recv()) is not None:
        if asked == "step":
            line.send(one())
        elif asked == "peak":
            line.send(matrix_seconds(job.loop))
        else:
            line.send(profile(one))


def make_loop(job: Job) -> Any:
    """The loop, its weights loaded."""
    if job.loop in (PLAIN, PLAIN_THREADS):
        return PlainLoop(job.config, job.seed)
    from trainers.gpt.engine_torch import TorchEngine

    engine = TorchEngine(job.config, job.loop)
    engine.load(initial_weights(job.config, seed=job.seed))
    return engine


def matrix_seconds(backend: str) -> float:
    """Processor seconds of one large matrix product in the backend's type."""
    import torch

    kind = torch.bfloat16 if backend.endswith("bfloat16") else torch.float32
    a, b = (torch.randn(PEAK_SIZE, PEAK_SIZE).to(kind) for _ in range(2))
    started = time.process_time()
    torch.mm(a, b)
    return time.process_time() - started


def profile(one: Any, steps: int = 3) -> dict[str, float]:
    """Seconds of a step by kind of work; what no operation accounts for is Python and dispatch."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    with record(activities=[ProfilerActivity.CPU]) as seen:
        wall = sum(one()[0] for _ in range(steps)) / steps
    found = dict.fromkeys([*KINDS, "other elementwise", "Python and autograd"], 0.0)
    for event in seen.key_averages():
        seconds = event.self_cpu_time_total / 1e6 / steps
        space, _, name = event.key.rpartition("::")
        kind = "Python and autograd"
        if space:
            fits = (k for k, names in KINDS.items() if name.startswith(names))
            kind = next(fits, "other elementwise")
        found[kind] += seconds
    found["Python and autograd"] += max(0.0, wall - sum(found.values()))
    return found


@contextmanager
def loops(jobs: Sequence[Job]) -> Iterator[dict[tuple[str, int], Connection]]:
    """A process for each job; (loop, seed) → the line to it."""
    context, started = get_context("spawn"), []
    lines = {}
    for job in jobs:
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(job, theirs), daemon=True)
        process.start()
        started.append(process)
        lines[job.loop, job.seed] = ours
    try:
        yield lines
    finally:
        for line in lines.values():
            line.send(None)
        for process in started:
            process.join()


def step_speed(
    config: dict[str, Any], data: str, backends: Sequence[str], steps: int, turn: int = 4
) -> dict[str, Any]:
    """Run every loop for so many steps in turns.

    Returns:
        By loop the milliseconds of a step, how many times the plain loop's that is, the measured
        matrix peak and the fraction of it that a step reaches; a profile; how far the curves are
        apart, beside two starts of the plain loop.
    """
    whole = gpt_config(config)
    names = [PLAIN, *backends, *([PLAIN_THREADS] if (os.cpu_count() or 1) > 1 else [])]
    jobs = [Job(name, whole, data, 0) for name in names] + [Job(PLAIN, whole, data, 1)]
    seconds: dict[tuple[str, int], list[float]] = {(job.loop, job.seed): [] for job in jobs}
    worked: dict[tuple[str, int], list[float]] = {key: [] for key in seconds}
    losses: dict[tuple[str, int], list[float]] = {key: [] for key in seconds}
    products: dict[str, list[float]] = {name: [] for name in backends}
    with loops(jobs) as lines:
        for start in range(0, steps, turn):
            for key, line in lines.items():
                for _ in range(min(turn, steps - start)):
                    line.send("step")
                    taken, processor, loss = line.recv()
                    seconds[key].append(taken)
                    worked[key].append(processor)
                    losses[key].append(loss)
            for name in backends:
                lines[name, 0].send("peak")
                products[name].append(lines[name, 0].recv())
        lines[backends[0], 0].send("profile")
        parts = lines[backends[0], 0].recv()
    flops = training_flops_per_step(whole)
    rows: dict[str, dict[str, float]] = {}
    for name in names:
        wall, processor = (times[name, 0][turn:] or times[name, 0] for times in (seconds, worked))
        rows[name] = {
            "quickest_ms": 1e3 * min(wall),
            "quickest_processor_ms": 1e3 * min(processor),
            "median_processor_ms": 1e3 * float(np.median(processor)),
        }
        for which, value in tuple(rows[name].items()):
            rows[name][f"times_plain_{which}"] = rows[PLAIN][which] / value
        if name in backends:
            peak = 2 * PEAK_SIZE**3 / min(products[name])
            rows[name]["peak_gflops"] = peak / 1e9
            rows[name]["of_peak"] = 1e3 * flops / rows[name]["quickest_processor_ms"] / peak
    curves = {name: float(gap(losses[name, 0], losses[PLAIN, 0])) for name in backends}
    return {
        "steps": steps,
        "flops_per_step": flops,
        "loops": rows,
        "profile_of": backends[0],
        "profile_ms": {name: 1e3 * value for name, value in parts.items()},
        "curve_gap": curves,
        "curve_gap_of_two_starts": float(gap(losses[PLAIN, 1], losses[PLAIN, 0])),
    }


def gap(one: Sequence[float], other: Sequence[float]) -> float:
    """Mean absolute difference of two loss curves over their last half, nats."""
    half = len(one) // 2
    return float(np.abs(np.subtract(one, other))[half:].mean())
