"""Runs of three steps in process and as programs of their own, at every scale beside one another.

How many times less a warm run takes depends on how much of it is work that both sides have to do,
so one scale's figure says nothing about another's. The rule: every scale of the GPT is timed whose
step is at most MAX_FLOPS; validation is as long as one batch, so that it too is of its scale.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from engine_overhead import InProcess, Timing, in_subprocess, own_program, setting

from scripts.causal.campaign.ledger import open_ledger
from trainers.api import load_trainer
from trainers.gpt.scales import SCALES

STEPS = 3
MAX_FLOPS = 1e11  # a step of the next scale up, the full baseline, is hundreds of times that


def by_scale(backend: str, rounds: int) -> dict[str, Any]:
    """Medians in seconds for each scale, smallest step first."""
    trainer = load_trainer("gpt")
    flops = {name: trainer.flops_per_step(trainer.resolve(name, {})) for name in SCALES}
    rows = {}
    for scale in sorted(
        (name for name in SCALES if flops[name] <= MAX_FLOPS), key=flops.__getitem__
    ):
        rows[scale] = one_scale(backend, scale, rounds) | {"gflop_per_step": flops[scale] / 1e9}
    left_out = {name: value / 1e9 for name, value in flops.items() if value > MAX_FLOPS}
    return {"backend": backend, "rounds": rounds, "rows": rows, "left_out_gflop": left_out}


def one_scale(backend: str, scale: str, rounds: int) -> dict[str, float]:
    """Start runs in process and as subprocesses in turns.

    Returns:
        Medians in seconds; `times` of a program's whole run to a warm one's, and `times_at_most`,
        what that would be if a warm run consisted of its steps and its validation alone.
    """
    batch = int(load_trainer("gpt").resolve(scale, {})["train_batch_tokens"])
    ours, theirs = list[Timing](), list[Timing]()
    with setting(steps=STEPS, val_tokens=batch, exactly=True) as place:
        ledger = open_ledger(place.scratch / "ledger.sqlite")
        warm = InProcess(place, ledger)
        for number in range(rounds + 1):
            spec = place.spec(backend, scale, number, {"matrix_lr": 0.03 + 0.001 * number})
            ours.append(warm.run(spec))
            theirs.append(in_subprocess(own_program(spec, place.scratch)))
        ledger.close()
    # The first of either compiles and fills the caches.
    whole, work = (
        float(np.median([getattr(timing, name) for timing in ours[1:]]))
        for name in ("whole", "work")
    )
    program = float(np.median([timing.whole for timing in theirs[1:]]))
    return {
        "in_process": whole,
        "work": work,
        "own_program": program,
        "times": program / whole,
        "times_at_most": program / work,
    }


def show_scales(parts: list[dict[str, Any]]) -> None:
    """A line for each scale of each backend."""
    for part in parts:
        what = f"{STEPS} steps, a batch of validation, medians of {part['rounds']}"
        print(f"{part['backend']}: {what}")
        print(
            f"{'scale':12}{'GFLOP a step':>13}{'in process':>13}{'of it work':>13}"
            f"{'own program':>14}{'times':>7}{'at most':>9}"
        )
        for name, row in part["rows"].items():
            print(
                f"{name:12}{row['gflop_per_step']:13.3g}{row['in_process']:11.3f} s"
                f"{row['work']:11.3f} s{row['own_program']:12.3f} s{row['times']:7.1f}"
                f"{row['times_at_most']:9.1f}"
            )
        for name, gflop in part["left_out_gflop"].items():
            print(f"{name:12}{gflop:13.3g}   not timed: three steps would take hours here")
