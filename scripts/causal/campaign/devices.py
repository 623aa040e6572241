"""What computes runs on this machine: cores of one thread each, or GPUs of one process each."""

from __future__ import annotations

import os
from pathlib import Path

MAX_WORKERS = 8
GPUS = "CUDA_VISIBLE_DEVICES"
# One thread each: runs side by side use the cores better than the threads of one small run.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}


def default_workers(backend: str) -> int:
    """Worker processes that suit a backend; 0 where this process computes by itself.

    On a CPU one per core: always, so that a run's numbers do not depend on how many others there
    were (sums over threads are rounded in another order). On several GPUs one for each run that
    fits on them; a single accelerator is this process's own.
    """
    if needed := gpus_per_run(backend):
        beside = len(visible_gpus()) // needed
        return beside if beside > 1 else 0
    return min(available_cores(), MAX_WORKERS) if "cpu" in backend.split("-") else 0


def gpu_groups(backend: str) -> list[str]:
    """The CUDA_VISIBLE_DEVICES of processes that may work side by side; none without CUDA."""
    needed, known = gpus_per_run(backend), visible_gpus() if "cuda" in backend else []
    if not needed or len(known) < needed:
        return []
    return [
        ",".join(known[first : first + needed])
        for first in range(0, len(known) - needed + 1, needed)
    ]


def gpus_per_run(backend: str) -> int:
    """CUDA GPUs that one run takes: a backend that ends in a number says how many, else one."""
    parts = backend.split("-")
    if "cuda" not in parts:
        return 0
    return int(parts[-1]) if parts[-1].isdecimal() else 1


def visible_gpus() -> list[str]:
    """The CUDA GPUs this process may use, as CUDA_VISIBLE_DEVICES names them."""
    given = os.environ.get(GPUS)
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def available_cores() -> int:
    """Cores this process may use: its affinity, and its container's quota where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores or 1, int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup v2, or "max": no quota
        return cores or 1
