"""Bulk actions: which runs they are about, and that each of them is handled once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from storage import errors, states
from storage.actions import bulk, bulk_parts
from storage.engine.database import Database
from storage.query import grammar
from storage.repositories import jobs, runs
from storage.retention import erasing
from storage.states import BulkKind
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio


async def create(database: Database, action: BulkKind, question: str | None = None, **more: Any) -> bulk.Action:
    request = bulk.Request(action, "night-ops", "key:night-ops", life.NOW, question, **more)
    return await database.write(bulk.create, await database.read(bulk.plan, request))


async def part(database: Database, claim: jobs.Claim, action: bulk.Action, limit: int = 100) -> bulk.Action:
    """Do one part of an action, as a worker does; return the action afterwards."""
    seqs = await database.read(bulk.next_seqs, action, limit)
    await database.write(bulk_parts.handle_part, claim, action, seqs, life.at(9), life.at(99))
    found = await database.read(bulk.find, action.id)
    assert found is not None
    return found


async def carry_out(database: Database, action: bulk.Action, limit: int = 100) -> bulk.Action:
    claim = await life.claimed(database, states.Kind.BULK)
    while action.finished_at is None:
        action = await part(database, claim, action, limit)
    return action


async def tagged(database: Database, run_ids: Sequence[str]) -> list[str | None]:
    return [(await life.get_run(database, run_id)).tags.get("done") for run_id in run_ids]


async def test_runs_that_match_are_handled_and_later_ones_are_left_alone(database: Database) -> None:
    matching = [(await life.accepted(database, tags={"m": "1"})).id for _ in range(5)]
    other = (await life.accepted(database, tags={"m": "2"})).id
    action = await create(database, BulkKind.TAG, "tag.m:1", tags={"done": "yes"})
    later = (await life.accepted(database, tags={"m": "1"})).id
    done = await carry_out(database, action, limit=2)
    assert (done.state, done.total, done.done, done.failed) == ("finished", 5, 5, 0)
    assert await tagged(database, matching) == ["yes"] * 5
    assert await tagged(database, [other, later]) == [None, None]


async def test_listed_runs_are_handled(database: Database) -> None:
    listed = [await life.accepted(database) for _ in range(3)]
    await create(database, BulkKind.TAG, run_seqs=[each.seq for each in listed[1:]], tags={"done": "yes"})
    action = await database.read(bulk.next_open)
    assert action is not None
    await carry_out(database, action, limit=1)
    assert await tagged(database, [each.id for each in listed]) == [None, "yes", "yes"]


async def test_a_part_that_is_done_twice_submits_each_run_once(database: Database) -> None:
    for _ in range(3):
        await life.accepted(database, agent_id="agent_7")
    action = await create(database, BulkKind.AGAIN, "agent:agent_7")
    claim = await life.claimed(database, states.Kind.BULK)
    for _ in range(2):  # the second time as a worker that has read it before
        done = await part(database, claim, action)
    done = await part(database, claim, done)
    assert (done.state, done.done) == ("finished", 3)
    last = await database.read(runs.get_full, list(range(done.last_seq + 1, done.last_seq + 9)))
    assert [each.submitted_by for each in last] == ["night-ops"] * 3
    assert len({each.again_of for each in last}) == 3


async def test_the_actor_of_each_entry_is_the_requester(database: Database) -> None:
    run = await life.accepted(database)
    await carry_out(database, await create(database, BulkKind.CANCEL, ""))
    assert (await life.get_run(database, run.id)).status is states.CANCELLED
    assert {each.actor for each in (await ledgers.entries(database, run.id))[1:]} == {"key:night-ops"}
    requested = [each for each in await ledgers.entries(database, None) if each.kind == "bulk.requested"]
    assert [(each.actor, each.facts["total"]) for each in requested] == [("key:night-ops", 1)]


async def test_a_run_that_refuses_is_counted_and_named_and_stops_no_other(database: Database) -> None:
    pruned = await life.settled_run(database)
    await database.write(erasing.erase, grammar.EVERYTHING, life.OLD, life.at(1000))
    await life.accepted(database)
    done = await carry_out(database, await create(database, BulkKind.AGAIN, ""))
    assert (done.done, done.failed) == (1, 1)
    assert done.errors
    assert done.errors[0]["runId"] == pruned.id


async def test_a_refresh_requests_runs_that_the_upstream_knows_and_names_the_others(database: Database) -> None:
    known, unknown = await life.running(database), await life.accepted(database)
    done = await carry_out(database, await create(database, BulkKind.REFRESH, ""))
    assert (done.done, done.failed) == (1, 1)
    assert [each["runId"] for each in done.errors or ()] == [unknown.id]
    assert await life.open_jobs(database, known.id) == ["settle"]
    assert await life.open_jobs(database, unknown.id) == ["start"]


async def test_a_stopped_action_handles_no_further_run(database: Database) -> None:
    run_ids = [(await life.accepted(database)).id for _ in range(3)]
    action = await create(database, BulkKind.TAG, "", tags={"done": "yes"})
    claim = await life.claimed(database, states.Kind.BULK)
    first = await part(database, claim, action, limit=1)
    await database.write(bulk.stop, action.id, life.at(10))
    stopped = await part(database, claim, first)
    assert (stopped.state, await tagged(database, run_ids)) == ("stopped", ["yes", None, None])


async def test_a_worker_without_the_lease_does_nothing(database: Database) -> None:
    run = await life.accepted(database)
    action = await create(database, BulkKind.TAG, "", tags={"done": "yes"})
    claim = await life.claimed(database, states.Kind.BULK)
    await database.write(jobs.release, [claim], life.NOW)
    with pytest.raises(errors.LeaseLost):
        await part(database, claim, action)
    assert await tagged(database, [run.id]) == [None]


async def test_actions_are_listed_newest_first_a_page_at_a_time(database: Database) -> None:
    run = await life.accepted(database)
    made = [await create(database, BulkKind.TAG, run_seqs=[run.seq], tags={"n": str(n)}) for n in range(5)]
    pages: list[list[str]] = []
    cursor = None
    while not pages or cursor:
        found, cursor = await database.read(bulk.page, 2, cursor)
        pages.append([each.id for each in found])
    ids = sorted((each.id for each in made), reverse=True)
    assert pages == [ids[:2], ids[2:4], ids[4:]]
    with pytest.raises(errors.BadCursor):
        await database.read(bulk.page, 2, "nothing")
