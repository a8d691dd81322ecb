"""The periodic removal of rows that belong to no run."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, func, select

from receiver import telemetry
from receiver.worker import retention
from storage import ids, states
from storage.engine.database import Database
from storage.repositories import deliveries
from storage.retention import unmatched
from storage.tables.deliveries import DELIVERIES
from storage.transitions import receiving
from tests import life

pytestmark = pytest.mark.anyio


async def reject(database: Database, days: int, number: int, size: int = 10) -> None:
    """Store so many requests of so many days ago."""
    at = life.NOW - timedelta(days=days)
    rows = [
        deliveries.RejectedRequest(
            ids.new(at), states.Source.PLATFORM, at, {}, bytes(size), "0" * 64, size, "bad signature", None
        )
        for _ in range(number)
    ]
    await database.write(receiving.store_rejected, rows)


def kept(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(DELIVERIES)).scalar_one()


def now() -> datetime:
    return life.NOW


async def test_everything_older_is_removed_in_any_number_of_batches(database: Database) -> None:
    await reject(database, days=31, number=120)
    await reject(database, days=29, number=7)
    await retention.remove_expired(database, now, days=30)
    assert await database.read(kept) == 7


async def test_what_is_kept_is_bounded_in_bytes(database: Database) -> None:
    await reject(database, days=2, number=80, size=10_000)
    await reject(database, days=1, number=10, size=10_000)
    await retention.remove_expired(database, now, days=30, most=200_000)
    assert await database.read(unmatched.rejected_size) <= 200_000
    assert 15 <= await database.read(kept) <= 20


async def test_it_is_done_at_once_and_again(embedded: Database) -> None:
    await reject(embedded, days=31, number=1)
    working = retention.run(embedded, telemetry.Telemetry(), now, days=30, seconds=0.01)
    task = asyncio.create_task(working)
    async with asyncio.timeout(30):
        for _ in range(2):
            while await embedded.read(kept):
                await asyncio.sleep(0)
            await reject(embedded, days=31, number=1)
    task.cancel()
    await asyncio.wait([task])


async def test_nothing_is_written_where_there_is_nothing_to_remove(database_url: str) -> None:
    groups: list[object] = []
    async with Database(database_url, observe=groups.append) as store:
        await reject(store, days=29, number=1)
        written = len(groups)
        await retention.remove_expired(store, now, days=30)
        assert len(groups) == written
