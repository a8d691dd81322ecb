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
from storage.retention import holds, unmatched
from storage.tables.deliveries import DELIVERIES
from storage.transitions import receiving
from tests import life
from tests.storage import ledgers

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


def much_later() -> datetime:
    return life.NOW + timedelta(days=100)


async def test_content_goes_by_state_and_age_and_nothing_that_is_open(database: Database) -> None:
    live = await life.running(database)
    old, failed = await life.settled_run(database), await life.settled_run(database, status=states.FAILED)
    assert await retention.erase_old(database, much_later, ("completed", 101)) == 0
    assert await retention.erase_old(database, much_later, ("completed", 99)) == 1
    found = [await life.get_run(database, each.id) for each in (old, failed, live)]
    assert [each.pruned_at is None for each in found] == [False, True, True]
    last = (await ledgers.entries(database, old.id))[-1]
    assert (last.kind, last.actor, last.facts["cause"]) == ("content.erased", "worker", "retention")
    assert last.facts["reason"] == "completed=99d"


async def test_a_hold_keeps_content_beyond_its_age(database: Database) -> None:
    run = await life.settled_run(database, tags={"matter": "7"})
    hold = holds.Hold(ids.new(life.NOW), states.HoldScope.TAG, "matter=7", "Litigation 7", "operator", life.NOW)
    await database.write(holds.place, hold)
    assert await retention.erase_old(database, much_later, ("completed", 1)) == 0
    assert (await life.get_run(database, run.id)).pruned_at is None


async def test_the_loop_erases_what_its_rules_name(embedded: Database) -> None:
    run = await life.settled_run(embedded)
    working = retention.run(embedded, telemetry.Telemetry(), much_later, 30, 0.01, ages=[("completed", 1)])
    task = asyncio.create_task(working)
    async with asyncio.timeout(30):
        while (await life.get_run(embedded, run.id)).pruned_at is None:
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
