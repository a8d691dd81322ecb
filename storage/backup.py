"""Copies of an embedded database: taken beside a running server, checked, and put where a database belongs.

A copy is written aside and appears whole or not at all. One that was taken here says of itself that it is a copy,
so that no server takes it for the store that it was made of.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from storage import columns, errors

#: Pages that are copied between two looks at who wants to know how far it is.
PAGES = 2048
#: Seconds to wait for another program's lock.
BUSY = 30.0
#: What SQLite keeps beside a database.
BESIDE = ("-wal", "-shm", "-journal")

Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Copy:
    """A whole store in one file: `size` in bytes, how many runs and ledger entries are in it, and its schema."""

    size: int
    schema: str
    runs: int
    entries: int


def take(source: str, file: Path, now: datetime, *, replace: bool, advance: Advance) -> Copy:
    """Copies the database `source` into `file` as it is at one moment, whoever writes meanwhile, and checks it.

    `advance` is told how many pages of how many are done. Raises Occupied, Damaged, Unavailable.
    """
    demand_free(file, replace=replace)
    with aside(file) as path:
        copy(source, path, advance)
        _mark(path, now)
        found = check(path)
        install(path, file, replace=replace)
    return found


def demand_free(file: Path, *, replace: bool) -> None:
    """Raises Occupied where something stands there that is not to be replaced."""
    if not replace and os.path.lexists(file):
        raise errors.Occupied(f"{file} is there already, and stays: add --force to replace it")


@contextmanager
def aside(file: Path) -> Iterator[Path]:
    """A new empty file beside `file`, its owner's alone; what is left of it at the end goes."""
    path = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    with _told(file):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield path
    finally:
        _remove(path)


def copy(source: str | Path, to: Path, advance: Advance) -> None:
    """All of a database as it is at one moment, into a file of its own. Raises Unavailable.

    The snapshot is held to the end, so that writes of others neither come in nor have it begin anew.
    """
    with _told(source), closing(_opened(source, "rw")) as original, closing(_opened(to, "rw")) as made:
        original.execute("BEGIN")
        original.execute("SELECT count(*) FROM sqlite_master").fetchone()
        original.backup(made, pages=PAGES, progress=lambda _, left, total: advance(total - left, total))
        original.execute("ROLLBACK")
        made.execute("PRAGMA journal_mode=DELETE").fetchone()  # one file, which can be read where nobody may write


def _mark(file: Path, now: datetime) -> None:
    """A schema from before copies were marked has no place for it."""
    with _told(file), closing(_opened(file, "rw")) as made:
        if "copied_at" in {row[1] for row in made.execute("PRAGMA table_info(house)")}:
            made.execute("INSERT INTO house (id) VALUES (1) ON CONFLICT DO NOTHING")
            made.execute("UPDATE house SET copied_at = ?", (columns.text(now),))


def check(file: Path) -> Copy:
    """Reads all of it. Raises Damaged where it is not whole, or no store of ours."""
    try:
        with closing(_opened(file, "ro")) as made:
            damage = made.execute("PRAGMA quick_check(1)").fetchone()[0]
            if damage != "ok":
                raise errors.Damaged(f"{file} is damaged: {damage}")
            (schema,) = made.execute("SELECT version_num FROM alembic_version").fetchone()
            (runs,) = made.execute("SELECT count(*) FROM runs").fetchone()
            (entries,) = made.execute("SELECT count(*) FROM ledger_entries").fetchone()
    except (sqlite3.Error, TypeError) as error:  # a version that is not there is None
        raise errors.Damaged(f"{file} is no database of Runledger's, or not a whole one: {error}") from None
    return Copy(file.stat().st_size, schema, runs, entries)


def install(path: Path, file: Path, *, replace: bool) -> None:
    """Puts a whole file in place, for good. Nobody may be working on what stood there. Raises Occupied."""
    demand_free(file, replace=replace)
    with _told(file):
        _sync(path)
        for name in BESIDE:  # of one that is gone: read into this one it would ruin it
            file.with_name(file.name + name).unlink(missing_ok=True)
        path.replace(file)
        _sync(file.parent)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _remove(path: Path) -> None:
    for name in ("", *BESIDE):
        path.with_name(path.name + name).unlink(missing_ok=True)


def _opened(file: str | Path, mode: str) -> sqlite3.Connection:
    uri = f"{Path(file).absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY)


@contextmanager
def _told(file: str | Path) -> Iterator[None]:
    """What goes wrong with a file, in our words."""
    try:
        yield
    except OSError as error:
        raise errors.Unavailable(f"{file}: {error.strerror}") from error
    except sqlite3.OperationalError as error:
        raise errors.Unavailable(f"{file}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise errors.Damaged(f"{file}: {error}") from error
