"""The ledger: canonical bytes, whole numbers, nothing changed afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
import rfc8785
from msgspec.structs import replace
from sqlalchemy import Connection, select, update

from storage import merkle
from storage.engine.database import Database
from storage.engine.writer import CommitBatch
from storage.ledger import entries
from storage.repositories import ledger_changes
from storage.tables.ledger import LEDGER_ENTRIES
from tests import life

pytestmark = pytest.mark.anyio

ENTRY = entries.Entry(entries.Kind.RUN_STARTED, life.NOW, "run", "worker", {"via": "exec"})


def rows(connection: Connection) -> Sequence[Any]:
    return connection.execute(select(LEDGER_ENTRIES).order_by(LEDGER_ENTRIES.c.seq)).all()


async def test_an_entry_has_the_form_of_the_contract(database: Database) -> None:
    entry = replace(ENTRY, digests=merkle.salted_digest("prompt", b"value"))
    await database.write(entries.append, [entry])
    (found,) = await database.read(rows)
    assert json.loads(found.body) == {
        "v": 1,
        "kind": "run.started",
        "at": "2026-11-23T12:00:00.000000Z",
        "run": "run",
        "actor": "worker",
        "facts": {"via": "exec"},
        "digests": {"prompt": entry.digests[0].hex},
    }


def test_an_entry_is_canonical_bytes() -> None:
    made = entries.body(replace(ENTRY, facts={"é\U0001f600": ["\n", {"b": 1, "a": 2}], "count": 2**53 - 1}))
    assert made == rfc8785.dumps(json.loads(made))


async def test_the_leaf_is_the_hash_of_the_stored_bytes(database: Database) -> None:
    await database.write(entries.append, [replace(ENTRY, facts={"reason": "naïve \U0001f600"})])
    (found,) = await database.read(rows)
    assert found.leaf_hash == merkle.leaf_hash(found.body.encode())


async def test_columns_repeat_what_the_bytes_say(database: Database) -> None:
    await database.write(entries.append, [ENTRY])
    (found,) = await database.read(rows)
    assert (found.run_id, found.kind, found.actor, found.at) == ("run", "run.started", "worker", life.NOW)


def test_facts_that_are_not_there_are_left_out() -> None:
    assert json.loads(entries.body(replace(ENTRY, facts={"model": None})))["facts"] == {}


def test_an_entry_for_no_run_says_null() -> None:
    assert json.loads(entries.body(replace(ENTRY, run_id=None)))["run"] is None


async def test_salts_are_kept_in_the_row_of_their_entry(database: Database) -> None:
    digests = (*merkle.salted_digest("prompt", b"one"), *merkle.rows_digest("steps", [(b"s" * 16, b"row")]))
    await database.write(entries.append, [replace(ENTRY, digests=digests)])
    (entry,) = await database.read(rows)
    assert digests[0].salt is not None
    assert entry.salts == {"prompt": digests[0].salt.hex()}


async def test_salts_are_erased_one_by_one(database: Database) -> None:
    for names in (("prompt", "tags"), ("prompt",), ()):
        digests = [digest for name in names for digest in merkle.salted_digest(name, b"one")]
        await database.write(entries.append, [replace(ENTRY, digests=digests)])
    await database.write(entries.erase_salts, LEDGER_ENTRIES.c.run_id == "run", ("tags",))
    assert [entry.salts and list(entry.salts) for entry in await database.read(rows)] == [["tags"], None, None]


@pytest.mark.parametrize("kept", [("tags",), ()])
async def test_salts_that_are_no_object_are_erased_like_others(database: Database, kept: tuple[str, ...]) -> None:
    await database.write(entries.append, [ENTRY])
    damaged = update(LEDGER_ENTRIES).values(salts=["tags"])
    await database.write(lambda connection: connection.execute(damaged).close())
    await database.write(entries.erase_salts, LEDGER_ENTRIES.c.run_id == "run", kept)
    assert [entry.salts for entry in await database.read(rows)] == [None]


def test_an_entry_of_8_kib_is_accepted() -> None:
    spare = entries.LIMIT - len(entries.body(replace(ENTRY, facts={"text": ""})))
    assert len(entries.body(replace(ENTRY, facts={"text": "x" * spare}))) == entries.LIMIT


async def test_an_entry_beyond_that_is_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="8192"):
        await database.write(entries.append, [replace(ENTRY, facts={"text": "x" * entries.LIMIT})])


async def test_on_a_server_nothing_is_numbered_at_first(served: Database) -> None:
    await served.write(entries.append, [ENTRY])
    assert [found.leaf_index for found in await served.read(rows)] == [None]


async def test_in_a_file_an_entry_is_numbered_when_it_is_written(embedded: Database) -> None:
    for count in (2, 1, 3):
        await embedded.write(entries.append, [ENTRY] * count)
    assert [found.leaf_index for found in await embedded.read(rows)] == list(range(6))


async def test_numbers_begin_at_zero_and_have_no_gap(served: Database) -> None:
    await served.write(entries.append, [ENTRY] * 7)
    counts = [len(await served.write(entries.number, 3)) for _ in range(4)]
    assert (counts, [found.leaf_index for found in await served.read(rows)]) == ([3, 3, 1, 0], list(range(7)))


async def test_numbers_have_no_gap_while_many_write(database: Database) -> None:
    async def append(count: int) -> None:
        await database.write(entries.append, [ENTRY] * count)
        await database.write(entries.number, 2)

    await asyncio.gather(*(append(count) for count in (1, 3, 2, 5, 1)))
    await database.write(entries.number, 100)
    assert [found.leaf_index for found in await database.read(rows)] == list(range(12))


async def test_a_write_that_failed_leaves_no_gap(database: Database) -> None:
    def append_and_fail(connection: Connection) -> None:
        entries.append(connection, [ENTRY])
        raise LookupError

    await database.write(entries.append, [ENTRY])
    await asyncio.gather(database.write(append_and_fail), return_exceptions=True)
    await database.write(entries.append, [ENTRY])
    await database.write(entries.number, 100)
    assert [found.leaf_index for found in await database.read(rows)] == [0, 1]


async def test_the_sequencer_finds_out_whether_there_is_work(served: Database) -> None:
    await served.write(entries.append, [ENTRY])
    before = await served.read(entries.has_unnumbered)
    await served.write(entries.number, 100)
    assert (before, await served.read(entries.has_unnumbered)) == (True, False)


async def test_a_life_changes_no_entry_but_to_number_it(database: Database) -> None:
    run = await life.queued(database)
    before = await database.read(rows)
    await database.write(entries.number, 100)
    await life.settle(database, run, life.result())
    after = await database.read(rows)
    assert [{**found._mapping, "leaf_index": None} for found in after[: len(before)]] == [
        {**each._mapping, "leaf_index": None} for each in before
    ]


async def test_the_feed_has_only_numbered_entries(served: Database) -> None:
    await served.write(entries.append, [ENTRY] * 3)
    await served.write(entries.number, 2)
    assert [each.number for each in await served.read(ledger_changes.after, -1, 100)] == [0, 1]


async def test_the_observer_of_a_commit_gets_the_entries_that_it_appended(database_url: str) -> None:
    batches: list[CommitBatch] = []
    async with Database(database_url, observe=batches.append) as store:
        await store.write(entries.append, [ENTRY])
        await store.write(entries.has_unnumbered)
    appended = [[each.entry for each in batch.observed] for batch in batches if batch.phase == "after"]
    assert appended == [[ENTRY], []]


async def test_the_feed_goes_on_after_a_number(database: Database) -> None:
    await database.write(entries.append, [ENTRY] * 5)
    await database.write(entries.number, 5)
    assert [each.number for each in await database.read(ledger_changes.after, 1, 2)] == [2, 3]


async def test_a_run_has_its_own_entries_in_order(database: Database) -> None:
    run = await life.settled_run(database)
    await life.settled_run(database)
    assert await life.ledger_kinds(database, run.id) == [
        "run.accepted",
        "run.created",
        "run.started",
        "run.completed",
    ]
