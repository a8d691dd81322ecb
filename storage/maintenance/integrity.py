"""Integrity checks: of an embedded file, even one that cannot be opened for work, and of a server's durability."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, select

from storage import errors
from storage.engine import urls

#: The instructions of SQLite's virtual machine between two checks of the time.
STRIDE = 10_000


@dataclass(frozen=True, slots=True)
class Inspection:
    """The state of a file: its `size` in bytes with the `-wal` file; `damage` is the first finding of quick_check.

    `is_complete` is False where the check did not end in time, so that the rest was not checked.
    """

    size: int
    journal_mode: str
    damage: str | None
    is_complete: bool


@dataclass(frozen=True, slots=True)
class ServerState:
    """A database server. `is_durable`: its commits survive a crash. `is_standby`: it accepts no writes."""

    version: str
    is_durable: bool
    is_standby: bool


def server_state(connection: Connection) -> ServerState:
    """Return what the database server reports about itself on this connection."""
    settings = (func.current_setting("server_version"), func.current_setting("synchronous_commit"))
    version, commit, is_standby = connection.execute(select(*settings, func.pg_is_in_recovery())).one()
    return ServerState(version.split()[0], commit != "off", is_standby)


def require_durable(connection: Connection) -> None:
    """Raise NotDurable for a server that acknowledges a commit before it is on disk."""
    if not server_state(connection).is_durable:
        raise errors.NotDurable(
            "the database may lose what it has committed, since synchronous_commit is off: "
            "`ALTER DATABASE … SET synchronous_commit = on`, then start again"
        )


def inspect(file: str, seconds: float) -> Inspection:
    """Open the file and check its structure for `seconds` at most. Raises Unavailable where that fails."""
    try:
        with closing(sqlite3.connect(f"{Path(file).absolute().as_uri()}?mode=ro", uri=True)) as connection:
            mode: str = connection.execute("PRAGMA journal_mode").fetchone()[0]
            damage, is_whole = _quick_check(connection, time.monotonic() + seconds)
    except sqlite3.Error as error:
        raise errors.Unavailable(str(error)) from error
    return Inspection(urls.size_of(file), mode, damage, is_whole)


def _quick_check(connection: sqlite3.Connection, until: float) -> tuple[str | None, bool]:
    connection.set_progress_handler(lambda: time.monotonic() > until, STRIDE)
    try:
        found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return None, False
        raise
    return (None if found == "ok" else found), True
