"""The complete list of what differs between SQLite and PostgreSQL; everything above is written once.

Column types that differ stand in `columns`. Foreign errors are translated here and nowhere else.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    String,
    Table,
    create_engine,
    event,
    exc,
    func,
    type_coerce,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import QueuePool

from storage import errors

#: The number of SQLite's mode in which a file can give back what is free in it.
INCREMENTAL = 2

PRAGMAS = {
    "auto_vacuum": "INCREMENTAL",  # holds for a file that is new: it has to come before all else
    "journal_mode": "WAL",
    "synchronous": "FULL",  # an acknowledged callback survives a power cut
    "foreign_keys": "ON",
    "secure_delete": "ON",  # what is removed is overwritten
    "cache_size": "-65536",
    "temp_store": "MEMORY",
    "journal_size_limit": "67108864",
}


def engine(url: str, *, readonly: bool, connections: int, busy_seconds: float = 5.0) -> Engine:
    """An engine with `connections` connections at most; a read-only one cannot write even by mistake.

    A statement waits `busy_seconds` for another program's lock before it is Unavailable. Raises
    Unavailable where the URL names a database that this build cannot speak to.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        raise errors.Unavailable(f"this release speaks SQLite only, not {parsed.get_backend_name()}")
    if not readonly:
        _keep_private(parsed.database)
    made = create_engine(
        parsed,
        hide_parameters=True,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        connect_args={"check_same_thread": False, "timeout": busy_seconds},
    )
    _configure(made, readonly)
    return made


def _keep_private(file: str | None) -> None:
    """Makes a new database file readable by its owner alone: it will hold prompts and results."""
    if file and file != ":memory:":
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))


def _configure(made: Engine, readonly: bool) -> None:
    @event.listens_for(made, "connect")
    def connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, or the driver would begin too late
        for name, value in PRAGMAS.items():
            connection.execute(f"PRAGMA {name}={value}")
        if readonly:
            connection.execute("PRAGMA query_only=ON")

    @event.listens_for(made, "begin")
    def begin(connection: Connection) -> None:
        # IMMEDIATE takes the write lock at once: a read that turns into a write could not wait for it.
        connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")


def is_url(text: str) -> bool:
    """Whether SQLAlchemy can read it as the address of a database."""
    try:
        make_url(text)
    except exc.ArgumentError:
        return False
    return True


def file_of(url: str) -> str | None:
    """The path of an embedded database, None for a server's."""
    parsed: URL = make_url(url)
    return parsed.database if parsed.get_backend_name() == "sqlite" else None


@contextmanager
def sole_server(url: str) -> Iterator[None]:
    """Holds the lock file beside an embedded database for as long as a server runs on it. Raises InUse.

    A database server needs none: leases and locks of its own keep replicas apart.
    """
    file = file_of(url)
    if file is None:
        yield
        return
    path = Path(f"{file}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise errors.InUse(
                f"another Runledger server is running on {file} (it holds {path.name}): "
                "stop it, or give this one a data folder of its own"
            ) from None
        yield


def insert(connection: Connection, table: Table) -> Any:
    """An INSERT that knows ON CONFLICT, in the dialect of the connection."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def day(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The UTC day of an instant, as text: 2026-11-23."""
    if connection.dialect.name == "postgresql":
        return func.to_char(func.timezone("UTC", column), "YYYY-MM-DD")
    return func.substr(type_coerce(column, String), 1, 10)


def translate(error: exc.SQLAlchemyError) -> Exception:
    """What a failed statement means to callers: trouble of the database is Unavailable, a bug stays as it is."""
    # DatabaseError itself, none of its kinds, is what the driver says of a file that is no database.
    trouble = isinstance(error, exc.OperationalError | exc.TimeoutError | exc.InterfaceError)
    lost = isinstance(error, exc.DBAPIError) and error.connection_invalidated
    if trouble or lost or type(error) is exc.DatabaseError:
        return errors.Unavailable(_cause(error))
    return error


def _cause(error: exc.SQLAlchemyError) -> str:
    """The driver's own sentence, without the statement."""
    return str(getattr(error, "orig", None) or type(error).__name__)
