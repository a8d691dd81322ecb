"""Checkpoints: what is signed, and what is no longer signed once the ledger was changed."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest
from sqlalchemy import Connection, delete, select, update

from storage import errors, merkle
from storage.engine.database import Database
from storage.ledger import checkpoints, entries
from storage.tables.ledger import LEDGER_CHECKPOINTS, LEDGER_ENTRIES, LEDGER_NODES
from tests import life

pytestmark = pytest.mark.anyio
ORIGIN = "runledger.example/log"


def signed(text: str) -> list[str]:
    return [f"\u2014 {ORIGIN} {len(text)}"]


async def filled(database: Database, count: int) -> None:
    """Append entries, and give each a number."""
    entry = entries.Entry(entries.Kind.RUN_STARTED, life.NOW, None, "worker", {"via": "exec"})
    for _ in range(0, count, 100):
        await database.write(entries.append, [entry] * min(count, 100))
    await database.write(entries.number, count)


async def sign(database: Database, limit: int = 1000) -> checkpoints.Checkpoint | None:
    return await database.write(checkpoints.sign_next, ORIGIN, signed, life.NOW + timedelta(seconds=1), limit)


def leaves(connection: Connection) -> list[bytes]:
    return list(
        connection.execute(select(LEDGER_ENTRIES.c.leaf_hash).order_by(LEDGER_ENTRIES.c.leaf_index)).scalars()
    )


async def test_a_checkpoint_has_size_and_root_of_all_entries(database: Database) -> None:
    await filled(database, 3)
    made = await sign(database)
    assert made is not None
    assert (made.size, made.root) == (3, merkle.root(await database.read(leaves)))
    assert made.note.startswith(f"{ORIGIN}\n3\n")
    assert await database.read(checkpoints.newest) == made
    assert await sign(database) is None


async def test_what_was_added_later_continues_the_tree(database: Database) -> None:
    await filled(database, 300)
    first = await sign(database)
    await filled(database, 300)
    second = await sign(database)
    assert first is not None
    assert second is not None
    hashed = await database.read(leaves)
    assert [first.root, second.root] == [merkle.root(hashed[:300]), merkle.root(hashed[:600])]
    stored = await database.read(
        lambda connection: connection.execute(select(LEDGER_NODES.c.position)).scalars().all()
    )
    assert sorted(stored) == [0, 1]


async def test_a_ledger_that_lost_its_end_is_not_signed(database: Database) -> None:
    await filled(database, 3)
    await sign(database)
    cut = delete(LEDGER_ENTRIES).where(LEDGER_ENTRIES.c.leaf_index == 2)
    await database.write(lambda connection: connection.execute(cut))
    with pytest.raises(errors.HistoryChanged, match="has 2 entries, and a checkpoint of 3 was signed"):
        await sign(database)


async def test_a_ledger_whose_entries_were_replaced_is_not_signed(database: Database) -> None:
    await filled(database, 3)
    await sign(database)
    other = update(LEDGER_ENTRIES).where(LEDGER_ENTRIES.c.leaf_index == 1).values(leaf_hash=b"x" * 32)
    await database.write(lambda connection: connection.execute(other))
    await filled(database, 1)
    with pytest.raises(errors.HistoryChanged, match="the first 3 entries are not those"):
        await sign(database)
    assert len(await database.read(lambda found: found.execute(select(LEDGER_CHECKPOINTS)).all())) == 1


async def test_a_long_ledger_is_signed_in_parts(database: Database) -> None:
    await filled(database, 500)
    sizes = [made.size for _ in range(3) if (made := await sign(database, 200))]
    assert sizes == [200, 400, 500]


async def test_two_that_believe_themselves_alone_sign_one_history(served: Database, server_url: str) -> None:
    await filled(served, 3)
    began, goes_on = threading.Event(), threading.Event()

    def hold(text: str) -> list[str]:
        began.set()
        assert goes_on.wait(30)
        return signed(text)

    held = asyncio.create_task(served.write(checkpoints.sign_next, ORIGIN, hold, life.NOW))
    assert await asyncio.to_thread(began.wait, 30)
    async with Database(server_url) as other:
        assert await sign(other) is None
        goes_on.set()
        first = await held
        assert await sign(other) is None
    assert first is not None
    assert await served.read(checkpoints.newest) == first
