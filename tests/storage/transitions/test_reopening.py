"""A refused adoption that is open again: the one way out of an end."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from storage import ids, results, states
from storage.engine.database import Database
from storage.query import run_chunks
from storage.repositories import documents, notifications, runs, system_state
from storage.states import Kind, Source
from storage.stats import rollups
from storage.transitions import adopting, follow_up, importing, settling, starting, submitting
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio


def adoption(at: datetime = life.NOW) -> adopting.Adoption:
    return adopting.Adoption(ids.new(at), "run_1", "backend", Source.REQUEST, at, life.at(3600), "key:backend")


async def refused(database: Database) -> runs.Run:
    """Return an adoption that was refused, with a notification to send."""
    await database.write(
        system_state.request_follow_ups, system_state.FollowUps(notifies=True, captures=True), life.NOW, alone=True
    )
    run, _ = await database.write(adopting.adopt, adoption())
    claim = await life.claimed(database, Kind.ADOPT, run.id)
    await database.write(starting.refuse, claim, "Run not found", life.at(1))
    notify = await life.claimed(database, Kind.NOTIFY, run.id, life.at(1))
    await database.write(
        follow_up.prepare_notification, notify, notifications.Notification(run.id, "msg_1", b"{}", life.at(1))
    )
    return await life.get_run(database, run.id)


async def test_it_is_accepted_as_though_it_had_not_ended(database: Database) -> None:
    run = await refused(database)
    opened, is_new = await database.write(adopting.adopt, adoption(life.at(60)))
    assert (opened.id, is_new, opened.status) == (run.id, True, states.ACCEPTED)
    assert (opened.settled_at, opened.settled_by, opened.failure_reason, opened.failure_source) == (None,) * 4
    assert await life.open_jobs(database, run.id) == ["adopt"]
    assert await database.read(notifications.find, run.id) is None


async def test_the_ledger_names_the_actor_that_opened_it(database: Database) -> None:
    run = await refused(database)
    await database.write(adopting.adopt, adoption(life.at(60)))
    entry = await ledgers.last(database, run.id)
    facts = {"upstreamId": "run_1", "source": "request"}
    assert (entry.kind, entry.actor, entry.facts) == ("run.reopened", "key:backend", facts)


async def test_the_sums_lose_the_end_of_a_reopened_run_and_count_its_next_end(database: Database) -> None:
    run = await refused(database)
    await database.write(adopting.adopt, adoption(life.at(60)))
    assert (await database.read(rollups.verify)).rows == 0
    claim = await life.claimed(database, Kind.ADOPT, run.id, life.at(60))
    shown = adopting.UpstreamDetails("agent_7", "Check.", None, None, life.at(-9), life.at(-8), "key:backend")
    await database.write(adopting.complete_ended_adoption, claim, shown, life.result(), life.at(61), None)
    assert not (await database.read(rollups.verify)).differences
    ended = await life.get_run(database, run.id)
    assert (ended.status, ended.output) == (states.COMPLETED, "The lease is void.")
    assert await life.open_jobs(database, run.id) == ["capture", "notify"]


async def test_to_open_it_twice_is_to_open_it_once(database: Database) -> None:
    run = await refused(database)
    for second in (60, 61):
        await database.write(adopting.adopt, adoption(life.at(second)))
    assert (await life.ledger_kinds(database, run.id)).count("run.reopened") == 1


async def test_a_refused_submission_stays_refused(database: Database) -> None:
    run = await life.queued(database, "run_1")
    claim = await life.claimed(database, Kind.START, run.id, life.at(120))
    await database.write(starting.refuse, claim, "422 no", life.at(121))
    held, is_new = await database.write(adopting.adopt, adoption(life.at(200)))
    assert (held.status, is_new) == (states.REFUSED, False)


@pytest.mark.parametrize("status", sorted(states.REPORTED))
async def test_no_other_end_is_left(database: Database, status: states.Status) -> None:
    run, _ = await database.write(adopting.adopt, adoption())
    claim = await life.claimed(database, Kind.ADOPT, run.id)
    shown = adopting.UpstreamDetails(None, None, None, None, None, None, "key:backend")
    await database.write(adopting.complete_ended_adoption, claim, shown, life.result(status), life.at(1), None)
    held, is_new = await database.write(adopting.adopt, adoption(life.at(200)))
    assert (held.status, is_new) == (status, False)


async def test_what_was_fetched_before_it_was_opened_neither_ends_nor_contradicts_it(database: Database) -> None:
    run = await refused(database)
    await database.write(submitting.request_refresh, run.id, life.at(50))
    fetch = await life.claimed(database, Kind.SETTLE, run.id, life.at(50))
    await database.write(adopting.adopt, adoption(life.at(60)))
    assert not await database.write(settling.record_result, fetch, life.result(), life.at(61), None)
    fetch = await life.claimed(database, Kind.SETTLE, run.id, life.at(62))
    await database.write(settling.record_contradiction, fetch, "running", life.at(63), None)
    assert (await life.get_run(database, run.id)).status is states.ACCEPTED
    assert "run.conflict" not in await life.ledger_kinds(database, run.id)
    assert "adopt" in await life.open_jobs(database, run.id)


async def test_an_imported_one_that_has_a_trace_already_ends_with_the_new_one(database: Database) -> None:
    """An older release stored what it fetched of a refused run."""
    former = replace(await refused(database), id=ids.new(life.at(2)), upstream_id="run_2")
    record = run_chunks.Record(former, life.steps(2), life.usage(1), [life.document(b'{"former":true}')])
    assert (await database.write(importing.import_runs, [record], "operator", life.at(5))).imported == 1
    run, _ = await database.write(adopting.adopt, replace(adoption(life.at(60)), upstream_id="run_2"))
    claim = await life.claimed(database, Kind.ADOPT, run.id, life.at(60))
    shown = adopting.UpstreamDetails("agent_7", "Check.", None, None, life.at(-9), life.at(-8), "key:backend")
    await database.write(adopting.complete_ended_adoption, claim, shown, life.result(), life.at(61), None)
    ended = await life.get_run(database, former.id)
    newest = await database.read(documents.find, former.id)
    steps = await database.read(documents.read, ended.seq, results.Step)
    assert (ended.status, newest and newest.version, len(steps)) == (states.COMPLETED, 2, 3)
