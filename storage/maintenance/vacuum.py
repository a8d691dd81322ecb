"""Vacuum: return the free pages of an embedded database to the file system, after content was removed."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass

from storage import errors
from storage.engine import connections, urls
from storage.search import fulltext

#: The pages that are freed in one transaction, and the seconds of pause in which others can write.
PAGES = 1024
PAUSE = 0.02
#: The seconds to wait for a lock of another program.
BUSY = 30.0
#: The seconds to wait for readers before the file is truncated, during which the server's writes wait.
BUSY_READERS = 1.0


@dataclass(frozen=True, slots=True)
class VacuumResult:
    """The bytes of the database's files before and after; `free` of them are still unused.

    Unless `is_overwritten`, a reader kept the write-ahead log from being emptied, so that it holds older pages.
    """

    before: int
    after: int
    free: int
    is_overwritten: bool


def shrink(url: str, *, rewrite: bool, words: bool = False) -> VacuumResult | None:
    """Shrink the file by its free pages, beside a running server. Return None for a database that is not a file.

    With `words` the index of words is rewritten too, in small transactions: removed words are in it until then.
    A database that was created without incremental vacuum keeps its size, unless `rewrite` allows to rewrite it.
    That needs twice its size on disk in addition, blocks writers, and enables incremental vacuum. Raises
    Unavailable.
    """
    file = urls.file_path(url)
    if file is None:
        return None
    before = urls.size_of(file)
    try:
        with closing(sqlite3.connect(file, timeout=BUSY, isolation_level=None)) as connection:
            connection.execute("PRAGMA secure_delete=ON")
            if words or rewrite:
                _rewrite_words(connection)
            if rewrite:
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # takes effect by the next statement
                connection.execute("VACUUM")
            elif _pragma(connection, "auto_vacuum") == connections.INCREMENTAL:
                _free_pages(connection)
            # Only pages in the file itself can be truncated; where readers prevent that, the server does it later.
            connection.execute(f"PRAGMA busy_timeout={int(BUSY_READERS * 1000)}")
            is_busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            free = _pragma(connection, "freelist_count") * _pragma(connection, "page_size")
    except sqlite3.OperationalError as error:
        raise errors.Unavailable(str(error)) from error
    return VacuumResult(before, urls.size_of(file), free, is_overwritten=not is_busy)


def _rewrite_words(connection: sqlite3.Connection) -> None:
    """Merge all segments of the index of words into one, without the words that were removed."""
    pages = -PAGES  # the first step, which is negative, takes all segments for the merge
    while True:
        before = connection.total_changes
        connection.execute(fulltext.MERGE_WORDS, [pages])
        if pages > 0 and connection.total_changes - before < 2:  # as FTS5 reports that nothing is left to merge
            return
        pages = PAGES
        time.sleep(PAUSE)


def _free_pages(connection: sqlite3.Connection) -> None:
    """Free pages in small transactions, so that a server can write in between."""
    left = _pragma(connection, "freelist_count")
    while left > 0:
        # The driver runs one step of a statement without rows, which is one page; a script it runs to the end.
        connection.executescript(f"PRAGMA incremental_vacuum({PAGES})")
        before, left = left, _pragma(connection, "freelist_count")
        if left >= before:  # others free pages faster than this does
            return
        time.sleep(PAUSE)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    found: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return found
