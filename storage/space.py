"""Giving disk space back: what an embedded database holds free after content was removed from it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from storage import dialect, errors

#: Pages that are given back in one transaction, and the seconds in which others get at the database then.
PAGES = 1024
PAUSE = 0.02
#: Seconds to wait for another program's lock.
BUSY = 30.0
#: Seconds in which readers may be in the way of cutting the file off: the server's writes wait meanwhile.
BUSY_READERS = 1.0


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes of the database's files, before and after; how many of them are free inside and stay so."""

    before: int
    after: int
    free: int


def give_back(url: str, *, rewrite: bool) -> Space | None:
    """Shrinks the file by what is free in it, beside a running server. None where the database is no file.

    A database that was made without incremental vacuum keeps its size unless `rewrite` allows to write it anew,
    which needs its size on disk twice more, keeps writers waiting, and makes it one that shrinks. Raises
    Unavailable.
    """
    file = dialect.file_of(url)
    if file is None:
        return None
    before = _size(file)
    with _opened(file) as connection:
        if rewrite:
            connection.execute(dialect.REWRITE_WORDS)
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # takes effect by the next statement
            connection.execute("VACUUM")
        elif _number(connection, "auto_vacuum") == dialect.INCREMENTAL:
            _shrink(connection)
        # Only what is in the file itself can be cut off; where readers are in the way the server does it later.
        connection.execute(f"PRAGMA busy_timeout={int(BUSY_READERS * 1000)}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        free = _number(connection, "freelist_count") * _number(connection, "page_size")
    return Space(before, _size(file), free)


def _shrink(connection: sqlite3.Connection) -> None:
    """In small transactions, so that a server's writes come in between."""
    left = _number(connection, "freelist_count")
    while left > 0:
        # The driver takes but one step of what answers no rows, which is one page; of a script it takes all.
        connection.executescript(f"PRAGMA incremental_vacuum({PAGES})")
        before, left = left, _number(connection, "freelist_count")
        if left >= before:  # others free pages faster than we give them back
            return
        time.sleep(PAUSE)


@contextmanager
def _opened(file: str) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(file, timeout=BUSY, isolation_level=None)) as connection:
            yield connection
    except sqlite3.OperationalError as error:
        raise errors.Unavailable(str(error)) from error


def _number(connection: sqlite3.Connection, name: str) -> int:
    found: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return found


def _size(file: str) -> int:
    paths = [Path(file), Path(f"{file}-wal")]
    return sum(path.stat().st_size for path in paths if path.exists())
