"""Copies of the store from the terminal."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from storage.engine import dialect, urls
from storage.engine.database import Database
from storage.repositories import runs, system_state
from tests import copying, life, postgres
from tests.receiver.cli.terminal import Terminal
from tests.server import Site


async def settled(database: Database) -> runs.Run:
    return await life.settled_run(database)


async def accepted(database: Database) -> runs.Run:
    return await life.accepted(database)


def test_a_backup_lists_what_is_in_it_and_what_is_not(terminal: Terminal) -> None:
    terminal.in_database(settled)
    shown = terminal.type("backup", "copy.db")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith("copy.db holds 1 runs and 4 ledger entries in ")
    assert "data/secret.key and data/ledger.key are not in it: keep them too" in shown.out
    output = terminal.type("backup", "other.db", "--json").object
    assert (output["runs"], output["entries"], output["bytes"]) == (1, 4, Path("other.db").stat().st_size)


def test_a_backup_replaces_nothing_and_needs_a_database(terminal: Terminal) -> None:
    Path("copy.db").write_text("mine")
    shown = terminal.type("backup", "copy.db")
    assert (shown.code, Path("copy.db").read_text()) == (1, "mine")
    assert "is there already, and stays: add --force" in shown.err
    assert terminal.type("backup", "copy.db", "--force").code == 0


def test_where_there_is_no_database_there_is_nothing_to_copy(new_terminal: Terminal) -> None:
    shown = new_terminal.type("backup", "copy.db")
    assert (shown.code, shown.err) == (1, "runledger: there is no database at data/runledger.db yet\n")


def test_what_is_restored_is_the_copy_marked(terminal: Terminal) -> None:
    run = terminal.in_database(accepted)
    terminal.type("backup", "copy.db")
    terminal.in_database(settled)
    assert "add --force" in terminal.type("restore", "copy.db").err
    output = terminal.type("restore", "copy.db", "--force", "--json").object
    assert (output["runs"], output["accepted"], output["isNew"]) == (1, 1, True)
    assert [each["id"] for each in terminal.type("runs", "--json").objects] == [run.id]
    assert terminal.in_database(lambda database: database.read(system_state.copy_status)).copied_at is None


def test_a_restore_into_an_empty_folder_reports_the_missing_key(terminal: Terminal) -> None:
    terminal.type("backup", "copy.db")
    (terminal.folder / "runledger.db").unlink()
    shown = terminal.type("restore", "copy.db")
    assert shown.code == 0
    assert "There is no secret.key here" in shown.out
    assert "There is no ledger.key here" in shown.out


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\x00 and then nothing", b"a letter"])
def test_what_is_no_copy_replaces_nothing(terminal: Terminal, content: bytes) -> None:
    run = terminal.in_database(settled)
    Path("copy.db").write_bytes(content)
    shown = terminal.type("restore", "copy.db", "--force")
    assert (shown.code, shown.out) == (1, "")
    assert terminal.type("show", run.id).code == 0
    assert sorted(path.name for path in terminal.folder.iterdir()) == ["runledger.db", "runledger.db.lock"]


@pytest.mark.parametrize("words", [("restore", "copy.db", "--force"), ("restored",)])
def test_nothing_is_restored_under_a_running_server(terminal: Terminal, words: tuple[str, ...]) -> None:
    terminal.type("backup", "copy.db")
    with urls.server_lock(terminal.url):
        shown = terminal.type(*words)
    assert shown.code == 1
    assert "another Runledger server is running" in shown.err


def test_a_store_can_be_marked_as_a_copy_twice(terminal: Terminal) -> None:
    terminal.in_database(accepted)
    assert terminal.type("restored").out.startswith("1 accepted and 0 queued runs are marked")
    assert terminal.type("restored").out.startswith("It was marked as restored at ")
    output = terminal.type("restored", "--json").object
    assert (output["isNew"], output["accepted"], output["lastNumber"]) == (False, 0, 1)


def test_a_feed_is_not_followed_from_where_it_has_not_been(terminal: Terminal) -> None:
    shown = terminal.type("runs", "--follow", "--cursor", "7")
    assert shown.code == 1
    assert "the feed ends with number -1, before 7" in shown.err


@pytest.fixture
def served(server_url: str, tmp_path: Path) -> Site:
    """Return a site with a fresh database on a server."""
    return Site(tmp_path, server_url)


def type_at(terminal: Terminal, site: Site, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    """Run a command on a server's database."""
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    return terminal.type(*words)


@pytest.mark.anyio
async def test_on_postgresql_its_own_tools_make_and_put_back_the_copy(
    served: Site, tmp_path: Path, cluster: postgres.Cluster
) -> None:
    async with Database(served.url) as database:
        run = await life.settled_run(database)
    copying.back_up(served, tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    (tmp_path / "there").mkdir()
    copy = copying.load_content(served, tmp_path / "copy", tmp_path / "there", lambda: cluster.fresh("template0"))
    async with Database(copy.url) as database:
        assert await life.get_run(database, run.id) == run
        await life.settled_run(database)  # sequences go on where they were


def test_where_pg_dump_is_missing_the_command_to_type_is_shown(
    new_terminal: Terminal, served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(new_terminal.folder))
    shown = type_at(new_terminal, served, monkeypatch, "backup", "copy.dump")
    assert shown.code == 1
    assert "pg_dump --format=custom --file=copy.dump 'postgresql://postgres@" in shown.err


def test_where_pg_dump_fails_its_own_error_is_shown(
    new_terminal: Terminal, served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{postgres.TOOLS}:/bin")
    site = Site(served.folder, served.database_url.replace("/runledger_", "/nowhere_"))
    shown = type_at(new_terminal, site, monkeypatch, "backup", "copy.dump")
    assert shown.code == 1
    assert "pg_dump failed: " in shown.err
    assert not list(Path().glob("*copy*"))


def test_a_password_is_in_no_line(new_terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(new_terminal.folder, "postgresql://me:secret@db.example/name?password=secret")
    shown = type_at(new_terminal, site, monkeypatch, "restore", "copy.dump")
    assert shown.code == 1
    assert "--dbname=postgresql://me@db.example/name copy.dump" in shown.err
    assert "secret" not in shown.err


@contextmanager
def beating(url: str) -> Iterator[None]:
    """Record a worker's heartbeat until the block ends."""
    begun, ended = threading.Event(), threading.Event()

    async def beat() -> None:
        async with Database(url) as database:
            while not ended.is_set():
                now = await database.read(dialect.server_time)
                assert now is not None
                await database.write(system_state.record_heartbeat, now)
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
    new_terminal: Terminal, served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with beating(served.url):
        shown = type_at(new_terminal, served, monkeypatch, "restored")
    assert shown.code == 1
    assert "stop every `runledger serve` and `runledger work` first" in shown.err
    assert type_at(new_terminal, served, monkeypatch, "restored", "--force", "--json").object["isNew"]
