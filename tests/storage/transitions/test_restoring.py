"""An older copy of a store takes its place."""

from __future__ import annotations

import pytest

from storage import errors, states
from storage.engine.database import Database
from storage.ledger import entries
from storage.repositories import job_list, runs, system_state, upstream_links, webhook_endpoints
from storage.tables.jobs import SYSTEM_STATE
from storage.transitions import adopting, receiving, restoring, starting, submitting, webhook_changes
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio

#: When the copy takes over.
LATER = life.at(600)


async def restored(database: Database) -> restoring.Restored:
    return await database.write(restoring.mark_restored, LATER)


async def test_what_is_submitted_and_not_started_is_marked_and_due(database: Database) -> None:
    accepted, queued = await life.accepted(database), await life.queued(database)
    marked = await restored(database)
    assert (marked.accepted, marked.queued, marked.one_call, marked.is_new) == (1, 1, 0, True)
    for run in (accepted, queued):
        assert (await life.get_run(database, run.id)).restored_at == LATER
        assert (await life.claimed(database, states.Kind.START, run.id, LATER)).run_id == run.id


async def test_what_is_started_or_over_or_was_created_elsewhere_is_not(database: Database) -> None:
    known = [await life.running(database), await life.settled_run(database)]
    adoption = adopting.Adoption(life.submission().id, "run_1", "backend", states.Source.REQUEST, life.NOW, None)
    known.append((await database.write(adopting.adopt, adoption))[0])
    await restored(database)
    assert [(await life.get_run(database, run.id)).restored_at for run in known] == [None] * 3


async def test_a_call_that_may_have_been_made_counts_as_made(database: Database) -> None:
    run = await life.accepted(database, agent_id=None, instructions="You review leases.")
    assert (await restored(database)).one_call == 1
    assert (await life.get_run(database, run.id)).lost_create_since == LATER
    start = await life.claimed(database, states.Kind.START, run.id, LATER)
    assert not await database.write(starting.mark_call, start, life.at(601))


async def test_a_lease_from_the_time_of_the_copy_delays_no_job(database: Database) -> None:
    run = await life.accepted(database)
    before = await life.claimed(database, states.Kind.START, run.id)
    await database.write(restoring.mark_restored, life.at(1))
    after = await life.claimed(database, states.Kind.START, run.id, life.at(1))
    assert after.fence == before.fence + 1


async def test_marking_again_changes_nothing(database: Database) -> None:
    await life.accepted(database)
    await restored(database)
    again = await database.write(restoring.mark_restored, life.at(700))
    assert (again.accepted, again.queued, again.at, again.is_new) == (0, 0, LATER, False)
    assert [entry.kind for entry in await ledgers.entries(database, None)] == ["store.restored"]


async def test_a_copy_of_what_was_restored_and_worked_on_is_marked_again(database: Database) -> None:
    await restored(database)
    await database.write(system_state.record_heartbeat, life.at(650))
    assert (await database.write(restoring.mark_restored, life.at(700))).is_new


async def test_what_came_in_since_is_marked_as_well(database: Database) -> None:
    await restored(database)
    run = await life.accepted(database)
    assert (await database.write(restoring.mark_restored, life.at(700))).accepted == 1
    assert (await life.get_run(database, run.id)).restored_at == life.at(700)


async def test_the_ledger_records_how_many_entries_are_the_same(database: Database) -> None:
    await life.running(database)
    await database.write(entries.number, 100)
    last = await database.read(entries.last_number)
    assert (await restored(database)).last_number == last
    entry = await ledgers.last(database, None)
    assert (entry.kind, entry.actor) == ("store.restored", "operator")
    assert entry.facts == {"accepted": 0, "queued": 0, "lastNumber": last}


async def test_a_secret_may_have_changed_since_so_nothing_is_refused_for_good(database: Database) -> None:
    _, fence = await life.request_secret(database, "endpoint", "https://example.com/webhooks/case")
    secret = webhook_endpoints.Secret("secret", "endpoint", b"sealed", life.NOW, fence=fence)
    await database.write(webhook_changes.store_secret, webhook_changes.NewSecret(secret, "ep_1", None), life.NOW)
    assert (await restored(database)).awaits_secret
    standing = await database.read(webhook_endpoints.find_active)
    assert standing is not None
    assert standing.awaiting_since == LATER


async def test_a_requested_cancel_waits_until_the_run_was_looked_for(database: Database) -> None:
    run = await life.accepted(database)
    await restored(database)
    left = await database.write(submitting.request_cancel, run.id, "key:backend", life.at(601))
    assert left is not None
    assert left.status is states.ACCEPTED
    assert await life.open_jobs(database, run.id) == ["start"]
    start = await life.claimed(database, states.Kind.START, run.id, life.at(601))
    await database.write(restoring.cancel_not_found, start, life.at(602))
    assert (await life.get_run(database, run.id)).status is states.CANCELLED
    assert await life.open_jobs(database, run.id) == []


async def test_lost_creates_of_forgotten_runs_are_looked_for(database: Database) -> None:
    run = await life.accepted(database)
    await restored(database)
    start = await life.claimed(database, states.Kind.START, run.id, LATER)
    assert start.fence == 1
    await database.write(starting.record_created, start, starting.CreatedRun("run_1", LATER, watched=True), LATER)
    assert (await life.get_run(database, run.id)).lost_create_since == LATER


async def test_a_copy_is_recognised_as_one_until_it_is_marked(database: Database) -> None:
    await database.write(system_state.record_heartbeat, life.NOW)
    assert not await database.read(system_state.require_original)
    await database.write(lambda connection: connection.execute(SYSTEM_STATE.update().values(copied_at=life.NOW)))
    assert await database.read(system_state.require_original)
    await restored(database)
    assert not await database.read(system_state.require_original)


async def test_what_was_moved_elsewhere_is_not_to_be_worked_on(database: Database) -> None:
    await database.write(system_state.mark_moved, "postgresql://db/runledger")
    with pytest.raises(errors.DatabaseMoved, match="moved to postgresql://db/runledger"):
        await database.read(system_state.require_original)
    await restored(database)
    assert not await database.read(system_state.require_original)


async def called_back(database: Database, run_id: str, upstream_id: str | None, key: str = "a") -> runs.Run | None:
    delivery = life.delivery(run_id=run_id, upstream_id=upstream_id, dedupe_key=key, received_at=LATER)
    await database.write(receiving.accept_delivery, delivery)
    return await database.read(runs.find, run_id)


async def test_a_callback_for_a_run_that_is_forgotten_brings_it_back_under_its_id(database: Database) -> None:
    await restored(database)
    lost = life.submission().id
    run = await called_back(database, lost, "run_1")
    assert run is not None
    assert (run.upstream_id, run.origin, run.submitted_by) == ("run_1", states.Origin.ADOPTED, "restored")
    assert await life.open_jobs(database, lost) == ["adopt", "settle"]
    assert await database.read(upstream_links.linked_runs, ["run_1"]) == {"run_1": lost}


async def test_without_a_restore_a_callback_adopts_no_unknown_run(database: Database) -> None:
    assert await called_back(database, life.submission().id, "run_1") is None


@pytest.mark.parametrize("upstream_id", [None, "known"])
async def test_it_brings_back_nothing_that_it_does_not_name_or_that_is_another_run(
    database: Database, upstream_id: str | None
) -> None:
    other = await life.running(database, "known")
    await restored(database)
    assert await called_back(database, life.submission().id, upstream_id) is None
    assert (await life.get_run(database, other.id)).upstream_id == "known"


async def test_two_callbacks_for_one_forgotten_run_bring_back_one(database: Database) -> None:
    await restored(database)
    lost = life.submission().id
    assert (await called_back(database, lost, "run_1", "a")) == (await called_back(database, lost, "run_2", "b"))
    assert await database.read(runs.find, "run_2") is None


async def test_the_jobs_of_a_restored_store_are_free(database: Database) -> None:
    run = await life.accepted(database)
    await life.claimed(database, states.Kind.START, run.id)
    await restored(database)
    page, _ = await database.read(job_list.page, job_list.Query(run_id=run.id), LATER)
    assert [job.lease_owner for job in page] == [None]
