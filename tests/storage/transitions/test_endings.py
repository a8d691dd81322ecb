"""What follows the end of a run, in the transaction that ends it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from storage import ids, states
from storage.engine.database import Database
from storage.repositories import jobs, runs
from storage.search import index
from storage.states import Kind
from storage.transitions import adopting, starting, submitting
from tests import life

pytestmark = pytest.mark.anyio

SHOWN = adopting.UpstreamDetails("agent_7", "Review.", None, "m-7", life.at(-100), life.at(-90), "upstream")


async def settled(database: Database) -> runs.Run:
    return await life.settled_run(database)


async def refused(database: Database) -> runs.Run:
    run = await life.queued(database)
    await database.write(jobs.release_all)
    start = await life.claimed(database, Kind.START, run.id)
    assert await database.write(starting.refuse, start, "no such agent", life.at(3))
    return run


async def cancelled_here(database: Database) -> runs.Run:
    run = await life.accepted(database)
    await database.write(submitting.request_cancel, run.id, "key:backend", life.at(3))
    return run


async def adopted_ended(database: Database, by: str = "backend") -> runs.Run:
    adoption = adopting.Adoption(
        ids.new(life.NOW), life.nonce("run"), by, states.Source.REQUEST, life.NOW, life.at(3600)
    )
    run, _ = await database.write(adopting.adopt, adoption)
    claim = await life.claimed(database, Kind.ADOPT, run.id)
    await database.write(adopting.complete_ended_adoption, claim, SHOWN, life.result(), life.at(3), None)
    return run


async def backfilled(database: Database) -> runs.Run:
    return await adopted_ended(database, "backfill")


async def follows(database: Database, run: runs.Run) -> list[str]:
    """The jobs that a run has for its end alone."""
    return [kind for kind in await life.open_jobs(database, run.id) if kind in ("capture", "notify")]


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (settled, ["capture", "notify"]),
        (refused, ["capture", "notify"]),
        (adopted_ended, ["capture", "notify"]),
        (cancelled_here, ["notify"]),
        (backfilled, ["capture"]),
    ],
)
async def test_the_end_of_a_run_enqueues_the_requested_follow_ups_that_make_sense(
    database: Database, end: Callable[[Database], Awaitable[runs.Run]], expected: list[str]
) -> None:
    await life.request_follow_ups(database, notifies=True, captures=True)
    assert await follows(database, await end(database)) == expected


async def test_no_follow_up_is_enqueued_that_was_not_requested(database: Database) -> None:
    assert await follows(database, await settled(database)) == []
    await life.request_follow_ups(database, notifies=True)
    assert await follows(database, await settled(database)) == ["notify"]
    await life.request_follow_ups(database, captures=True)
    assert await follows(database, await settled(database)) == ["capture"]


async def test_a_further_version_of_the_document_is_no_second_end(database: Database) -> None:
    run = await settled(database)
    await life.request_follow_ups(database, notifies=True, captures=True)
    await life.settle(database, run, life.result(body=b'{"status":"completed","more":1}'), life.at(90))
    assert await follows(database, run) == []


async def test_the_reason_of_a_refusal_is_indexed_although_it_is_all_that_the_end_brings(
    database: Database,
) -> None:
    run = await life.queued(database)
    await database.write(jobs.release_all)
    start = await life.claimed(database, Kind.START, run.id)
    await life.indexed(database)
    await database.write(starting.refuse, start, "no such agent", life.at(3))
    assert await database.read(index.unindexed, [run.id]) == [run.id]
