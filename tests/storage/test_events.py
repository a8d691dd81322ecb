"""Captured events: in order, once each, and how far they go."""

from __future__ import annotations

import pytest

from storage import events
from storage.database import Database
from storage.events import Event, Held
from tests import life

pytestmark = pytest.mark.anyio


async def test_what_is_stored_is_read_behind_an_id_in_order(database: Database) -> None:
    told = [Event(number, "tool.started", f'{{"n":{number}}}') for number in (2, 30, 31, 400)]
    await database.write(events.add, "run", told[::-1], life.NOW)
    await database.write(events.add, "other", told[:1], life.NOW)
    assert await database.read(events.read, "run", 0, 9) == told
    assert await database.read(events.read, "run", 2, 2) == told[1:3]
    assert await database.read(events.read, "run", 400, 9) == []


async def test_an_id_that_is_there_stays_as_it_is(database: Database) -> None:
    for kind in ("first", "second"):
        await database.write(events.add, "run", [Event(1, kind, "{}")], life.NOW)
    assert await database.read(events.read, "run", 0, 9) == [Event(1, "first", "{}")]


async def test_it_is_known_how_far_a_stream_is_stored(database: Database) -> None:
    assert await database.read(events.held, "run") == Held(0, 0, 0)
    told = [Event(3, "a", "{}"), Event(8, "b", '{"é":1}')]
    await database.write(events.add, "run", told, life.NOW)
    assert await database.read(events.held, "run") == Held(8, 2, 9) == Held(0, 0, 0).grown(told)


@pytest.mark.parametrize(
    ("held", "full"),
    [
        (Held(1, events.MOST - 1, 0), False),
        (Held(1, events.MOST, 0), True),
        (Held(1, 1, events.MOST_DATA - 1), False),
        (Held(1, 1, events.MOST_DATA), True),
    ],
)
def test_no_more_is_kept_of_one_run_than_said(held: Held, full: bool) -> None:
    assert held.is_full is full
