"""The ledger's tables, and how its database is opened.

SQLite runs in WAL mode with a busy timeout and transactions that take the write lock at once
(two readers that both want to write would otherwise deadlock into "database is locked"). Nothing
else is SQLite's own; a server gets row locks through SELECT … FOR UPDATE, and its connections are
tried before use, since it may have been restarted meanwhile. A SQLite ledger belongs on a local
disk: WAL needs memory shared between its users.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from scripts.causal.files import InputError

BUSY_TIMEOUT_SECONDS = 60.0
READ_ONLY = "causal_golf_read_only"  # execution option of connections that need no write lock

metadata = sa.MetaData()
stages = sa.Table(
    "stages",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("parent", sa.String(64)),
    sa.Column("spec", sa.Text, nullable=False),
    sa.Column("status", sa.String(8), nullable=False),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("heartbeat", sa.Double, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("crashes", sa.Integer, nullable=False),
    sa.Column("result", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("finished", sa.Double),
)
memo = sa.Table(
    "memo",
    metadata,
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)


def open_engine(url: str) -> sa.Engine:
    """Connections to the database; for SQLite, to a file that is made on first use.

    Raises:
        InputError: not a database URL, no driver for it, or no place for the file.
    """
    try:
        address = sa.make_url(url)
        if address.get_backend_name() != "sqlite":
            return sa.create_engine(_with_driver(address), pool_pre_ping=True)
        if not address.database or address.database == ":memory:":
            raise InputError("a ledger in memory cannot be shared", where=url, mend="name a file")
        Path(address.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(address, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=url) from error
    except ModuleNotFoundError as error:
        raise InputError(
            f"is not a database that can be opened: {error}",
            where=address.render_as_string(hide_password=True),
            mend="pip install 'causal-golf[postgres]' brings PostgreSQL's driver",
        ) from error
    except SQLAlchemyError as error:
        raise InputError(f"is not a database that can be opened: {error}", where=url) from error

    @sa.event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would take no write lock
        _use_wal(connection)
        connection.execute(
            "PRAGMA synchronous = NORMAL"
        )  # a lost commit is mended from the folder

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        if not connection.get_execution_options().get(READ_ONLY):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _with_driver(address: sa.URL) -> sa.URL:
    """The driver that is installed with the extra, whatever SQLAlchemy's release would take."""
    if address.drivername in ("postgres", "postgresql"):
        return address.set(drivername="postgresql+psycopg")
    return address


def _use_wal(connection: sqlite3.Connection) -> None:
    # Several processes may make the ledger at once, and the change of mode does not wait for a
    # lock as everything else does: it is told "locked" at once.
    give_up = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
