"""What chunked memories save: each architecture beside the same mathematics written plainly.

    python benchmarks/vocab_space.py [--part throughput,length] [--versions v8_graph,v3_assoc]
                                     [--scale fast] [--seq-len 512] [--json]

throughput  training steps of every architecture beside a plain one: float32, a time × time matrix
            for every fading memory, a library convolution, nothing in chunks; both in turns, by
            the CPU time of the quickest step
length      how the time of a step grows with the sequence, at equal tokens: 1 where it is linear

Both sides start from the same weights and must agree on the loss. The exit status is 1 where a
promise is not kept. The last line is one JSON object.
"""

from __future__ import annotations

import contextlib
import json as json_text
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from scripts.causal.cli import run_command
from trainers.api import ConfigValue
from trainers.batches import Batches
from trainers.data import open_dataset
from trainers.engine import StepSettings
from trainers.vocab_space import across
from trainers.vocab_space.config import VocabConfig, vocab_config
from trainers.vocab_space.engine import VocabEngine
from trainers.vocab_space.model import initial_weights
from trainers.vocab_space.trainer import VocabSpaceTrainer
from trainers.vocab_space.versions import VERSIONS

UNFADING = ("attention", "convolution")
LEAST = {True: 2.0, False: 1.0}  # promised speed-up where a memory fades, and elsewhere
AGREE = 0.02  # nats, of the first loss: bfloat16 products on one side


def plain_attention(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> Tensor:
    """`fading_attention` as its definition reads."""
    if log_decay.dim() == 1:
        log_decay = log_decay[None, :, None].expand(q.shape[:3])
    faded = log_decay.float().cumsum(-1)
    age = faded[..., :, None] - faded[..., None, :]
    later = torch.ones(age.shape[-2:], dtype=torch.bool).triu(1)
    return ((q @ k.mT) * age.masked_fill(later, -math.inf).exp()) @ v


def plain_sum(x: Tensor, log_decay: Tensor) -> Tensor:
    """`fading_sum` with a time × time matrix for each group."""
    place = torch.arange(x.shape[1])
    age = (place[:, None] - place).clamp(min=0)
    weights = (log_decay[:, None, None] * age).exp().tril()
    return torch.einsum("gts,bsgc->btgc", weights, x)


def plain_filter(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """The depthwise convolution by the library's own."""
    padded = F.pad(x.transpose(1, 2), (kernel.shape[1] - 1, 0))
    return F.conv1d(padded, kernel[:, None], bias, groups=x.shape[-1]).transpose(1, 2)


@contextlib.contextmanager
def written_plainly() -> Iterator[None]:
    """Inside, models mix across positions by the plain functions."""
    plain = {
        "fading_attention": plain_attention,
        "fading_sum": plain_sum,
        "_filtered": plain_filter,
    }
    ours = {name: getattr(across, name) for name in plain}
    try:
        for name, function in plain.items():
            setattr(across, name, function)
        yield
    finally:
        for name, function in ours.items():
            setattr(across, name, function)


def cpu_seconds(action: Callable[[], object]) -> float:
    """CPU time of one call in this thread's process."""
    started = time.process_time()
    action()
    return time.process_time() - started


def config_at(version: str, scale: str, seq_len: int, tokens: int) -> VocabConfig:
    """The configuration with sequences of this length and batches of so many tokens."""
    changes: dict[str, ConfigValue] = {
        "architecture": version,
        "train_seq_len": seq_len,
        "train_batch_tokens": max(seq_len, tokens // seq_len * seq_len),
    }
    return vocab_config(VocabSpaceTrainer().resolve(scale, changes))


def throughput(version: str, config: VocabConfig, backend: str, repeats: int) -> dict[str, Any]:
    """Time of a step of ours and of the plain one, from the same weights."""
    data = open_dataset(Path(VocabSpaceTrainer().default_data()))
    batches = Batches(data.train_tokens(), config.train_seq_len, config.train_batch_tokens, 0)
    weights = initial_weights(config, seed=0)
    ours = VocabEngine(config, backend)
    plain = VocabEngine(config, f"torch-{backend.split('-')[1]}-float32")
    tokens, still = batches.batch(0), StepSettings(0.0, 0.0)
    ours.load(weights)
    plain.load(weights)
    first = ours.step(tokens, still)
    with written_plainly():
        other = plain.step(tokens, still)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        times[0].append(cpu_seconds(lambda: ours.step(tokens, still)))
        with written_plainly():
            times[1].append(cpu_seconds(lambda: plain.step(tokens, still)))
    quick, slow = (min(one) for one in times)
    fades = VERSIONS[version].across not in UNFADING
    return {
        "seconds": quick,
        "plain_seconds": slow,
        "speedup": slow / quick,
        "asked": LEAST[fades],
        "loss_difference": abs(first - other),
        "kept": slow / quick >= LEAST[fades] and abs(first - other) <= AGREE,
    }


def growth(version: str, scale: str, backend: str, lengths: tuple[int, ...]) -> float:
    """Exponent of a step's time in the length of a sequence, plus one at equal tokens."""
    seconds = []
    for length in lengths:
        config = config_at(version, scale, length, lengths[-1])
        engine = VocabEngine(config, backend)
        engine.load(initial_weights(config, seed=0))
        shape = (config.batch_sequences, length + 1)
        tokens = np.random.default_rng(0).integers(0, config.vocab_size, shape)
        step = partial(engine.step, tokens, StepSettings(0.0, 0.0))
        seconds.append(min(cpu_seconds(step) for _ in range(2)))
    slope = np.polyfit(np.log(lengths), np.log(seconds), 1)[0]
    return 1 + float(slope)


def _show(version: str, told: dict[str, Any]) -> None:
    cells = [f"{version:16}"]
    if "speedup" in told:
        cells.append(f"{told['speedup']:6.2f}x (asked {told['asked']:g})")
    if "growth" in told:
        cells.append(f"time ~ length^{told['growth']:.2f}")
    print("  ".join(cells), flush=True)


def main(
    part: Annotated[str, typer.Option(help="throughput, length or both")] = "throughput,length",
    versions: Annotated[str, typer.Option(help="comma-separated; all by default")] = "",
    scale: Annotated[str, typer.Option(help="reduction to run at")] = "fast",
    seq_len: Annotated[int, typer.Option(help="of the throughput part", min=1)] = 512,
    tokens: Annotated[int, typer.Option(help="of a batch", min=1)] = 2048,
    repeats: Annotated[int, typer.Option(help="steps timed on either side", min=1)] = 3,
    json: Annotated[bool, typer.Option(help="print nothing but the JSON line")] = False,
) -> None:
    """Time the architectures beside their plain forms."""
    chosen = [name for name in versions.split(",") if name] or list(VERSIONS)
    backend = VocabSpaceTrainer().backends()[0]
    found: dict[str, Any] = {"backend": backend, "seq_len": seq_len, "versions": {}}
    for version in chosen:
        told: dict[str, Any] = {}
        if "throughput" in part:
            told |= throughput(
                version, config_at(version, scale, seq_len, tokens), backend, repeats
            )
        if "length" in part:
            told["growth"] = growth(version, scale, backend, (256, 1024, 4096))
        found["versions"][version] = told
        if not json:
            print(
                f"{version:16}"
                + (
                    f"{told['speedup']:6.2f}x (asked {told['asked']:g})"
                    if "speedup" in told
                    else ""
                )
                + (f"  time ~ length^{told['growth']:.2f}" if "growth" in told else ""),
                flush=True,
            )
    found["kept"] = all(one.get("kept", True) for one in found["versions"].values())
    print(json_text.dumps(found))
    if not found["kept"]:
        raise typer.Exit(1)


if __name__ == "__main__":
    run_command(main)
