"""Watch a database file for commits of other programs, such as commands, which announce none.

SQLite counts the commits of a file in memory that all its users share, so a look costs a few microseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import NoReturn

from storage.engine import database, urls


async def watch(store: database.Database, seconds: float) -> NoReturn:
    """Look every `seconds` seconds, until cancelled, and notify the waiters where anything was committed."""
    with contextlib.closing(_opened(store.url)) as connection, store.watched():
        seen = _version(connection)
        while True:
            await asyncio.sleep(seconds)
            found = _version(connection)
            if found is None or found != seen:
                store.notify_commit()
            seen = found


def _opened(url: str) -> sqlite3.Connection:
    file = urls.file_path(url)
    assert file is not None, "a database server announces commits itself"
    return sqlite3.connect(f"{Path(file).absolute().as_uri()}?mode=ro", uri=True, timeout=0)


def _version(connection: sqlite3.Connection) -> int | None:
    """Return a number that every commit of another connection changes; None while the file is locked."""
    try:
        found: int = connection.execute("PRAGMA data_version").fetchone()[0]
    except sqlite3.OperationalError:
        return None
    return found
