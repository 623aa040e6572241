"""Runs on a Ray cluster: one warm actor per core or GPU of every node.

Ray only says where there is room and who has died. What is to be computed and what came of it stay
in the ledger, so a node may go at any moment: its claims are given back and its runs go elsewhere.
The ledger's database and the folder of its files must be reachable from every node (PostgreSQL and
a shared folder; SQLite where all nodes are one machine), and the project installed there.

Ray connects to RAY_ADDRESS, else to a cluster that runs on this machine, else it starts one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from scripts.causal.campaign.devices import ONE_THREAD, gpus_per_run
from scripts.causal.campaign.executor import RunProgress
from scripts.causal.campaign.jobs import Job, JobQueue
from scripts.causal.campaign.ledger import Ledger
from scripts.causal.campaign.run import WAIT_SECONDS
from scripts.causal.campaign.serving import Server, setup_message
from scripts.causal.files import InputError
from trainers.api import RunSpec, Trainer

MAX_DEATHS = 2  # actors in a row that end before they are ready
MAX_MOVES = 5  # nodes a run may lose before it is thought to be what kills them


class RemoteWorker:
    """Lives in an actor's process. It answers in JSON values: no error crosses as an object."""

    def __init__(self, setup: dict[str, Any]):
        # Ray gives an actor its GPUs in CUDA_VISIBLE_DEVICES; threads are as in `pool`.
        os.environ.update(ONE_THREAD)
        self._setup, self._rest = setup, 0.0
        self._server: Server | None = None

    def open(self) -> dict[str, Any]:
        """Open ledger and trainer; who this worker is, and on which node."""
        import ray

        try:
            self._server = Server.open(self._setup)
        except InputError as error:
            return {"input_error": str(error)}
        return {"owner": self._server.owner, "node": ray.get_runtime_context().get_node_id()}

    def serve(self, message: dict[str, Any]) -> dict[str, Any]:
        """Compute a run, as `serving.Server.serve`."""
        assert self._server is not None, "opened first"
        time.sleep(max(0.0, self._rest - time.monotonic()))
        try:
            return {"ended": self._server.serve(message)}
        except InputError as error:
            return {"input_error": str(error)}
        finally:
            self._rest = time.monotonic() + self._setup["cooldown"]


@dataclass(eq=False)
class _Actor:
    handle: Any
    answer: Any  # what is waited for: to be ready, or a run's end; None when it is idle
    owner: str | None = None
    node: str | None = None
    job: Job | None = None
    families: set[str] = field(default_factory=set)


class RayExecutor:
    """Keeps as many actors as the cluster has room for, or `workers`; nodes may come and go.

    Progress is told run by run: an actor that computes hears nothing else.

    Raises:
        InputError: Ray is not installed or cannot be reached, or no node can run the backend.
    """

    def __init__(
        self,
        trainer: Trainer,
        ledger: Ledger,
        backend: str,
        workers: int | None = None,
        cooldown: float = 0.0,
    ):
        if workers is not None and workers < 1:
            raise InputError(f"`workers >= 1` must hold, but got workers={workers}")
        self._ray = _import_ray()
        self.trainer, self._ledger = trainer, ledger
        self._setup = setup_message(trainer, ledger, cooldown)
        self._most, self._gpus = workers, gpus_per_run(backend)
        self._queue, self._actors, self._deaths = JobQueue(), list[_Actor](), 0
        # Ray prints what happens to its workers; standard output is for results.
        self._aside = contextlib.redirect_stdout(sys.stderr)
        self._is_mine = _connect(self._ray)
        self.devices = self._room()
        if self.devices < 1:
            self._leave()
            what = f"{self._gpus} GPU" if self._gpus else "a core"
            raise InputError(f"no node of the Ray cluster has {what}", where="--executor ray")

    def submit(self, spec: RunSpec) -> str:
        """Queue a run; see `Executor.submit`."""
        return self._queue.submit(self.trainer, spec, [actor.job for actor in self._actors])

    def poll(self, progress: RunProgress | None = None) -> list[str]:
        """Hand out runs and wait a moment for answers; see `Executor.poll`."""
        if not self._queue and not any(actor.job for actor in self._actors):
            return []
        self._hand_out()
        waiting = {actor.answer: actor for actor in self._actors if actor.answer is not None}
        if not waiting:
            time.sleep(WAIT_SECONDS)
            return []
        answered, _ = self._ray.wait(list(waiting), num_returns=1, timeout=WAIT_SECONDS)
        if answered:  # whoever else is ready by now
            answered, _ = self._ray.wait(list(waiting), num_returns=len(waiting), timeout=0)
        ended = [key for answer in answered if (key := self._hear(waiting[answer]))]
        if progress is not None:
            for key in ended:
                progress(key, 1.0)
        self._hand_out()
        return ended

    def cancel(self, key: str) -> None:
        """Drop a run; the actor computing it is ended."""
        self._queue.drop(key)
        for actor in [each for each in self._actors if each.job and each.job.key == key]:
            self._end(actor)

    def withdraw(self) -> list[str]:
        """Drop the runs that no actor has; see `Executor.withdraw`."""
        return self._queue.clear()

    def __enter__(self) -> Self:
        self._aside.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._queue.clear()
        try:
            for actor in list(self._actors):
                self._end(actor)
        finally:
            self._leave()
            self._aside.__exit__(kind, error, trace)

    # Below here: jobs to actors, and what actors answer

    def _hand_out(self) -> None:
        self.devices = self._room()
        wanted = len(self._queue) + sum(actor.job is not None for actor in self._actors)
        while len(self._actors) < min(self.devices, wanted):
            self._start()
        for actor in self._actors:
            if actor.answer is None and self._queue.ready():
                families = [other.families for other in self._actors]
                actor.job = self._queue.take(actor.families, families)
                actor.families.add(actor.job.family)
                actor.answer = actor.handle.serve.remote(actor.job.message())

    def _room(self) -> int:
        """Runs that the cluster can compute at once."""
        has = self._ray.cluster_resources()
        room = int(has.get("GPU", 0)) // self._gpus if self._gpus else int(has.get("CPU", 0))
        return room if self._most is None else min(room, self._most)

    def _start(self) -> None:
        # Not Ray's to start again: the ledger must hear of a death first.
        remote = self._ray.remote(
            num_cpus=1, num_gpus=self._gpus, max_restarts=0, max_task_retries=0
        )(RemoteWorker)
        handle = remote.remote(self._setup)
        self._actors.append(_Actor(handle, handle.open.remote()))

    def _hear(self, actor: _Actor) -> str | None:
        """Act on an answer, or on a death; returns the key of a run that ended."""
        try:
            answer = self._ray.get(actor.answer)
        except self._ray.exceptions.RayActorError as error:
            self._bury(actor, error)
            return None
        actor.answer = None
        if "input_error" in answer:
            raise InputError(answer["input_error"])
        if "owner" in answer:
            actor.owner, actor.node, self._deaths = answer["owner"], answer["node"], 0
            return None
        job, actor.job = actor.job, None
        assert job is not None
        if answer["ended"]:
            return job.key
        self._queue.later(job)  # another campaign is computing it
        return None

    def _bury(self, actor: _Actor, error: Exception) -> None:
        self._forget(actor)
        lost = self._has_lost_its_node(actor, error)
        if actor.owner is None:  # it was not ready yet
            self._deaths += not lost
            if self._deaths >= MAX_DEATHS:
                raise InputError(
                    f"workers cannot start: {_in_short(error)}", where="--executor ray"
                )
            return
        if actor.job is None:
            return
        actor.job.deaths += 1
        if lost and actor.job.deaths < MAX_MOVES:
            self._ledger.vacate(actor.owner)
        else:
            self._ledger.crashed(actor.owner, _in_short(error))
        self._queue.retry(actor.job)

    def _has_lost_its_node(self, actor: _Actor, error: Exception) -> bool:
        """Whether it was not the run that ended the actor's process."""
        if isinstance(error, self._ray.exceptions.ActorUnavailableError):
            return True  # it cannot be reached, which a process that died by itself can
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        return "node has died" in str(error) or (actor.node or "") not in {"", *alive}

    def _end(self, actor: _Actor) -> None:
        self._forget(actor)
        if actor.owner is not None and actor.job is not None:
            self._ledger.vacate(actor.owner)

    def _forget(self, actor: _Actor) -> None:
        self._actors.remove(actor)
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(actor.handle)

    def _leave(self) -> None:
        if self._is_mine:
            self._ray.shutdown()


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # tell nobody
    try:
        import ray
    except ModuleNotFoundError as error:
        raise InputError(
            "Ray is not installed", where="--executor", mend="pip install 'causal-golf[ray]'"
        ) from error
    return ray


def _connect(ray: Any) -> bool:
    """Join or start a cluster; false where this process has joined one before."""
    if ray.is_initialized():
        return False
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise InputError(f"no Ray cluster: {_in_short(error)}", where="--executor ray") from error
    return True


def _in_short(error: Exception) -> str:
    """The sentence of a Ray error that says what happened: they run to pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "is dead because" in line or "has died" in line]
    return (telling or lines or [type(error).__name__])[0].split(" Some common causes")[0]
