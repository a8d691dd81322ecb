"""The ring: bounded, counted, flushed; a full or absent database costs the sender nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from receiver import rejections
from storage import database, deliveries, errors, ids, ledger, states, tables

NOON = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> datetime:
        return self.at


def rejected(cause: str) -> deliveries.Rejected:
    return deliveries.Rejected(ids.new(NOON), states.Road.PLATFORM, NOON, {}, b"x", "0" * 64, 1, cause, None)


def rows(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(tables.DELIVERIES)).scalar_one()


def counts(connection: Connection) -> dict[str, int]:
    found = connection.execute(select(tables.REJECTIONS.c.cause, tables.REJECTIONS.c["count"]))
    return {row.cause: row[1] for row in found}


@pytest.mark.anyio
async def test_of_each_cause_a_bounded_number_is_kept_and_all_are_counted(database: database.Database) -> None:
    ring = rejections.Ring(database, Clock())
    for _ in range(rejections.ROWS_PER_CAUSE + 50):
        ring.add(rejected("bad signature"))
    ring.add(rejected("unknown token"))
    await ring.flush()
    assert await database.read(rows) == rejections.ROWS_PER_CAUSE + 1
    assert await database.read(counts) == {"bad signature": rejections.ROWS_PER_CAUSE + 50, "unknown token": 1}


@pytest.mark.anyio
async def test_the_ring_never_holds_more_than_its_bound(database: database.Database) -> None:
    ring = rejections.Ring(database, Clock())
    for number in range(rejections.WAITING * 3):
        ring.add(rejected(f"cause {number % 50}"))
    await ring.flush()
    assert await database.read(rows) == rejections.WAITING


@pytest.mark.anyio
async def test_an_hour_that_is_over_is_told_to_the_ledger_once(database: database.Database) -> None:
    clock = Clock()
    ring = rejections.Ring(database, clock)
    ring.add(rejected("bad signature"))
    await ring.flush()
    clock.at += timedelta(hours=1)
    await ring.flush()
    await ring.flush()

    def told(connection: Connection) -> list[str]:
        which = tables.LEDGER_ENTRIES.c.kind == ledger.Kind.REJECTIONS_COUNTED
        return list(connection.execute(select(tables.LEDGER_ENTRIES.c.body).where(which)).scalars())

    bodies = [json.loads(body) for body in await database.read(told)]
    assert [body["facts"]["counts"] for body in bodies] == [{"bad signature": 1}]


@pytest.mark.anyio
async def test_in_a_new_hour_rows_are_kept_again(database: database.Database) -> None:
    clock = Clock()
    ring = rejections.Ring(database, clock)
    for _ in range(2):
        for _ in range(rejections.ROWS_PER_CAUSE + 10):
            ring.add(rejected("bad signature"))
        await ring.flush()
        clock.at += timedelta(hours=1)
        await ring.flush()
    assert await database.read(rows) == rejections.ROWS_PER_CAUSE * 2


@pytest.mark.anyio
async def test_the_bound_of_an_hour_holds_over_all_its_flushes(database: database.Database) -> None:
    ring = rejections.Ring(database, Clock())
    for _ in range(2):
        for _ in range(rejections.ROWS_PER_CAUSE):
            ring.add(rejected("bad signature"))
        await ring.flush()
    assert await database.read(rows) == rejections.ROWS_PER_CAUSE
    assert await database.read(counts) == {"bad signature": rejections.ROWS_PER_CAUSE * 2}


@pytest.mark.anyio
async def test_what_is_kept_in_an_hour_is_bounded_in_bytes(database: database.Database) -> None:
    ring = rejections.Ring(database, Clock())
    large = replace(rejected("bad signature"), body=bytes(rejections.BYTES // 3 - 1024))
    for _ in range(5):
        ring.add(replace(large, id=ids.new(NOON)))
    await ring.flush()
    assert await database.read(rows) == 3
    assert await database.read(counts) == {"bad signature": 5}


@pytest.mark.anyio
async def test_headers_count_for_the_bytes_of_an_hour(database: database.Database) -> None:
    ring = rejections.Ring(database, Clock())
    large = replace(rejected("bad signature"), headers={"a": "x" * (rejections.BYTES // 2)})
    for _ in range(3):
        ring.add(replace(large, id=ids.new(NOON)))
    await ring.flush()
    assert await database.read(rows) == 1


class Away(database.Database):
    """A database that takes `left` more writes and is unavailable then."""

    left = 0

    async def write(self, function: Any, *args: Any, **kw: Any) -> Any:  # type: ignore[override]
        if self.left <= 0:
            raise errors.Unavailable("away")
        self.left -= 1
        return await super().write(function, *args, **kw)


@pytest.mark.anyio
async def test_while_the_database_is_away_nothing_is_lost_or_kept_twice(database_url: str) -> None:
    store = Away(database_url)
    async with store:
        ring = rejections.Ring(store, Clock())
        for _ in range(rejections.GROUP * 2):
            ring.add(rejected("bad signature"))
        for store.left in (0, 1, 0, 9):
            await ring.flush()
        assert await store.read(rows) == rejections.GROUP * 2
        assert await store.read(counts) == {"bad signature": rejections.GROUP * 2}


@pytest.mark.anyio
async def test_a_database_that_goes_away_amid_a_bad_batch_loses_none_of_the_others(database_url: str) -> None:
    store = Away(database_url)
    async with store:
        ring = rejections.Ring(store, Clock())
        ring.add(replace(rejected("bad signature"), id=None))  # type: ignore[arg-type]
        for _ in range(3):
            ring.add(rejected("bad signature"))
        for store.left in (3, 9):  # the batch, the bad one, one of the others; then all that is left
            await ring.flush()
        assert await store.read(rows) == 3
        assert await store.read(counts) == {"bad signature": 4}
