"""Where runs are computed: in this process, in processes of their own (`pool`), or on Ray.

An executor only says that a run has come to its end. What came of it is in the ledger, which
alone is the truth, so an executor may die at any moment and another go on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from scripts.causal.campaign.devices import default_workers, gpu_groups
from scripts.causal.campaign.ledger import Ledger
from scripts.causal.campaign.owner import this_owner
from scripts.causal.campaign.run import WAIT_SECONDS, Occupied, run_chain
from scripts.causal.files import InputError
from trainers.api import RunSpec, Trainer

KINDS = AUTO, IN_PROCESS, PROCESSES, RAY = "auto", "in-process", "processes", "ray"
RunProgress = Callable[[str, float], None]
"""Called with a run's key and the fraction of its missing stages that is done."""


class Executor(Protocol):
    """Takes runs and computes them into the ledger; closed by leaving its ``with`` block.

    Attributes:
        trainer: what the runs are configurations of.
        devices: how many runs are computed at once.
    """

    trainer: Trainer
    devices: int

    def submit(self, spec: RunSpec) -> str:
        """Queue a run; returns its key, that of its last stage. Twice the same run is one."""
        ...

    def poll(self, progress: RunProgress | None = None) -> list[str]:
        """Work or wait for a moment; returns the keys of the runs that came to their end.

        Raises:
            InputError: the data set, the ledger or the disk cannot be used.
        """
        ...

    def cancel(self, key: str) -> None:
        """Drop a run, queued or running; a run that has ended is left as it is."""
        ...

    def withdraw(self) -> list[str]:
        """Drop every run that is not being computed yet; returns their keys."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class InProcessExecutor:
    """One run after the other in this process, with the model, its compiled step and data warm."""

    devices = 1

    def __init__(self, trainer: Trainer, ledger: Ledger, cooldown: float = 0.0):
        self.trainer, self._ledger, self._owner = trainer, ledger, this_owner()
        self._cooldown = cooldown
        self._queue: deque[tuple[str, RunSpec]] = deque()

    def submit(self, spec: RunSpec) -> str:
        """Queue a run; see `Executor.submit`."""
        key = self.trainer.stages(spec)[-1].key
        if all(key != queued for queued, _ in self._queue):
            self._queue.append((key, spec))
        return key

    def poll(self, progress: RunProgress | None = None) -> list[str]:
        """Compute the next run that nobody else is computing; see `Executor.poll`."""
        for _ in range(len(self._queue)):
            key, spec = self._queue.popleft()
            step = None if progress is None else _for_run(progress, key)
            try:
                run_chain(self.trainer, spec, self._ledger, self._owner, step, wait=False)
            except Occupied:
                self._queue.append((key, spec))
                continue
            time.sleep(self._cooldown)
            return [key]
        if self._queue:
            time.sleep(WAIT_SECONDS)
        return []

    def cancel(self, key: str) -> None:
        """Drop a queued run."""
        self._queue = deque(item for item in self._queue if item[0] != key)

    def withdraw(self) -> list[str]:
        """Drop every queued run; see `Executor.withdraw`."""
        keys = [key for key, _ in self._queue]
        self._queue.clear()
        return keys

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._queue.clear()


def open_executor(
    trainer: Trainer,
    ledger: Ledger,
    backend: str,
    workers: int | None = None,
    cooldown: float = 0.0,
    kind: str = AUTO,
) -> Executor:
    """The executor wanted, or the one that suits a backend.

    Args:
        workers: how many runs at once; 0 computes in this process; None chooses: on a CPU one a
            core, on GPUs one a GPU, on Ray as many as the cluster has room for.
        cooldown: seconds of rest after each run, for a machine without enough cooling.
        kind: auto, in-process, processes or ray.

    Raises:
        InputError: no such kind, no Ray, or options at odds.
    """
    if kind not in KINDS:
        raise InputError(f"must be one of {list(KINDS)}, but got {kind!r}", where="--executor")
    if kind == RAY:
        from scripts.causal.campaign.ray_executor import RayExecutor

        return RayExecutor(trainer, ledger, backend, workers, cooldown)
    from scripts.causal.campaign.pool import ProcessExecutor

    if workers is None:
        workers = 0 if kind == IN_PROCESS else default_workers(backend)
        workers = max(1, workers) if kind == PROCESSES else workers
    if (kind == IN_PROCESS and workers > 0) or (kind == PROCESSES and workers == 0):
        raise InputError(f"{kind!r} and --workers {workers} are at odds", where="--executor")
    if workers == 0:
        return InProcessExecutor(trainer, ledger, cooldown)
    return ProcessExecutor(trainer, ledger, workers, cooldown, gpu_groups(backend))


def _for_run(progress: RunProgress, key: str) -> Callable[[float], None]:
    return lambda fraction: progress(key, fraction)
