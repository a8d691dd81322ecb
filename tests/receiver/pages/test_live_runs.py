"""The stream of changes to a list of runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from receiver import timeouts
from receiver.pages.run_list import live
from receiver.streams import subscribers
from storage import states
from storage.engine.database import Database
from storage.ledger import entries
from storage.query import change_feed, grammar, run_lines
from storage.repositories import stream_events
from tests import life

pytestmark = pytest.mark.anyio


def shown(lines: Sequence[run_lines.Line], new: int | None) -> str:
    return f"{[each.status for each in lines]} {new}"


async def followed(database: Database, low: int, high: int, question: str = "") -> live.Rows:
    await database.write(entries.number, 1000)
    feed, timing = subscribers.Feed(), timeouts.Timing(poll=0.05, stream_heartbeat=0.2)
    selection = subscribers.Subscription("test", lambda: change_feed.ChangeSelection(runs_only=True))
    number = await database.read(entries.last_number)
    subscriber = await feed.subscribe(database, number, selection, timing, asyncio.Event())
    expression = grammar.parse(question, life.NOW)
    return live.Rows(subscriber, database, live.Shown(low, high, True), lambda: expression, shown)


async def next_message(rows: live.Rows) -> str:
    async with asyncio.timeout(20):
        async for each in rows:
            if isinstance(each, stream_events.Event) and each.data:
                return each.data
    raise EOFError


async def test_a_row_that_is_shown_changes_in_its_place(database: Database) -> None:
    run = await life.running(database)
    rows = await followed(database, 1, 1)
    await life.settle(database, run, life.result(states.FAILED))
    await database.write(entries.number, 1000)
    assert await next_message(rows) == "['failed'] None"


async def test_new_runs_that_match_are_counted_and_others_are_not(database: Database) -> None:
    await life.accepted(database)
    rows = await followed(database, 1, 1, "agent:wanted")
    await life.accepted(database, agent_id="other")
    await life.accepted(database, agent_id="wanted")
    await database.write(entries.number, 1000)
    assert await next_message(rows) == "[] 1"
