"""Backups of an embedded database: copied while a server runs, checked, and installed as a database.

A copy is written to a temporary file and then renamed, so it is complete or absent. The copy is marked as one, so
that no server uses it in place of the original store by mistake.
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

from storage import errors
from storage.engine import column_types

#: The pages that are copied between two reports of progress.
PAGES = 2048
#: The seconds to wait for a lock of another program.
BUSY = 30.0
#: The suffixes of the files that SQLite keeps beside a database.
SIDECAR_SUFFIXES = ("-wal", "-shm", "-journal")

Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Copy:
    """A complete store in one file: `size` in bytes, the numbers of runs and ledger entries, the schema."""

    size: int
    schema: str
    runs: int
    entries: int


def take(source: str, file: Path, now: datetime, *, replace: bool, advance: Advance) -> Copy:
    """Copy the database `source` to `file`, as one snapshot, and check the copy. Others may write during it.

    `advance` gets the number of copied pages and of all. Raises TargetNotEmpty, DatabaseDamaged, Unavailable.
    """
    require_free(file, replace=replace)
    with temporary_file(file) as path:
        copy(source, path, advance)
        _mark(path, now)
        found = check(path)
        install(path, file, replace=replace)
    return found


def require_free(file: Path, *, replace: bool) -> None:
    """Raise TargetNotEmpty where the file exists and may not be replaced."""
    if not replace and os.path.lexists(file):
        raise errors.TargetNotEmpty(f"{file} is there already, and stays: add --force to replace it")


@contextmanager
def temporary_file(file: Path) -> Iterator[Path]:
    """Make an empty file beside `file` that only its owner can read; remove it at the end if it is still there."""
    path = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    with _translate_errors(file):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield path
    finally:
        for name in ("", *SIDECAR_SUFFIXES):
            path.with_name(path.name + name).unlink(missing_ok=True)


def copy(source: str | Path, to: Path, advance: Advance) -> None:
    """Copy a database to a file, as one snapshot. Raises Unavailable.

    The read transaction stays open to the end, so that writes of others do not restart the copy.
    """
    with (
        _translate_errors(source),
        closing(_connect(source, "rw")) as original,
        closing(_connect(to, "rw")) as copied,
    ):
        original.execute("BEGIN")
        original.execute("SELECT count(*) FROM sqlite_master").fetchone()
        original.backup(copied, pages=PAGES, progress=lambda _, left, total: advance(total - left, total))
        original.execute("ROLLBACK")
        # A single file, without a WAL, can be read in a read-only folder.
        copied.execute("PRAGMA journal_mode=DELETE").fetchone()


def _mark(file: Path, now: datetime) -> None:
    """Mark the file as a copy. Schemas older than this mark have no column for it."""
    with _translate_errors(file), closing(_connect(file, "rw")) as connection:
        for table in ("system_state", "house"):  # the names of the table since schema 0012, and before
            if "copied_at" in {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}:
                connection.execute(f"INSERT INTO {table} (id) VALUES (1) ON CONFLICT DO NOTHING")
                connection.execute(f"UPDATE {table} SET copied_at = ?", (column_types.instant_text(now),))


def check(file: Path) -> Copy:
    """Check a whole file. Raises DatabaseDamaged where it is damaged or not a store of ours."""
    try:
        with closing(_connect(file, "ro")) as connection:
            damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if damage != "ok":
                raise errors.DatabaseDamaged(f"{file} is damaged: {damage}")
            (schema,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            (runs,) = connection.execute("SELECT count(*) FROM runs").fetchone()
            (entries,) = connection.execute("SELECT count(*) FROM ledger_entries").fetchone()
    except (sqlite3.Error, TypeError) as error:  # TypeError: the schema has no version
        reason = f"is no database of Runledger's, or an incomplete one: {error}"
        raise errors.DatabaseDamaged(f"{file} {reason}") from None
    return Copy(file.stat().st_size, schema, runs, entries)


def install(path: Path, file: Path, *, replace: bool) -> None:
    """Move a complete file to its place and sync it. No program may use the old file. Raises TargetNotEmpty."""
    require_free(file, replace=replace)
    with _translate_errors(file):
        _sync(path)
        for name in SIDECAR_SUFFIXES:  # those of the old file would corrupt the new one
            file.with_name(file.name + name).unlink(missing_ok=True)
        path.replace(file)
        _sync(file.parent)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _connect(file: str | Path, mode: str) -> sqlite3.Connection:
    uri = f"{Path(file).absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY)


@contextmanager
def _translate_errors(file: str | Path) -> Iterator[None]:
    """Turn errors of files and of SQLite into errors of this package."""
    try:
        yield
    except OSError as error:
        raise errors.Unavailable(f"{file}: {error.strerror}") from error
    except sqlite3.OperationalError as error:
        raise errors.Unavailable(f"{file}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise errors.DatabaseDamaged(f"{file}: {error}") from error
