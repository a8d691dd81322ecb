"""The rejection buffer: bounded, counted, flushed; a full or absent database costs the sender nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from receiver.inbound import rejection_buffer
from storage import errors, ids, states
from storage.engine import database
from storage.ledger import entries
from storage.repositories import deliveries
from storage.tables.deliveries import DELIVERIES, REJECTIONS
from storage.tables.ledger import LEDGER_ENTRIES

NOON = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> datetime:
        return self.at


def rejected(cause: str) -> deliveries.RejectedRequest:
    return deliveries.RejectedRequest(
        ids.new(NOON), states.Source.PLATFORM, NOON, {}, b"x", "0" * 64, 1, cause, None
    )


def rows(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(DELIVERIES)).scalar_one()


def counts(connection: Connection) -> dict[str, int]:
    found = connection.execute(select(REJECTIONS.c.cause, REJECTIONS.c["count"]))
    return {row.cause: row[1] for row in found}


@pytest.mark.anyio
async def test_of_each_cause_a_bounded_number_is_kept_and_all_are_counted(database: database.Database) -> None:
    rejections = rejection_buffer.RejectionBuffer(database, Clock())
    for _ in range(rejection_buffer.ROWS_PER_CAUSE + 50):
        rejections.add(rejected("bad signature"))
    rejections.add(rejected("unknown token"))
    await rejections.flush()
    assert await database.read(rows) == rejection_buffer.ROWS_PER_CAUSE + 1
    assert await database.read(counts) == {
        "bad signature": rejection_buffer.ROWS_PER_CAUSE + 50,
        "unknown token": 1,
    }


@pytest.mark.anyio
async def test_the_ring_never_holds_more_than_its_bound(database: database.Database) -> None:
    rejections = rejection_buffer.RejectionBuffer(database, Clock())
    for number in range(rejection_buffer.CAPACITY * 3):
        rejections.add(rejected(f"cause {number % 50}"))
    await rejections.flush()
    assert await database.read(rows) == rejection_buffer.CAPACITY


@pytest.mark.anyio
async def test_an_hour_that_is_over_is_recorded_in_the_ledger_once(database: database.Database) -> None:
    clock = Clock()
    rejections = rejection_buffer.RejectionBuffer(database, clock)
    rejections.add(rejected("bad signature"))
    await rejections.flush()
    clock.at += timedelta(hours=1)
    await rejections.flush()
    await rejections.flush()

    def recorded(connection: Connection) -> list[str]:
        which = LEDGER_ENTRIES.c.kind == entries.Kind.REJECTIONS_COUNTED
        return list(connection.execute(select(LEDGER_ENTRIES.c.body).where(which)).scalars())

    bodies = [json.loads(body) for body in await database.read(recorded)]
    assert [body["facts"]["counts"] for body in bodies] == [{"bad signature": 1}]


@pytest.mark.anyio
async def test_in_a_new_hour_rows_are_kept_again(database: database.Database) -> None:
    clock = Clock()
    rejections = rejection_buffer.RejectionBuffer(database, clock)
    for _ in range(2):
        for _ in range(rejection_buffer.ROWS_PER_CAUSE + 10):
            rejections.add(rejected("bad signature"))
        await rejections.flush()
        clock.at += timedelta(hours=1)
        await rejections.flush()
    assert await database.read(rows) == rejection_buffer.ROWS_PER_CAUSE * 2


@pytest.mark.anyio
async def test_the_bound_of_an_hour_holds_over_all_its_flushes(database: database.Database) -> None:
    rejections = rejection_buffer.RejectionBuffer(database, Clock())
    for _ in range(2):
        for _ in range(rejection_buffer.ROWS_PER_CAUSE):
            rejections.add(rejected("bad signature"))
        await rejections.flush()
    assert await database.read(rows) == rejection_buffer.ROWS_PER_CAUSE
    assert await database.read(counts) == {"bad signature": rejection_buffer.ROWS_PER_CAUSE * 2}


@pytest.mark.anyio
async def test_what_is_kept_in_an_hour_is_bounded_in_bytes(database: database.Database) -> None:
    rejections = rejection_buffer.RejectionBuffer(database, Clock())
    large = replace(rejected("bad signature"), body=bytes(rejection_buffer.BYTES_PER_HOUR // 3 - 1024))
    for _ in range(5):
        rejections.add(replace(large, id=ids.new(NOON)))
    await rejections.flush()
    assert await database.read(rows) == 3
    assert await database.read(counts) == {"bad signature": 5}


@pytest.mark.anyio
async def test_headers_count_for_the_bytes_of_an_hour(database: database.Database) -> None:
    rejections = rejection_buffer.RejectionBuffer(database, Clock())
    large = replace(rejected("bad signature"), headers={"a": "x" * (rejection_buffer.BYTES_PER_HOUR // 2)})
    for _ in range(3):
        rejections.add(replace(large, id=ids.new(NOON)))
    await rejections.flush()
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
        rejections = rejection_buffer.RejectionBuffer(store, Clock())
        for _ in range(rejection_buffer.BATCH * 2):
            rejections.add(rejected("bad signature"))
        for store.left in (0, 1, 0, 9):
            await rejections.flush()
        assert await store.read(rows) == rejection_buffer.BATCH * 2
        assert await store.read(counts) == {"bad signature": rejection_buffer.BATCH * 2}


@pytest.mark.anyio
async def test_a_database_that_goes_away_amid_a_bad_batch_loses_none_of_the_others(database_url: str) -> None:
    store = Away(database_url)
    async with store:
        rejections = rejection_buffer.RejectionBuffer(store, Clock())
        rejections.add(replace(rejected("bad signature"), id=None))  # type: ignore[arg-type]
        for _ in range(3):
            rejections.add(rejected("bad signature"))
        for store.left in (3, 9):  # the batch, the bad one, one of the others; then all that is left
            await rejections.flush()
        assert await store.read(rows) == 3
        assert await store.read(counts) == {"bad signature": 4}
