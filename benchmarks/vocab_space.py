"""What chunks and written-out gradients save: each architecture beside the same written plainly.

    python benchmarks/vocab_space.py [--part throughput,length] [--versions v8_graph,v3_assoc]
                                     [--seq-len 1024] [--json]

throughput  training steps of every architecture beside those of `plain_vocab`: a time × time
            matrix for every fading memory, a library convolution, autograd's own gradients; in
            the same precision, in turns, by the CPU time of the quickest step
length      how the time of a step grows with the sequence: the exponent fitted to steps of equally
            many tokens, from 512 to 8,192 in a sequence; 1 is linear, which all but attention can
            be

Both sides start from the same weights and must agree on the loss. The exit status is 1 where a
promise is not kept. The last line is one JSON object.
"""

from __future__ import annotations

import json as json_text
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
import typer
from plain_vocab import PlainModel

from scripts.causal.cli import run_command
from trainers.api import ConfigValue
from trainers.engine import StepSettings, Tokens
from trainers.vocab_space.config import VocabConfig, vocab_config
from trainers.vocab_space.engine import VocabEngine
from trainers.vocab_space.model import initial_weights
from trainers.vocab_space.trainer import VocabSpaceTrainer
from trainers.vocab_space.versions import VERSIONS

UNFADING = ("attention", "convolution")
LEAST = {True: 2.0, False: 1.0}  # promised speed-up where a memory fades, and elsewhere
# From 512 on: a slow head of v4 reaches back about a thousand positions, which shorter sequences
# leave unused, so that its time levels off after 1,024 only.
LENGTHS = (512, 1024, 2048, 4096, 8192)
LINEAR = 1.2  # largest exponent that is called linear
STILL = StepSettings(0.0, 0.0)
AGREE = 0.02  # nats, of the mean loss: products in bfloat16 that are rounded elsewhere


def cpu_seconds(action: Callable[[], object]) -> float:
    """CPU time of one call in this thread's process."""
    started = time.process_time()
    action()
    return time.process_time() - started


def config_at(version: str, seq_len: int, tokens: int) -> VocabConfig:
    """The configuration with sequences of this length and batches of so many tokens."""
    changes: dict[str, ConfigValue] = {
        "architecture": version,
        "train_seq_len": seq_len,
        "train_batch_tokens": max(seq_len, tokens // seq_len * seq_len),
    }
    return vocab_config(VocabSpaceTrainer().resolve("fast", changes))


def tokens_of(config: VocabConfig) -> Tokens:
    """A batch of random words."""
    shape = (config.batch_sequences, config.train_seq_len + 1)
    return np.random.default_rng(0).integers(0, config.vocab_size, shape)


def throughput(version: str, config: VocabConfig, backend: str, repeats: int) -> dict[str, Any]:
    """Time of a step of ours and of the plain one, from the same weights, with the same noise."""
    tokens = tokens_of(config)
    weights = initial_weights(config, seed=0)
    ours, dtype = VocabEngine(config, backend), getattr(torch, backend.split("-")[-1])
    plain = PlainModel(config, weights, dtype)
    ours.load(weights)
    first = [ours.step(tokens, STILL), plain.step(tokens)]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        times[0].append(cpu_seconds(lambda: ours.step(tokens, STILL)))
        times[1].append(cpu_seconds(lambda: plain.step(tokens)))
    quick, slow = (min(one) for one in times)
    fades = VERSIONS[version].across not in UNFADING
    return {
        "seconds": quick,
        "plain_seconds": slow,
        "speedup": slow / quick,
        "asked": LEAST[fades],
        "loss_difference": abs(first[0] - first[1]),
        "kept": slow / quick >= LEAST[fades] and abs(first[0] - first[1]) <= AGREE,
    }


def growth(version: str, backend: str, tokens: int) -> dict[str, Any]:
    """Seconds of a step at every length, at equal tokens, and the exponent in the length."""
    seconds = {}
    for length in LENGTHS:
        config = config_at(version, length, tokens)
        engine = VocabEngine(config, backend)
        engine.load(initial_weights(config, seed=0))
        step = partial(engine.step, tokens_of(config), STILL)
        seconds[length] = min(cpu_seconds(step) for _ in range(3))
    slope = np.polyfit(np.log(LENGTHS), np.log(list(seconds.values())), 1)[0]
    linear = VERSIONS[version].across != "attention"
    return {
        "growth": 1 + float(slope),
        "seconds_at": seconds,
        "linear": bool(1 + slope <= LINEAR) if linear else None,
    }


def _told(version: str, told: dict[str, Any]) -> str:
    cells = [f"{version:16}"]
    if "speedup" in told:
        times = f"{told['plain_seconds']:6.2f} / {told['seconds']:5.2f} s"
        cells.append(f"{times} = {told['speedup']:5.2f} x (asked {told['asked']:g})")
    if "growth" in told:
        growth = f"time ~ length^{told['growth']:.2f}"
        cells.append(growth + (" (attention is not linear)" if told["linear"] is None else ""))
    return "  ".join(cells)


def main(
    part: Annotated[str, typer.Option(help="throughput, length or both")] = "throughput,length",
    versions: Annotated[str, typer.Option(help="comma-separated; all by default")] = "",
    seq_len: Annotated[int, typer.Option(help="of the throughput part", min=1)] = 1024,
    tokens: Annotated[int, typer.Option(help="of a batch", min=1)] = 2048,
    repeats: Annotated[int, typer.Option(help="steps timed on either side", min=1)] = 3,
    json: Annotated[bool, typer.Option(help="print nothing but the JSON line")] = False,
) -> None:
    """Time the architectures beside their plain forms.

    At 2,048 the plain forms of v10_policy, v11_brainwave and v16_columnar need some 40 GB.
    """
    chosen = [name for name in versions.split(",") if name] or list(VERSIONS)
    backend = next(name for name in VocabSpaceTrainer().backends() if "cpu" in name)
    found: dict[str, Any] = {"backend": backend, "seq_len": seq_len, "versions": {}}
    for version in chosen:
        told: dict[str, Any] = {}
        if "throughput" in part:
            told |= throughput(version, config_at(version, seq_len, tokens), backend, repeats)
        if "length" in part:
            told |= growth(version, backend, LENGTHS[-1])
        found["versions"][version] = told
        if not json:
            print(_told(version, told), flush=True)
    found["kept"] = all(
        one.get("kept", True) and one.get("linear") is not False
        for one in found["versions"].values()
    )
    print(json_text.dumps(found))
    if not found["kept"]:
        raise typer.Exit(1)


if __name__ == "__main__":
    run_command(main)
