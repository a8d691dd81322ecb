"""Copies of the store from the terminal."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from storage import dialect, house, runs
from storage.database import Database
from tests import copying, life, postgres
from tests.receiver.cli.desk import Desk
from tests.server import Site


async def settled(database: Database) -> runs.Run:
    return await life.settled_run(database)


async def accepted(database: Database) -> runs.Run:
    return await life.accepted(database)


def test_a_backup_tells_what_is_in_it_and_what_is_not(desk: Desk) -> None:
    desk.behind(settled)
    shown = desk.type("backup", "copy.db")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith("copy.db holds 1 runs and 4 ledger entries in ")
    assert "data/secret.key is not in it: keep that too" in shown.out
    told = desk.type("backup", "other.db", "--json").object
    assert (told["runs"], told["entries"], told["bytes"]) == (1, 4, Path("other.db").stat().st_size)


def test_a_backup_replaces_nothing_and_needs_a_database(desk: Desk) -> None:
    Path("copy.db").write_text("mine")
    shown = desk.type("backup", "copy.db")
    assert (shown.code, Path("copy.db").read_text()) == (1, "mine")
    assert "is there already, and stays: add --force" in shown.err
    assert desk.type("backup", "copy.db", "--force").code == 0


def test_where_there_is_no_database_there_is_nothing_to_copy(bare: Desk) -> None:
    shown = bare.type("backup", "copy.db")
    assert (shown.code, shown.err) == (1, "runledger: there is no database at data/runledger.db yet\n")


def test_what_is_restored_is_the_copy_marked(desk: Desk) -> None:
    run = desk.behind(accepted)
    desk.type("backup", "copy.db")
    desk.behind(settled)
    assert "add --force" in desk.type("restore", "copy.db").err
    told = desk.type("restore", "copy.db", "--force", "--json").object
    assert (told["runs"], told["accepted"], told["isNew"]) == (1, 1, True)
    assert [each["id"] for each in desk.type("runs", "--json").objects] == [run.id]
    assert desk.behind(lambda database: database.read(house.origin)).copied_at is None


def test_a_restore_into_an_empty_folder_says_that_the_key_is_missing(desk: Desk) -> None:
    desk.type("backup", "copy.db")
    (desk.folder / "runledger.db").unlink()
    shown = desk.type("restore", "copy.db")
    assert shown.code == 0
    assert "There is no secret.key here" in shown.out


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\x00 and then nothing", b"a letter"])
def test_what_is_no_copy_replaces_nothing(desk: Desk, content: bytes) -> None:
    run = desk.behind(settled)
    Path("copy.db").write_bytes(content)
    shown = desk.type("restore", "copy.db", "--force")
    assert (shown.code, shown.out) == (1, "")
    assert desk.type("show", run.id).code == 0
    assert sorted(path.name for path in desk.folder.iterdir()) == ["runledger.db", "runledger.db.lock"]


@pytest.mark.parametrize("words", [("restore", "copy.db", "--force"), ("restored",)])
def test_nothing_is_restored_under_a_running_server(desk: Desk, words: tuple[str, ...]) -> None:
    desk.type("backup", "copy.db")
    with dialect.sole_server(desk.url):
        shown = desk.type(*words)
    assert shown.code == 1
    assert "another Runledger server is running" in shown.err


def test_a_store_can_be_told_once_and_again_that_it_is_a_copy(desk: Desk) -> None:
    desk.behind(accepted)
    assert desk.type("restored").out.startswith("1 accepted and 0 queued runs are marked")
    assert desk.type("restored").out.startswith("It was marked as restored at ")
    told = desk.type("restored", "--json").object
    assert (told["isNew"], told["accepted"], told["lastNumber"]) == (False, 0, -1)


def test_a_feed_is_not_followed_from_where_it_has_not_been(desk: Desk) -> None:
    shown = desk.type("runs", "--follow", "--cursor", "7")
    assert shown.code == 1
    assert "the feed ends with number -1, before 7" in shown.err


@pytest.fixture
def served(server_url: str, tmp_path: Path) -> Site:
    """A place with a fresh database of a server."""
    return Site(tmp_path, server_url)


def type_at(desk: Desk, site: Site, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    """Runs a command on a server's database."""
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    return desk.type(*words)


@pytest.mark.anyio
async def test_on_postgresql_its_own_tools_make_and_put_back_the_copy(
    served: Site, tmp_path: Path, cluster: postgres.Cluster
) -> None:
    async with Database(served.url) as database:
        run = await life.settled_run(database)
    copying.taken(served, tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    (tmp_path / "there").mkdir()
    copy = copying.loaded(served, tmp_path / "copy", tmp_path / "there", lambda: cluster.fresh("template0"))
    async with Database(copy.url) as database:
        assert await life.found(database, run.id) == run
        await life.settled_run(database)  # sequences go on where they were


def test_where_pg_dump_is_not_there_the_line_to_type_is_told(
    bare: Desk, served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(bare.folder))
    shown = type_at(bare, served, monkeypatch, "backup", "copy.dump")
    assert shown.code == 1
    assert "pg_dump --format=custom --file=copy.dump 'postgresql://postgres@" in shown.err


def test_where_pg_dump_fails_its_words_are_told(bare: Desk, served: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{postgres.TOOLS}:/bin")
    site = Site(served.folder, served.database_url.replace("/runledger_", "/nowhere_"))
    shown = type_at(bare, site, monkeypatch, "backup", "copy.dump")
    assert shown.code == 1
    assert "pg_dump failed: " in shown.err
    assert not list(Path().glob("*copy*"))


def test_a_password_is_in_no_line(bare: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(bare.folder, "postgresql://me:secret@db.example/name?password=secret")
    shown = type_at(bare, site, monkeypatch, "restore", "copy.dump")
    assert shown.code == 1
    assert "--dbname=postgresql://me@db.example/name copy.dump" in shown.err
    assert "secret" not in shown.err


@contextmanager
def beating(url: str) -> Iterator[None]:
    """A worker's heart, all the while."""
    begun, ended = threading.Event(), threading.Event()

    async def beat() -> None:
        async with Database(url) as database:
            while not ended.is_set():
                now = await database.read(dialect.time)
                assert now is not None
                await database.write(house.beat, now)
                begun.set()

    thread = threading.Thread(target=lambda: asyncio.run(beat()))
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_on_postgresql_nothing_is_restored_under_a_worker(
    bare: Desk, served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with beating(served.url):
        shown = type_at(bare, served, monkeypatch, "restored")
    assert shown.code == 1
    assert "stop every `runledger serve` and `runledger work` first" in shown.err
    assert type_at(bare, served, monkeypatch, "restored", "--force", "--json").object["isNew"]
