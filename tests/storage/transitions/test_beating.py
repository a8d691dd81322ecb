"""The worker's heartbeat."""

from __future__ import annotations

import pytest

from storage import jobs, transitions
from storage.database import Database
from storage.states import Kind
from tests import life

pytestmark = pytest.mark.anyio


async def test_a_heartbeat_holds_on_to_the_jobs(database: Database) -> None:
    run = await life.accepted(database)
    claim = await life.claimed(database, Kind.START, run.id)
    await database.write(transitions.beat, [claim], life.at(120), life.at(50), None, None)
    held = await database.write(jobs.claim, now=life.at(119), until=life.at(300), owner="other", limit=9)
    assert held == []


async def test_a_heartbeat_is_heard_without_jobs(database: Database) -> None:
    await database.write(transitions.beat, [], life.at(60), life.at(5), None, None)
    seen = await database.read(transitions.outlook, life.at(5))
    assert (seen.state.worker_seen_at, seen.upstream_due_at, seen.backend_due_at) == (life.at(5), None, None)


async def test_the_outlook_tells_the_lanes_apart(database: Database) -> None:
    told = jobs.Wish(Kind.NOTIFY, "a", life.NOW, due_at=life.at(9))
    await database.write(jobs.wish, [told, jobs.Wish(Kind.SWEEP, "", life.NOW, due_at=life.at(3))])
    seen = await database.read(transitions.outlook, life.NOW)
    assert (seen.upstream_due_at, seen.backend_due_at) == (life.at(3), life.at(9))
