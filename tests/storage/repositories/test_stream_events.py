"""Captured events: in order, once each, and how far they go."""

from __future__ import annotations

import pytest

from storage.engine.database import Database
from storage.repositories import stream_events
from storage.repositories.stream_events import Event, StoredStream
from tests import life

pytestmark = pytest.mark.anyio


async def test_what_is_stored_is_read_behind_an_id_in_order(database: Database) -> None:
    events = [Event(number, "tool.started", f'{{"n":{number}}}') for number in (2, 30, 31, 400)]
    await database.write(stream_events.add, "run", events[::-1], life.NOW)
    await database.write(stream_events.add, "other", events[:1], life.NOW)
    assert await database.read(stream_events.read, "run", 0, 9) == events
    assert await database.read(stream_events.read, "run", 2, 2) == events[1:3]
    assert await database.read(stream_events.read, "run", 400, 9) == []


async def test_an_id_that_is_there_stays_as_it_is(database: Database) -> None:
    for kind in ("first", "second"):
        await database.write(stream_events.add, "run", [Event(1, kind, "{}")], life.NOW)
    assert await database.read(stream_events.read, "run", 0, 9) == [Event(1, "first", "{}")]


async def test_it_is_known_how_far_a_stream_is_stored(database: Database) -> None:
    assert await database.read(stream_events.stored_stream, "run") == StoredStream(0, 0, 0)
    events = [Event(3, "a", "{}"), Event(8, "b", '{"é":1}')]
    await database.write(stream_events.add, "run", events, life.NOW)
    assert (
        await database.read(stream_events.stored_stream, "run")
        == StoredStream(8, 2, 9)
        == StoredStream(0, 0, 0).with_events(events)
    )


@pytest.mark.parametrize(
    ("held", "full"),
    [
        (StoredStream(1, stream_events.MAX_EVENTS - 1, 0), False),
        (StoredStream(1, stream_events.MAX_EVENTS, 0), True),
        (StoredStream(1, 1, stream_events.MAX_DATA - 1), False),
        (StoredStream(1, 1, stream_events.MAX_DATA), True),
    ],
)
def test_no_more_is_kept_of_one_run_than_the_limit(held: StoredStream, full: bool) -> None:
    assert held.is_full is full
