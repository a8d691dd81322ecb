"""Disk space that comes back."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from storage.engine.database import Database
from storage.maintenance import vacuum
from storage.migrations import schema_version
from storage.query import grammar, run_pages
from storage.retention import erasing
from tests import life

pytestmark = pytest.mark.anyio

WORD = "unmistakable"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "runledger.db"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[Database]:
    """A database as it is made anew."""
    async with Database(f"sqlite:///{file}") as store:
        yield store


async def _live_and_prune(store: Database) -> None:
    result = life.result(steps=life.steps(60, WORD * 400))
    await store.write(schema_version.upgrade)
    for _ in range(8):
        await life.settled_run(store, result=result, prompt=f"{WORD} {life.nonce('prompt')}")
    await store.write(erasing.erase, grammar.EVERYTHING, life.OLD, life.at(1000))


async def test_a_file_shrinks_by_what_was_removed(store: Database) -> None:
    await _live_and_prune(store)
    given = vacuum.shrink(store.url, rewrite=False)
    assert given is not None
    assert given.before > 2_000_000
    assert given.after < given.before / 3
    assert given.free == 0


async def test_nothing_of_what_was_removed_is_left_in_the_files(store: Database, file: Path) -> None:
    await _live_and_prune(store)
    vacuum.shrink(store.url, rewrite=False)
    held = b"".join(path.read_bytes() for path in file.parent.iterdir())
    assert len(held) > 100_000
    assert WORD.encode() not in held


@pytest.mark.parametrize("how", [{"rewrite": True}, {"rewrite": False, "words": True}])
async def test_its_words_are_gone_once_they_are_rewritten(
    store: Database, file: Path, how: dict[str, bool]
) -> None:
    await store.write(schema_version.upgrade)
    for word in (WORD, "kept", "kept", "kept"):
        await life.settled_run(store, prompt=word)
        await life.indexed(store)
    said = grammar.parse(WORD, life.NOW)
    assert (await store.write(erasing.erase, said, life.OLD, life.at(1000))).runs == 1
    freed = vacuum.shrink(store.url, **how)
    assert freed is not None
    assert freed.is_overwritten
    held = b"".join(path.read_bytes() for path in file.parent.iterdir())
    assert (WORD.encode() in held, b"kept" in held) == (False, True)
    kept = grammar.parse("kept", life.NOW)
    assert len((await store.read(run_pages.page, run_pages.Query(kept, "accepted", 9)))[0]) == 3


async def test_a_reader_that_keeps_older_pages_is_reported(store: Database, file: Path) -> None:
    await _live_and_prune(store)
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM runs").fetchone()
        await life.accepted(store)
        freed = vacuum.shrink(store.url, rewrite=False)
    assert freed is not None
    assert not freed.is_overwritten


async def test_a_file_of_an_older_release_shrinks_once_it_is_rewritten(store: Database, file: Path) -> None:
    with closing(sqlite3.connect(file)) as old:
        old.execute("CREATE TABLE before_us (x)")
    await _live_and_prune(store)
    kept = vacuum.shrink(store.url, rewrite=False)
    assert kept is not None
    assert kept.free > 2_000_000
    rewritten = vacuum.shrink(store.url, rewrite=True)
    assert rewritten is not None
    assert rewritten.after < rewritten.before / 3
    with closing(sqlite3.connect(file)) as now:
        assert now.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    assert await life.ledger_kinds(store, (await life.accepted(store)).id) == ["run.accepted"]


async def test_a_reader_that_stays_does_not_keep_writers_waiting_for_long(store: Database, file: Path) -> None:
    await _live_and_prune(store)
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM runs").fetchone()
        await life.accepted(store)
        began = time.monotonic()
        assert vacuum.shrink(store.url, rewrite=False) is not None
        assert time.monotonic() - began < vacuum.BUSY / 2


async def test_a_server_is_no_file() -> None:
    assert vacuum.shrink("postgresql+psycopg://localhost/runledger", rewrite=True) is None
