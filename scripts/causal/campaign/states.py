"""What the ledger answers: a stage's row, and what came of claiming it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.api import StageResult

CLAIMED, OPEN, DONE, FAILED = "claimed", "open", "done", "failed"


@dataclass(frozen=True)
class StageRow:
    """One stage as the ledger has it.

    Attributes:
        status: claimed, open (claimed once and given back), done or failed.
        owner: who claimed it last.
        heartbeat, started, finished: seconds since the epoch.
        attempts: how often it was claimed.
        crashes: how often its worker died, or fell over an error that is no outcome of a run.
        error: why it failed.
    """

    key: str
    kind: str
    parent: str | None
    spec: dict[str, Any]
    status: str
    owner: str
    heartbeat: float
    attempts: int
    crashes: int
    result: StageResult | None
    error: str | None
    started: float
    finished: float | None


@dataclass(frozen=True)
class Claimed:
    """The stage is the caller's to compute, into `folder`, which is empty."""

    key: str
    owner: str
    attempt: int
    folder: Path


@dataclass(frozen=True)
class Done:
    """The stage is finished and its files lie in `folder`."""

    key: str
    result: StageResult
    folder: Path


@dataclass(frozen=True)
class Failed:
    """The stage was tried and has no result."""

    key: str
    error: str


@dataclass(frozen=True)
class Busy:
    """Somebody else is computing the stage."""

    key: str
    owner: str


class ClaimLost(Exception):
    """The claim was taken over while its owner was thought gone; its work is not recorded."""
