"""Runs in worker processes on this machine, which stay warm over all cycles of a campaign."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from scripts.causal.campaign.devices import GPUS, ONE_THREAD
from scripts.causal.campaign.executor import RunProgress
from scripts.causal.campaign.jobs import Job, JobQueue
from scripts.causal.campaign.ledger import Ledger
from scripts.causal.campaign.run import WAIT_SECONDS
from scripts.causal.campaign.serving import setup_message
from scripts.causal.files import InputError
from trainers.api import RunSpec, Trainer

MAX_DEATHS = 2
CLOSE_SECONDS = 2.0


@dataclass
class _Worker:
    process: subprocess.Popen[str]
    errors: Any
    gpus: str | None
    job: Job | None = None
    owner: str | None = None
    cancelled: bool = False
    families: set[str] = field(default_factory=set)


class ProcessExecutor:
    """Keeps up to `workers` processes, started when there is work for them.

    A worker that dies is replaced and its run tried once more; the ledger counts the deaths and
    records the second as the run's failure.

    Args:
        gpus: what CUDA_VISIBLE_DEVICES is to be in a worker, dealt out evenly; empty leaves it.
    """

    def __init__(
        self,
        trainer: Trainer,
        ledger: Ledger,
        workers: int,
        cooldown: float = 0.0,
        gpus: Sequence[str] = (),
    ):
        if workers < 1:
            raise InputError(f"`workers >= 1` must hold, but got workers={workers}")
        self.trainer, self.devices, self._ledger = trainer, workers, ledger
        self._cooldown, self._gpus = cooldown, tuple(gpus)
        self._queue = JobQueue()
        self._workers: list[_Worker] = []
        self._inbox: queue.SimpleQueue[tuple[_Worker, str | None]] = queue.SimpleQueue()

    def submit(self, spec: RunSpec) -> str:
        """Queue a run; see `Executor.submit`."""
        return self._queue.submit(self.trainer, spec, [worker.job for worker in self._workers])

    def poll(self, progress: RunProgress | None = None) -> list[str]:
        """Hand out runs and wait a moment for news; see `Executor.poll`."""
        self._hand_out()
        if not self._queue and not any(worker.job for worker in self._workers):
            return []
        ended = []
        with contextlib.suppress(queue.Empty):
            worker, line = self._inbox.get(timeout=WAIT_SECONDS)
            while True:
                if key := self._hear(worker, line, progress):
                    ended.append(key)
                worker, line = self._inbox.get_nowait()
        self._hand_out()
        return ended

    def cancel(self, key: str) -> None:
        """Drop a run; the worker computing it is ended and replaced when there is work."""
        self._queue.drop(key)
        for worker in self._workers:
            if worker.job is not None and worker.job.key == key:
                worker.job, worker.cancelled = None, True
                worker.process.kill()

    def withdraw(self) -> list[str]:
        """Drop the runs that no worker has; see `Executor.withdraw`."""
        return self._queue.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._queue.clear()
        for worker in self._workers:
            _hang_up(worker)
        deadline = time.monotonic() + CLOSE_SECONDS
        for worker in self._workers:
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.errors.close()
        self._workers.clear()

    # Below here: jobs to workers, and what workers say

    def _hand_out(self) -> None:
        idle = [worker for worker in self._workers if worker.job is None and not worker.cancelled]
        while (idle or len(self._workers) < self.devices) and self._queue.ready():
            worker = idle.pop(0) if idle else self._start()
            job = self._queue.take(worker.families, [other.families for other in self._workers])
            worker.job = job
            worker.families.add(job.family)
            _tell(worker, **job.message())

    def _start(self) -> _Worker:
        used = [worker.gpus for worker in self._workers]
        gpus = min(self._gpus, key=used.count, default=None)
        visible = {} if gpus is None else {GPUS: gpus}
        errors = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the worker)
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.causal.campaign.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            env={**os.environ, **ONE_THREAD, **visible},
        )
        worker = _Worker(process, errors, gpus)
        self._workers.append(worker)
        threading.Thread(target=_listen, args=(worker, self._inbox), daemon=True).start()
        _tell(worker, **setup_message(self.trainer, self._ledger, self._cooldown))
        return worker

    def _hear(self, worker: _Worker, line: str | None, progress: RunProgress | None) -> str | None:
        """Act on one line of a worker (None: it died); returns the key of a run that ended."""
        if worker not in self._workers:
            return None
        if line is None:
            self._bury(worker)
            return None
        message, job = json.loads(line), worker.job
        if "input_error" in message:
            raise InputError(message["input_error"])
        if "ready" in message:
            worker.owner = message["ready"]
        elif job is not None and "fraction" in message:
            if progress is not None:
                progress(job.key, message["fraction"])
        elif job is not None and "ended" in message:
            worker.job = None
            if message["ended"]:
                return job.key
            self._queue.later(job)  # another campaign is computing it
        return None

    def _bury(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        reason = f"the worker process {_cause_of_death(worker)}"
        _hang_up(worker)
        worker.errors.close()
        if worker.job is None:
            return
        counted = worker.owner is not None and self._ledger.crashed(worker.owner, reason)
        worker.job.deaths += 1
        if not counted and worker.job.deaths >= MAX_DEATHS:
            raise InputError(reason, mend="--workers 0 computes in the calling process")
        self._queue.retry(worker.job)


def _listen(worker: _Worker, inbox: queue.SimpleQueue[tuple[_Worker, str | None]]) -> None:
    assert worker.process.stdout is not None
    with worker.process.stdout as lines:
        for line in lines:
            inbox.put((worker, line))
    inbox.put((worker, None))


def _tell(worker: _Worker, **message: object) -> None:
    assert worker.process.stdin is not None
    with contextlib.suppress(OSError):  # it has died: its end of the pipe will say so
        worker.process.stdin.write(json.dumps(message) + "\n")
        worker.process.stdin.flush()


def _hang_up(worker: _Worker) -> None:
    assert worker.process.stdin is not None
    with contextlib.suppress(OSError):
        worker.process.stdin.close()


def _cause_of_death(worker: _Worker) -> str:
    code = worker.process.wait()
    worker.errors.seek(0)
    last = worker.errors.read()[-4000:].decode("utf-8", errors="replace").strip().splitlines()
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return f"{how}: {last[-1].strip()}" if last else how
