"""Copies of an embedded database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from storage import errors
from storage.engine import urls
from storage.engine.database import Database
from storage.maintenance import backup
from storage.repositories import system_state
from tests import life

pytestmark = pytest.mark.anyio


def source(database: Database) -> str:
    file = urls.file_path(database.url)
    assert file is not None
    return file


def taken(database: Database, file: Path, *, replace: bool = False) -> backup.Copy:
    return backup.take(source(database), file, life.at(60), replace=replace, advance=lambda *_: None)


async def test_a_copy_holds_what_was_committed_and_is_one_private_file(embedded: Database, tmp_path: Path) -> None:
    run = await life.settled_run(embedded)
    made = taken(embedded, tmp_path / "copy.db")
    assert (made.runs, made.size) == (1, (tmp_path / "copy.db").stat().st_size)
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if "copy" in path.name) == ["copy.db"]
    async with Database(f"sqlite:///{tmp_path / 'copy.db'}") as copy:
        assert await life.get_run(copy, run.id) == await life.get_run(embedded, run.id)


async def test_a_copy_says_that_it_is_one_and_the_store_does_not(embedded: Database, tmp_path: Path) -> None:
    taken(embedded, tmp_path / "copy.db")
    assert not await embedded.read(system_state.require_original)
    async with Database(f"sqlite:///{tmp_path / 'copy.db'}") as copy:
        assert (await copy.read(system_state.copy_status)).copied_at == life.at(60)


async def test_what_is_written_while_it_is_copied_neither_comes_in_nor_begins_it_again(
    embedded: Database, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(source(embedded), isolation_level=None)) as other:
        other.execute("CREATE TABLE filler (content)")
        other.execute("INSERT INTO filler VALUES (zeroblob(40000000))")
        seen: list[int] = []

        def advance(done: int, _total: int) -> None:
            seen.append(done)
            other.execute("INSERT INTO system_state (id, pause_streak) VALUES (1, 7) ON CONFLICT DO NOTHING")

        (tmp_path / "copy.db").touch()
        backup.copy(source(embedded), tmp_path / "copy.db", advance)
    assert len(seen) > 2
    assert seen == sorted(set(seen))
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT count(*) FROM system_state").fetchone() == (0,)


async def test_nothing_is_replaced_without_an_option(embedded: Database, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("mine")
    with pytest.raises(errors.TargetNotEmpty, match="--force"):
        taken(embedded, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "mine"
    taken(embedded, tmp_path / "copy.db", replace=True)
    assert backup.check(tmp_path / "copy.db").runs == 0


async def test_a_copy_that_fails_leaves_nothing_behind(embedded: Database, tmp_path: Path) -> None:
    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup.take(source(embedded), tmp_path / "copy.db", life.NOW, replace=False, advance=stop)
    assert not [path for path in tmp_path.iterdir() if "copy" in path.name]
    with pytest.raises(errors.Unavailable, match="No such file"):
        taken(embedded, tmp_path / "nowhere" / "copy.db")


async def test_a_store_of_an_older_schema_can_be_copied(embedded: Database, tmp_path: Path) -> None:
    await embedded.write(
        lambda connection: connection.execute(text("ALTER TABLE system_state DROP COLUMN copied_at"))
    )
    assert taken(embedded, tmp_path / "copy.db").runs == 0


async def test_every_page_of_a_copy_is_read(embedded: Database, tmp_path: Path) -> None:
    for _ in range(20):
        await life.settled_run(embedded)
    taken(embedded, tmp_path / "copy.db")
    whole = (tmp_path / "copy.db").read_bytes()
    half = len(whole) // 2
    for broken in (whole[:half], whole[:half] + b"\xff" * 8192 + whole[half + 8192 :], b"", b"no database"):
        (tmp_path / "broken.db").write_bytes(broken)
        with pytest.raises(errors.DatabaseDamaged):
            backup.check(tmp_path / "broken.db")


async def test_a_database_of_another_program_is_no_copy(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE things (name)")
    with pytest.raises(errors.DatabaseDamaged, match="no database of Runledger's"):
        backup.check(tmp_path / "other.db")


async def test_what_belonged_to_the_one_before_is_not_read_into_the_one_that_comes(
    embedded: Database, tmp_path: Path
) -> None:
    taken(embedded, tmp_path / "copy.db")
    old = tmp_path / "old.db"
    with closing(sqlite3.connect(old, isolation_level=None)) as held:
        held.execute("PRAGMA journal_mode=WAL")
        held.execute("CREATE TABLE runs (old)")
        assert (tmp_path / "old.db-wal").stat().st_size
        backup.install(tmp_path / "copy.db", old, replace=True)
    assert backup.check(old).runs == 0
