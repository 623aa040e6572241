"""The ledger: one row per stage of a run, and beside it one folder of files per finished stage.

A stage is claimed in a transaction, computed in a temporary folder, and recorded in a second one:
the folder takes its final name before the row that says done is committed. Whatever dies when, a
folder under its final name is complete and says itself what was measured, so that a row left
behind by a crash between the two is mended by reading it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from scripts.causal.campaign.owner import is_gone
from scripts.causal.campaign.rows import (
    change_claimed,
    change_row,
    held_by,
    plain_text,
    read_memo,
    read_row,
    read_rows,
    result_text,
    write_memo,
    write_row,
)
from scripts.causal.campaign.stage_files import StageFiles
from scripts.causal.campaign.states import (
    CLAIMED,
    DONE,
    FAILED,
    OPEN,
    Busy,
    Claimed,
    ClaimLost,
    Done,
    Failed,
    StageRow,
)
from scripts.causal.campaign.transactions import Database
from scripts.causal.files import InputError, canonical_json
from trainers.api import StagePlan, StageResult

LEASE_SECONDS = 120.0
MAX_CRASHES = 2  # a stage whose worker dies is tried once more; the second death is its outcome


class Ledger:
    """The record of every stage ever computed, shared by all campaigns and processes.

    Args:
        url: SQLAlchemy URL of the database, made on first use.
        artifacts: folder of the stages' files: ``<kk>/<key>/``, kk being the key's first two
            characters.
        lease: seconds after which a silent owner on another host counts as gone.
        clock: seconds since the epoch.
        opening: seconds to wait for a server that does not answer yet.

    Raises:
        InputError: the database or the folder cannot be opened or written, or is not a ledger.
    """

    def __init__(
        self,
        url: str,
        artifacts: Path,
        *,
        lease: float = LEASE_SECONDS,
        clock: Callable[[], float] = time.time,
        opening: float = 0.0,
    ):
        self.url, self.artifacts, self.lease = url, artifacts.absolute(), lease
        self._files, self._clock = StageFiles(self.artifacts), clock
        self._database = Database(url, opening=opening)
        try:
            (self.artifacts / "tmp").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", where=artifacts) from error
        if not os.access(self.artifacts / "tmp", os.W_OK):
            raise InputError("cannot be written: Permission denied", where=artifacts)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    # Claims

    def claim(self, plan: StagePlan, owner: str) -> Claimed | Done | Failed | Busy:
        """Take the stage, or say why it is not to be taken.

        A claim whose owner is gone is taken over, and so is a finished stage whose files have
        been deleted: whoever claims needs the files (`get` answers from the row alone).
        """
        return self._database.transact(lambda connection: self._claim(connection, plan, owner))

    def _claim(
        self, connection: sa.Connection, plan: StagePlan, owner: str
    ) -> Claimed | Done | Failed | Busy:
        now = self._clock()
        row = read_row(connection, plan.key, lock=True)
        if row is not None:
            if row.status == FAILED:
                return Failed(plan.key, row.error or "failed")
            held = row.status == CLAIMED and row.owner != owner
            if held and not is_gone(row.owner, row.heartbeat, self.lease, now):
                return Busy(plan.key, row.owner)
        found = self._files.stored(plan.key)
        if found is not None:
            if row is None or row.status != DONE:
                write_row(
                    connection,
                    plan,
                    row,
                    status=DONE,
                    owner=owner if row is None else row.owner,
                    result=result_text(found),
                    finished=now,
                    heartbeat=now,
                )
            return Done(plan.key, found, self.folder(plan.key))
        attempt = 1 if row is None else row.attempts + 1
        write_row(
            connection,
            plan,
            row,
            status=CLAIMED,
            owner=owner,
            attempts=attempt,
            heartbeat=now,
            started=now,
            finished=None,
            result=None,
        )
        return Claimed(plan.key, owner, attempt, self._files.begin(plan.key, attempt))

    def heartbeat(self, claim: Claimed) -> None:
        """Show that the owner of the claim lives.

        Raises:
            ClaimLost: the claim is no longer the caller's.
        """
        self._change(claim, heartbeat=self._clock())

    @contextlib.contextmanager
    def beating(self, claim: Claimed) -> Iterator[None]:
        """Send heartbeats from a thread of its own for as long as the block runs."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(self.lease / 5):
                # A beat that cannot be written shows at `finish`, if it mattered.
                with contextlib.suppress(ClaimLost, InputError):
                    self.heartbeat(claim)

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def finish(self, claim: Claimed, result: StageResult) -> Done:
        """Record what the stage measured; its folder takes its final name first.

        Raises:
            ClaimLost: the claim was taken over; the work is thrown away.
            ValueError: the result holds NaN or an infinity.
        """
        text = result_text(result)
        self._files.seal(claim.folder, claim.key, result)

        def record(connection: sa.Connection) -> Path:
            now = self._clock()
            change_claimed(
                connection, claim, status=DONE, result=text, finished=now, heartbeat=now
            )
            return self._files.publish(claim.folder, claim.key)

        try:
            return Done(claim.key, result, self._database.transact(record))
        except ClaimLost:
            shutil.rmtree(claim.folder, ignore_errors=True)
            raise

    def fail(self, claim: Claimed, error: str) -> Failed:
        """Record that the run has no result, and why. It is not tried again.

        Raises:
            ClaimLost: the claim was taken over.
        """
        now, words = self._clock(), plain_text(error)
        self._change(claim, status=FAILED, error=words, finished=now, heartbeat=now)
        shutil.rmtree(claim.folder, ignore_errors=True)
        return Failed(claim.key, words)

    def release(self, claim: Claimed) -> None:
        """Give the claim back, to be taken by anyone; nothing happens if it was lost."""
        with contextlib.suppress(ClaimLost):
            self._change(claim, status=OPEN)
        shutil.rmtree(claim.folder, ignore_errors=True)

    def crashed(self, owner: str, reason: str) -> list[str]:
        """Count a crash against everything the owner had claimed; returns the keys.

        A stage that has crashed twice is recorded as failed, before that it is open again. Only
        a death under a living campaign counts: a claim left by a campaign that was killed is
        taken over as often as it takes.
        """

        def count(connection: sa.Connection) -> list[str]:
            held, now = held_by(connection, owner), self._clock()
            for row in held:
                crashes = row.crashes + 1
                values: dict[str, Any] = {"crashes": crashes, "status": OPEN}
                if crashes >= MAX_CRASHES:
                    error = plain_text(f"crashed {crashes} times: {reason}")
                    values.update(status=FAILED, error=error, finished=now)
                change_row(connection, row.key, **values)
            return [row.key for row in held]

        return self._database.transact(count)

    def vacate(self, owner: str) -> list[str]:
        """Give back everything of an owner that is gone through no fault of its runs' own.

        Returns:
            The keys.
        """

        def free(connection: sa.Connection) -> list[str]:
            held = held_by(connection, owner)
            for row in held:
                change_row(connection, row.key, status=OPEN)
            return [row.key for row in held]

        return self._database.transact(free)

    # Reading

    def get(self, key: str) -> StageRow | None:
        """The stage's row, or None; takes no lock."""
        return self._database.read(lambda connection: read_row(connection, key))

    def rows(self) -> list[StageRow]:
        """Every stage, in the order of the first claims."""
        return self._database.read(read_rows)

    def folder(self, key: str) -> Path:
        """Where the files of a finished stage lie."""
        return self._files.folder(key)

    def has_files(self, key: str) -> bool:
        """Whether the stage is finished and its files are still there."""
        return self._files.stored(key) is not None

    # Results of other pure steps

    def recall(self, key: str) -> Any | None:
        """The JSON value remembered under `key`, or None."""
        text = self._database.read(lambda connection: read_memo(connection, key))
        return None if text is None else json.loads(text)

    def remember(self, key: str, value: Any) -> None:
        """Keep a JSON value under `key`, a hash of everything it was computed from.

        Raises:
            ValueError: the value holds NaN or an infinity.
        """
        text = canonical_json(value)
        self._database.transact(lambda connection: write_memo(connection, key, text))

    def _change(self, claim: Claimed, **values: Any) -> None:
        self._database.transact(lambda connection: change_claimed(connection, claim, **values))


def open_ledger(location: str | Path, artifacts: Path | None = None) -> Ledger:
    """Open the ledger at a path (SQLite) or a database URL; files go beside a SQLite ledger.

    Raises:
        InputError: as `Ledger`, or a database URL of a server without a folder for the files.
    """
    text = str(location)
    if "://" not in text:
        path = Path(text).absolute()
        return Ledger(f"sqlite:///{path}", artifacts or path.parent / "artifacts")
    try:
        database = sa.make_url(text)
    except SQLAlchemyError as error:
        raise InputError(f"is not a database URL: {error}", where=text) from error
    if artifacts is None and database.get_backend_name() == "sqlite" and database.database:
        artifacts = Path(database.database).absolute().parent / "artifacts"
    return Ledger(text, artifacts or Path("results/causal/artifacts"))
