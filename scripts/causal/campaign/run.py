"""One run: its stages in order, each computed only where the ledger does not have it yet."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence

from scripts.causal.campaign.ledger import Ledger
from scripts.causal.campaign.schema import ArmRun
from scripts.causal.campaign.states import Busy, Claimed, ClaimLost, Failed
from scripts.causal.files import InputError
from trainers.api import Progress, RunFailed, RunSpec, StagePlan, StageResult, Trainer

WAIT_SECONDS = 0.2
MAX_REASON = 2000
MIN_FREE_BYTES = 1 << 20


class Occupied(Exception):
    """Another process is computing a stage of this run at the moment."""


def read_chain(trainer: Trainer, spec: RunSpec, ledger: Ledger) -> ArmRun | None:
    """The run as the ledger has it; None while a stage of it is still to be computed.

    Metrics and curves are those of all stages together; ``seconds`` is their sum.
    """
    stages = trainer.stages(spec)
    metrics: dict[str, float] = {}
    curves: dict[str, list[float]] = {}
    for plan in stages:
        row = ledger.get(plan.key)
        if row is not None and row.error is not None:
            return ArmRun(key=stages[-1].key, failure=f"{plan.kind}: {row.error}")
        if row is None or row.result is None:
            return None
        seconds = metrics.get("seconds", 0.0) + row.result.metrics.get("seconds", 0.0)
        metrics.update(row.result.metrics)
        if "seconds" in metrics:
            metrics["seconds"] = seconds
        curves.update(row.result.curves)
    return ArmRun(key=stages[-1].key, metrics=metrics, curves=curves)


def run_chain(
    trainer: Trainer,
    spec: RunSpec,
    ledger: Ledger,
    owner: str,
    progress: Progress | None = None,
    *,
    wait: bool = True,
) -> ArmRun:
    """Compute the stages of a run that the ledger lacks, and return the run.

    A run that fails is an outcome and comes back with its `failure`. An error that is none (a
    bug, say) is tried once more and then recorded as the failure; a full disk is nobody's
    outcome and raises.

    Args:
        owner: as `owner.this_owner` names it.
        progress: called with the fraction of the run's missing stages that is done.
        wait: wait for a stage that somebody else is computing, instead of raising.

    Raises:
        Occupied: a stage is being computed elsewhere, and `wait` is false.
        InputError: the data set, the ledger or the disk cannot be used.
    """
    stages = trainer.stages(spec)
    while (run := read_chain(trainer, spec, ledger)) is None:
        first = _first_to_compute(stages, ledger)
        for index in range(first, len(stages)):
            state = ledger.claim(stages[index], owner)
            if isinstance(state, Busy):
                if not wait:
                    raise Occupied(state.key)
                time.sleep(WAIT_SECONDS)
                break
            step = _part(progress, index - first, len(stages) - first)
            if isinstance(state, Failed) or (
                isinstance(state, Claimed)
                and not _compute(trainer, stages[index], state, ledger, step)
            ):
                break
    return run


def _first_to_compute(stages: Sequence[StagePlan], ledger: Ledger) -> int:
    """Index of the first stage not done, or before it, where the files it needs were deleted."""
    rows = (ledger.get(plan.key) for plan in stages)
    first = next((i for i, row in enumerate(rows) if row is None or row.result is None), 0)
    while first > 0 and not ledger.has_files(stages[first - 1].key):
        first -= 1
    return first


def _compute(
    trainer: Trainer, plan: StagePlan, claim: Claimed, ledger: Ledger, progress: Progress | None
) -> bool:
    """Compute and record one stage; whether it is done, and the run can go on from it."""
    parent = None if plan.parent is None else ledger.folder(plan.parent)
    try:
        with ledger.beating(claim):
            result = trainer.execute(plan, parent, claim.folder, progress)
            _require_numbers(result)
        ledger.finish(claim, result)
        return True
    except (RunFailed, MemoryError) as failure:
        ledger.fail(claim, str(failure)[:MAX_REASON] or "out of memory")
    except ClaimLost:
        pass  # whoever took it over computes the same
    except InputError:
        ledger.release(claim)
        raise
    except Exception as error:
        # A library need not say that it was the disk: safetensors raises an error of its own.
        if shutil.disk_usage(ledger.artifacts).free < MIN_FREE_BYTES:
            ledger.release(claim)
            raise InputError("no space left on the disk", where=ledger.artifacts) from error
        ledger.crashed(claim.owner, f"{type(error).__name__}: {error}"[:MAX_REASON])
    except BaseException:  # an interrupt: nobody need wait for this process to end
        ledger.release(claim)
        raise
    return False


def _require_numbers(result: StageResult) -> None:
    for name, value in result.metrics.items():
        if not math.isfinite(value):
            raise RunFailed(f"diverged: {name} is {value}")
    for name, values in result.curves.items():
        for index, value in enumerate(values):
            if not math.isfinite(value):
                raise RunFailed(f"diverged: {name} is {value} at point {index} of its curve")


def _part(progress: Progress | None, index: int, count: int) -> Progress | None:
    """Progress of one of `count` stages as progress of them all."""
    if progress is None:
        return None
    return lambda fraction: progress((index + fraction) / count)
