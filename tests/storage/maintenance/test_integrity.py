"""Looking at a database file as it is."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection

from storage import errors
from storage.engine.database import Database
from storage.maintenance import integrity


@pytest.fixture
def file(tmp_path: Path, template: Path) -> Path:
    return Path(shutil.copy(template, tmp_path / "runledger.db"))


def test_a_sound_file_is_reported_as_sound(file: Path) -> None:
    seen = integrity.inspect(str(file), 60)
    assert (seen.journal_mode, seen.damage, seen.is_complete) == ("wal", None, True)
    assert seen.size >= file.stat().st_size


def test_a_damaged_file_is_reported_as_damaged(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'runs'").fetchone()[0]
        page = connection.execute("PRAGMA page_size").fetchone()[0]
    with file.open("r+b") as raw:
        raw.seek((root - 1) * page)
        raw.write(b"\xff" * page)
    assert integrity.inspect(str(file), 60).damage


def test_a_check_that_takes_too_long_is_given_up(file: Path) -> None:
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) SELECT i FROM n"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"CREATE TABLE filled AS {many}")
        connection.commit()
    seen = integrity.inspect(str(file), -1)
    assert (seen.damage, seen.is_complete) == (None, False)


@pytest.mark.parametrize("content", [None, b"no database at all" * 100])
def test_what_is_no_database_is_unavailable(tmp_path: Path, content: bytes | None) -> None:
    odd = tmp_path / "odd.db"
    if content is not None:
        odd.write_bytes(content)
    with pytest.raises(errors.Unavailable):
        integrity.inspect(str(odd), 60)
    assert odd.exists() is (content is not None)


@pytest.mark.anyio
async def test_a_server_says_what_it_is(served: Database) -> None:
    seen = await served.read(integrity.server_state)
    assert (seen.version.split(".")[0], seen.is_durable, seen.is_standby) == ("18", True, False)


@pytest.mark.anyio
async def test_a_server_that_may_lose_what_it_has_committed_is_refused(served: Database) -> None:
    def ask(connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
        integrity.require_durable(connection)

    with pytest.raises(errors.NotDurable, match="synchronous_commit"):
        await served.write(ask)
