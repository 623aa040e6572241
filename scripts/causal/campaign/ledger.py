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
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from scripts.causal.campaign.database import READ_ONLY, memo, metadata, open_engine, stages
from scripts.causal.campaign.owner import is_gone
from scripts.causal.campaign.stage_files import StageFiles, result_values
from scripts.causal.files import InputError, canonical_json
from trainers.api import StagePlan, StageResult

CLAIMED, OPEN, DONE, FAILED = "claimed", "open", "done", "failed"
LEASE_SECONDS = 120.0
MAX_CRASHES = 2  # a stage whose worker dies is tried once more; the second death is its outcome


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


class Ledger:
    """The record of every stage ever computed, shared by all campaigns and processes.

    Args:
        url: SQLAlchemy URL of the database, made on first use.
        artifacts: folder of the stages' files: ``<kk>/<key>/``, kk being the key's first two
            characters.
        lease: seconds after which a silent owner on another host counts as gone.
        clock: seconds since the epoch.

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
    ):
        self.url, self.artifacts, self.lease = url, artifacts.absolute(), lease
        self._files, self._clock = StageFiles(self.artifacts), clock
        self._engine = open_engine(url)
        self._named = self._engine.url.render_as_string(hide_password=True)
        try:
            (self.artifacts / "tmp").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", where=artifacts) from error
        if not os.access(self.artifacts / "tmp", os.W_OK):
            raise InputError("cannot be written: Permission denied", where=artifacts)
        with self._transaction() as connection:
            metadata.create_all(connection)
            columns = {item["name"] for item in sa.inspect(connection).get_columns("stages")}
        if columns != set(stages.columns.keys()):
            raise InputError(
                "is a ledger of another version", where=self._named, mend="name another --ledger"
            )

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    # Claims

    def claim(self, plan: StagePlan, owner: str) -> Claimed | Done | Failed | Busy:
        """Take the stage, or say why it is not to be taken.

        A claim whose owner is gone is taken over, and so is a finished stage whose files have
        been deleted: whoever claims needs the files (`get` answers from the row alone).
        """
        while True:
            try:
                with self._transaction() as connection:
                    return self._claim(connection, plan, owner)
            except IntegrityError:  # PostgreSQL: another inserted the row since we looked
                continue

    def _claim(
        self, connection: sa.Connection, plan: StagePlan, owner: str
    ) -> Claimed | Done | Failed | Busy:
        now = self._clock()
        row = self._read(connection, plan.key, lock=True)
        if row is not None:
            if row.status == FAILED:
                return Failed(plan.key, row.error or "failed")
            held = row.status == CLAIMED and row.owner != owner
            if held and not is_gone(row.owner, row.heartbeat, self.lease, now):
                return Busy(plan.key, row.owner)
        found = self._files.stored(plan.key)
        if found is not None:
            if row is None or row.status != DONE:
                self._write(
                    connection,
                    plan,
                    row,
                    status=DONE,
                    owner=owner if row is None else row.owner,
                    result=_result_text(found),
                    finished=now,
                    heartbeat=now,
                )
            return Done(plan.key, found, self.folder(plan.key))
        attempt = 1 if row is None else row.attempts + 1
        self._write(
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
        with self._transaction() as connection:
            self._update_claimed(connection, claim, heartbeat=self._clock())

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
        text = _result_text(result)
        self._files.seal(claim.folder, claim.key, result)
        try:
            with self._transaction() as connection:
                now = self._clock()
                self._update_claimed(
                    connection, claim, status=DONE, result=text, finished=now, heartbeat=now
                )
                final = self._files.publish(claim.folder, claim.key)
        except ClaimLost:
            shutil.rmtree(claim.folder, ignore_errors=True)
            raise
        return Done(claim.key, result, final)

    def fail(self, claim: Claimed, error: str) -> Failed:
        """Record that the run has no result, and why. It is not tried again.

        Raises:
            ClaimLost: the claim was taken over.
        """
        with self._transaction() as connection:
            now = self._clock()
            self._update_claimed(
                connection, claim, status=FAILED, error=error, finished=now, heartbeat=now
            )
        shutil.rmtree(claim.folder, ignore_errors=True)
        return Failed(claim.key, error)

    def release(self, claim: Claimed) -> None:
        """Give the claim back, to be taken by anyone; nothing happens if it was lost."""
        with contextlib.suppress(ClaimLost), self._transaction() as connection:
            self._update_claimed(connection, claim, status=OPEN)
        shutil.rmtree(claim.folder, ignore_errors=True)

    def crashed(self, owner: str, reason: str) -> list[str]:
        """Count a crash against everything the owner had claimed; returns the keys.

        A stage that has crashed twice is recorded as failed, before that it is open again. Only
        a death under a living campaign counts: a claim left by a campaign that was killed is
        taken over as often as it takes.
        """
        keys = []
        with self._transaction() as connection:
            held = sa.select(stages).where(stages.c.owner == owner, stages.c.status == CLAIMED)
            for row in connection.execute(held.with_for_update()).mappings().all():
                crashes, now = row["crashes"] + 1, self._clock()
                values: dict[str, Any] = {"crashes": crashes, "status": OPEN}
                if crashes >= MAX_CRASHES:
                    error = f"crashed {crashes} times: {reason}"
                    values.update(status=FAILED, error=error, finished=now)
                connection.execute(
                    sa.update(stages).where(stages.c.key == row["key"]).values(**values)
                )
                keys.append(row["key"])
        return keys

    # Reading

    def get(self, key: str) -> StageRow | None:
        """The stage's row, or None; takes no lock."""
        with self._reading() as connection:
            return self._read(connection, key, lock=False)

    def rows(self) -> list[StageRow]:
        """Every stage, in the order of the first claims."""
        with self._reading() as connection:
            found = connection.execute(sa.select(stages).order_by(stages.c.started))
            return [_row(item) for item in found.mappings()]

    def folder(self, key: str) -> Path:
        """Where the files of a finished stage lie."""
        return self._files.folder(key)

    def has_files(self, key: str) -> bool:
        """Whether the stage is finished and its files are still there."""
        return self._files.stored(key) is not None

    # Results of other pure steps

    def recall(self, key: str) -> Any | None:
        """The JSON value remembered under `key`, or None."""
        with self._reading() as connection:
            text = connection.scalar(sa.select(memo.c.value).where(memo.c.key == key))
        return None if text is None else json.loads(text)

    def remember(self, key: str, value: Any) -> None:
        """Keep a JSON value under `key`, a hash of everything it was computed from.

        Raises:
            ValueError: the value holds NaN or an infinity.
        """
        text = canonical_json(value)
        while True:
            try:
                with self._transaction() as connection:
                    written = connection.execute(
                        sa.update(memo).where(memo.c.key == key).values(value=text)
                    )
                    if not written.rowcount:
                        connection.execute(sa.insert(memo).values(key=key, value=text))
                    return
            except IntegrityError:
                continue

    # Below here: transactions and rows

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with self._faults_named(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        readers = self._engine.execution_options(**{READ_ONLY: True})
        with self._faults_named(), readers.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def _faults_named(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except (DBAPIError, sqlite3.Error) as error:
            reason = error.orig if isinstance(error, DBAPIError) else error
            raise InputError(f"the ledger cannot be used: {reason}", where=self._named) from error
        except OSError as error:
            place = error.filename or self.artifacts
            raise InputError(
                f"cannot be written: {error.strerror or error}", where=place
            ) from error

    def _read(self, connection: sa.Connection, key: str, *, lock: bool) -> StageRow | None:
        query = sa.select(stages).where(stages.c.key == key)
        found = connection.execute(query.with_for_update() if lock else query).mappings().first()
        return None if found is None else _row(found)

    def _write(
        self, connection: sa.Connection, plan: StagePlan, row: StageRow | None, **values: Any
    ) -> None:
        if row is not None:
            connection.execute(sa.update(stages).where(stages.c.key == plan.key).values(**values))
            return
        spec = {**vars(plan.spec), "config": dict(plan.spec.config)}
        new = {
            "key": plan.key,
            "kind": str(plan.kind),
            "parent": plan.parent,
            "spec": canonical_json(spec),
            "attempts": 0,
            "crashes": 0,
            "started": self._clock(),
        }
        connection.execute(sa.insert(stages).values(**(new | values)))

    def _update_claimed(self, connection: sa.Connection, claim: Claimed, **values: Any) -> None:
        written = connection.execute(
            sa.update(stages)
            .where(
                stages.c.key == claim.key,
                stages.c.owner == claim.owner,
                stages.c.attempts == claim.attempt,
                stages.c.status == CLAIMED,
            )
            .values(**values)
        )
        if written.rowcount != 1:
            raise ClaimLost(f"the claim of stage {claim.key[:12]} was taken over")


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


def _row(found: sa.RowMapping) -> StageRow:
    values: dict[str, Any] = {str(name): value for name, value in found.items()}
    result = values.pop("result")
    return StageRow(
        **{**values, "spec": json.loads(values["spec"])},
        result=None if result is None else StageResult(**json.loads(result)),
    )


def _result_text(result: StageResult) -> str:
    return canonical_json(result_values(result))
