"""Memory of one process over many runs of one architecture, each with other hyperparameters."""

from __future__ import annotations

import os
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from engine_overhead import InProcess, setting

from scripts.causal.campaign.ledger import open_ledger

SETTLED = 20  # runs after which every cache of the process is full


def memory(backend: str, runs: int) -> dict[str, Any]:
    """Do the runs in a process of their own; resident megabytes and growth after it settled."""
    with get_context("spawn").Pool(1) as pool:
        seen = pool.apply(resident_after_each, (backend, runs))
    settled = seen[min(SETTLED, runs // 2) :]
    growth = np.polyfit(np.arange(len(settled)), settled, 1)[0] if len(settled) > 1 else 0.0
    return {
        "backend": backend,
        "runs": runs,
        "settled_mb": settled[0] / 1e6,
        "last_mb": settled[-1] / 1e6,
        "growth_kb_per_run": float(growth) / 1e3,
    }


def resident_after_each(backend: str, runs: int) -> list[int]:
    """Resident bytes of this process after each run, two steps at the tiny scale."""
    with setting(steps=2, val_tokens=2048) as place:
        ledger = open_ledger(place.scratch / "ledger.sqlite")
        process, seen = InProcess(place, ledger), []
        for number in range(runs):
            changes = {"matrix_lr": 0.01 + 0.0001 * number, "qk_gain": 1.0 + 0.01 * number}
            process.run(place.spec(backend, "tiny", number, changes))
            seen.append(resident_bytes())
        ledger.close()
        return seen


def resident_bytes() -> int:
    """Memory of this process that lies in RAM now; Linux alone tells it this way."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
