"""Looking at a database as it is: at the file of an embedded one, which the door may not be able to open, and at
what a server says of itself."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, select

from storage import errors

#: Instructions of SQLite's machine between two looks at the clock.
STRIDE = 10_000


@dataclass(frozen=True, slots=True)
class Inspection:
    """`size` in bytes, `-wal` included. `damage` is the first thing that SQLite's quick check found.

    `is_whole` is False where the check was not through in its time, which says nothing of the rest.
    """

    size: int
    journal_mode: str
    damage: str | None
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Server:
    """`is_durable` says whether what it has committed outlives its end; a standby takes no writes."""

    version: str
    is_durable: bool
    is_standby: bool


def server(connection: Connection) -> Server:
    """What a database server says of itself, for this connection."""
    said = (func.current_setting("server_version"), func.current_setting("synchronous_commit"))
    version, commit, is_standby = connection.execute(select(*said, func.pg_is_in_recovery())).one()
    return Server(version.split()[0], commit != "off", is_standby)


def demand_durable(connection: Connection) -> None:
    """Raises NotDurable for a server that acknowledges a commit before it is on disk."""
    if not server(connection).is_durable:
        raise errors.NotDurable(
            "the database may lose what it has committed, since synchronous_commit is off: "
            "`ALTER DATABASE … SET synchronous_commit = on`, then start again"
        )


def inspect(file: str, seconds: float) -> Inspection:
    """Opens the file and checks its structure for `seconds` at most. Raises Unavailable where that cannot be."""
    try:
        with closing(sqlite3.connect(f"{Path(file).absolute().as_uri()}?mode=ro", uri=True)) as connection:
            mode: str = connection.execute("PRAGMA journal_mode").fetchone()[0]
            damage, is_whole = _checked(connection, time.monotonic() + seconds)
    except sqlite3.Error as error:
        raise errors.Unavailable(str(error)) from error
    return Inspection(_size(file), mode, damage, is_whole)


def _checked(connection: sqlite3.Connection, until: float) -> tuple[str | None, bool]:
    connection.set_progress_handler(lambda: time.monotonic() > until, STRIDE)
    try:
        found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return None, False
        raise
    return (None if found == "ok" else found), True


def _size(file: str) -> int:
    paths = (Path(file), Path(f"{file}-wal"))
    return sum(path.stat().st_size for path in paths if path.exists())
