"""Runs that wait for a worker, and which of them a worker is given."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from scripts.causal.campaign.run import WAIT_SECONDS
from scripts.causal.files import canonical_json
from trainers.api import RunSpec, Trainer


@dataclass
class Job:
    """One run on its way to a worker.

    Attributes:
        family: of runs that differ in the seed only: cheapest where one of them was run before.
        not_before: monotonic time; another campaign was computing it a moment ago.
        deaths: workers that died over it.
    """

    key: str
    spec: RunSpec
    family: str
    not_before: float = 0.0
    deaths: int = 0

    def message(self) -> dict[str, Any]:
        """What a worker is told, as JSON values."""
        return {"key": self.key, "run": {**vars(self.spec), "config": dict(self.spec.config)}}


class JobQueue:
    """Runs in the order they were submitted, those that had a worker once at either end."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def submit(self, trainer: Trainer, spec: RunSpec, running: Iterable[Job | None]) -> str:
        """Put a run behind all others, unless it waits or runs already; returns its key.

        Args:
            trainer: names the run.
            spec: the run.
            running: what each worker has.
        """
        key = trainer.stages(spec)[-1].key
        if all(job is None or job.key != key for job in (*self._jobs, *running)):
            self._jobs.append(Job(key, spec, canonical_json(dict(spec.config))))
        return key

    def retry(self, job: Job) -> None:
        """Put a run that lost its worker before all others."""
        self._jobs.insert(0, job)

    def later(self, job: Job) -> None:
        """Put a run that somebody else computes behind all others, to be looked at in a while."""
        job.not_before = time.monotonic() + WAIT_SECONDS
        self._jobs.append(job)

    def drop(self, key: str) -> None:
        """Forget a run."""
        self._jobs = [job for job in self._jobs if job.key != key]

    def clear(self) -> list[str]:
        """Forget every run; returns their keys."""
        keys = [job.key for job in self._jobs]
        self._jobs.clear()
        return keys

    def ready(self) -> list[Job]:
        """The runs of the seed that is first in the queue: pairs complete early, seed by seed."""
        now = time.monotonic()
        ready = [job for job in self._jobs if job.not_before <= now]
        return [job for job in ready if job.spec.seed == ready[0].spec.seed]

    def take(self, warm: Collection[str], others: Iterable[Collection[str]]) -> Job:
        """A job that the worker is warm for; else one that no worker is warm for; else any.

        Args:
            warm: families the worker has run before.
            others: those of every worker.
        """
        elsewhere = Counter(family for families in others for family in families)
        chosen = min(
            self.ready(), key=lambda job: (job.family not in warm, elsewhere[job.family] > 0)
        )
        self._jobs.remove(chosen)
        return chosen
