"""Where a campaign's runs are computed: the backend asked for, and what machine this is."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from scripts.causal.campaign.devices import available_cores
from scripts.causal.campaign.schema import Platform
from scripts.causal.files import InputError
from trainers.api import Progress, Trainer

WANTED = ("auto", "mlx", "torch", "cuda", "cpu")


def choose_platform(
    trainer: Trainer,
    wanted: str = "auto",
    scale: str = "fast",
    *,
    data: str | None = None,
    progress: Progress | None = None,
) -> Platform:
    """Choose the trainer's best backend of the kind wanted, and prepare its data.

    Args:
        wanted: auto, mlx, torch, cuda, cpu, or a backend by its full name.
        data: folder of a tokenized data set; None takes the trainer's default.
        progress: told how far the default data is, when it has to be prepared.

    Raises:
        InputError: there is no such backend on this machine.
    """
    backend = choose_backend(trainer, wanted)
    return Platform(
        trainer=trainer.name,
        backend=backend,
        scale=scale,
        data=trainer.default_data(progress) if data is None else data,
        machine=describe_machine(backend),
    )


def choose_backend(trainer: Trainer, wanted: str) -> str:
    """The best backend of the kind wanted, as `choose_platform`."""
    available = trainer.backends()
    for backend in available:
        if wanted in ("auto", backend, *backend.split("-")):
            return backend
    raise InputError(
        f"no backend {wanted!r} on this machine",
        where="--platform",
        mend=f"there is {', '.join(available) or 'none'}; or say one of {', '.join(WANTED)}",
    )


def describe_machine(backend: str) -> str:
    """Processor, cores, accelerator and library versions, in one line."""
    library = backend.partition("-")[0]
    parts = [_processor(), f"{available_cores()} cores"]
    if "cuda" in backend:
        parts.append(_cuda_device())
    try:
        parts.append(f"{library} {version(library)}")
    except PackageNotFoundError:
        parts.append(library)
    return ", ".join([*parts, f"Python {platform.python_version()}", platform.system()])


def _processor() -> str:
    if platform.system() == "Darwin":
        named = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"],
            capture_output=True,
            text=True,
            check=False,
        )
        return named.stdout.strip() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _cuda_device() -> str:
    import torch

    return str(torch.cuda.get_device_name())
