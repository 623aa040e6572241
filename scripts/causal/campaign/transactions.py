"""Transactions on the ledger's database, repeated where a server went away in the middle.

A transaction is a function of a connection that may be called again: when a server is restarted
nobody knows whether the last commit reached its disk. Every one of the ledger's is written so that
the second time changes nothing the first has done.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
)

from scripts.causal.campaign.database import READ_ONLY, metadata, open_engine, stages
from scripts.causal.files import InputError

RECONNECT_SECONDS = 60.0
FIRST_WAIT, LONGEST_WAIT = 0.05, 2.0
MAX_RACES = 8  # repeats before losing to another transaction counts as a fault

Answer = TypeVar("Answer")


class Database:
    """The ledger's database, its tables made on first use.

    Args:
        url: SQLAlchemy URL.
        patience: seconds to go on trying when a server is gone that has answered before.
        opening: seconds to go on trying the first time.

    Raises:
        InputError: it cannot be opened or written, or is not a ledger.
    """

    def __init__(
        self, url: str, patience: float = RECONNECT_SECONDS, opening: float = 0.0
    ) -> None:
        self._engine = open_engine(url)
        self._named = self._engine.url.render_as_string(hide_password=True)
        self._is_server = self._engine.url.get_backend_name() != "sqlite"
        self._patience = opening
        # "create if it is not there" is no atomic step on a server.
        columns = self.transact(_make_tables, races=(IntegrityError, ProgrammingError))
        if columns != set(stages.columns.keys()):
            raise InputError(
                "is a ledger of another version", where=self._named, mend="name another --ledger"
            )
        self._patience = patience

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def transact(
        self,
        work: Callable[[sa.Connection], Answer],
        races: tuple[type[DBAPIError], ...] = (IntegrityError,),
    ) -> Answer:
        """Do the work in a transaction, and again where it met another or lost the server.

        Args:
            work: may be called more than once.
            races: what is raised when another transaction was quicker.

        Raises:
            InputError: the database cannot be used, or a file that the work writes.
        """

        def once() -> Answer:
            with self._engine.begin() as connection:
                return work(connection)

        for _ in range(MAX_RACES):
            with contextlib.suppress(*races):
                return self._patiently(once, races)
        return self._patiently(once, ())

    def read(self, work: Callable[[sa.Connection], Answer]) -> Answer:
        """Do work that only reads; it takes no lock.

        Raises:
            InputError: the database cannot be used.
        """
        readers = self._engine.execution_options(**{READ_ONLY: True})

        def once() -> Answer:
            with readers.connect() as connection:
                return work(connection)

        return self._patiently(once, ())

    def _patiently(
        self, attempt: Callable[[], Answer], races: tuple[type[DBAPIError], ...]
    ) -> Answer:
        wait, give_up = FIRST_WAIT, time.monotonic() + self._patience
        while True:
            try:
                return attempt()
            except races:
                raise
            except (OperationalError, InterfaceError) as error:  # a server gone or coming back
                if not self._is_server or time.monotonic() + wait > give_up:
                    raise self._fault(error.orig) from error
            except DBAPIError as error:
                raise self._fault(error.orig) from error
            except sqlite3.Error as error:
                raise self._fault(error) from error
            except OSError as error:
                reason, place = error.strerror or error, error.filename or self._named
                raise InputError(f"cannot be written: {reason}", where=place) from error
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _fault(self, reason: BaseException | None) -> InputError:
        return InputError(f"the ledger cannot be used: {reason}", where=self._named)


def _make_tables(connection: sa.Connection) -> set[str]:
    """Make what is missing; the columns of the table of stages."""
    metadata.create_all(connection)
    return {item["name"] for item in sa.inspect(connection).get_columns("stages")}
