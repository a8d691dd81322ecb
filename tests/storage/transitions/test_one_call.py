"""The one call that creates and starts a run: marked before it is made, and never made under a mark."""

from __future__ import annotations

import pytest

from storage import errors, states
from storage.engine.database import Database
from storage.repositories import jobs, ledger_changes, runs
from storage.transitions import starting, submitting, sweeping
from tests import life

pytestmark = pytest.mark.anyio

MADE = starting.CreatedRun("run_up", None, watched=False, agent_id="agent_made")


async def submitted(database: Database) -> tuple[runs.Run, jobs.Claim]:
    """A run without an agent, and its start job under a lease."""
    run = await life.accepted(database, agent_id=None, instructions="You review leases.")
    return run, await life.claimed(database, states.Kind.START, run.id)


async def test_a_call_is_marked_once(database: Database) -> None:
    run, start = await submitted(database)
    assert await database.write(starting.mark_call, start, life.at(1))
    assert await database.write(starting.mark_call, start, life.at(1))  # the same try, replayed
    assert not await database.write(starting.mark_call, start, life.at(2))
    assert (await life.get_run(database, run.id)).lost_create_since == life.at(1)


async def test_a_call_that_did_nothing_may_be_made_again(database: Database) -> None:
    _, start = await submitted(database)
    await database.write(starting.mark_call, start, life.at(1))
    await database.write(starting.unmark_call, start)
    assert await database.write(starting.mark_call, start, life.at(2))


async def test_what_the_call_made_is_created_and_started_at_once(database: Database) -> None:
    run, start = await submitted(database)
    await database.write(starting.mark_call, start, life.at(1))
    linked = await database.write(starting.record_call, start, MADE, "execute", life.at(2), life.at(3600))
    assert linked is starting.LinkResult.RUN
    kept = await life.get_run(database, run.id)
    assert (kept.status, kept.upstream_id, kept.agent_id) == (states.RUNNING, "run_up", "agent_made")
    assert kept.lost_create_since is None
    assert await life.ledger_kinds(database, run.id) == ["run.accepted", "run.created", "run.started"]
    assert await life.open_jobs(database, run.id) == ["start"]


async def test_what_the_call_made_for_a_cancelled_run_is_an_orphan(database: Database) -> None:
    run, start = await submitted(database)
    await database.write(starting.mark_call, start, life.at(1))
    await database.write(submitting.request_cancel, run.id, "key:backend", life.at(2))
    linked = await database.write(starting.record_call, start, MADE, "execute", life.at(3), life.at(3600))
    assert linked is starting.LinkResult.ORPHAN
    assert (await life.get_run(database, run.id)).status is states.CANCELLED
    assert "orphan" in await life.open_jobs(database, run.id)


async def test_a_lost_lease_marks_nothing(database: Database) -> None:
    run, start = await submitted(database)
    await life.claimed(database, states.Kind.START, run.id, life.NOW + 2 * life.LEASE)
    with pytest.raises(errors.LeaseLost):
        await database.write(starting.mark_call, start, life.at(1))


async def test_a_sweep_does_not_take_the_mark_of_a_run_that_is_looked_for(database: Database) -> None:
    run, start = await submitted(database)
    await database.write(starting.mark_call, start, life.at(1))
    await database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SWEEP, "", life.NOW)])
    sweep = await life.claimed(database, states.Kind.SWEEP)
    await database.write(
        sweeping.finish_sweep, sweep, life.at(9), life.at(99), complete=True, lost_create_before=life.at(8)
    )
    assert (await life.get_run(database, run.id)).lost_create_since == life.at(1)


async def test_the_ledger_keeps_a_digest_of_the_instructions(database: Database) -> None:
    run, _ = await submitted(database)
    (entry,) = await database.read(ledger_changes.of_run, run.id)
    assert '"instructions":"' in entry.body
    assert "You review" not in entry.body
