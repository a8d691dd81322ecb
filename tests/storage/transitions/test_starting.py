"""Around create and exec: nothing is executed under an id that is not committed, nothing is linked twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from storage import errors, states
from storage.engine.database import Database
from storage.repositories import jobs, runs, upstream_links
from storage.states import Kind
from storage.tables.runs import UPSTREAM_LINKS
from storage.transitions import starting as transitions_starting
from storage.transitions import submitting
from storage.transitions.starting import LinkResult
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio


async def starting(database: Database, **changes: Any) -> tuple[runs.Run, jobs.Claim]:
    """A submission whose start job is claimed: a create may be under way."""
    run = await life.accepted(database, **changes)
    return run, await life.claimed(database, Kind.START, run.id)


async def create(
    database: Database, claim: jobs.Claim, upstream_id: str = "run_1", second: float = 1
) -> LinkResult:
    made = transitions_starting.CreatedRun(upstream_id, life.at(1), watched=True)
    return await database.write(transitions_starting.record_created, claim, made, life.at(second))


async def role(database: Database, upstream_id: str = "run_1") -> tuple[str, str] | None:
    which = select(UPSTREAM_LINKS.c.run_id, UPSTREAM_LINKS.c.role).where(
        UPSTREAM_LINKS.c.upstream_id == upstream_id
    )
    row = await database.read(lambda connection: connection.execute(which).first())
    return None if row is None else (row.run_id, row.role)


async def test_a_created_run_is_queued_under_its_upstream_id(database: Database) -> None:
    run, claim = await starting(database)
    linked = await create(database, claim)
    run = await life.get_run(database, run.id)
    stored = (linked, run.status, run.upstream_id, run.created_at, run.watched)
    assert stored == (LinkResult.RUN, states.QUEUED, "run_1", life.at(1), True)


async def test_the_ledger_records_the_upstream_id(database: Database) -> None:
    run, claim = await starting(database)
    await create(database, claim)
    entry = await ledgers.last(database, run.id)
    assert (entry.kind, entry.actor, entry.facts) == ("run.created", "worker", {"upstreamId": "run_1"})


async def test_a_create_that_is_committed_again_changes_nothing(database: Database) -> None:
    run, claim = await starting(database)
    answers = [await create(database, claim) for _ in range(2)]
    kinds = await life.ledger_kinds(database, run.id)
    assert (answers, kinds) == ([LinkResult.RUN, LinkResult.RUN], ["run.accepted", "run.created"])


async def test_the_start_job_goes_on_to_exec(database: Database) -> None:
    run, claim = await starting(database)
    await create(database, claim)
    assert await life.open_jobs(database, run.id) == ["start"]


async def test_a_first_create_leaves_no_lost_create(database: Database) -> None:
    run, claim = await starting(database)
    await create(database, claim)
    assert (await life.get_run(database, run.id)).lost_create_since is None


async def test_a_create_by_a_later_claim_may_leave_one(database: Database) -> None:
    run, _ = await starting(database)
    later = await life.claimed(database, Kind.START, run.id, life.at(60))
    await create(database, later, second=61)
    assert (await life.get_run(database, run.id)).lost_create_since == life.at(61)


async def cancelled_during_create(database: Database) -> tuple[runs.Run, LinkResult]:
    run, claim = await starting(database)
    await database.write(submitting.request_cancel, run.id, "key:backend", life.NOW)
    linked = await create(database, claim)
    return await life.get_run(database, run.id), linked


async def test_an_answer_to_a_create_after_the_cancel_is_an_orphan(database: Database) -> None:
    run, linked = await cancelled_during_create(database)
    assert (linked, await role(database)) == (LinkResult.ORPHAN, (run.id, "orphan"))


async def test_an_orphan_leaves_the_end_as_it_was(database: Database) -> None:
    run, _ = await cancelled_during_create(database)
    assert (run.status, run.upstream_id) == (states.CANCELLED, None)


async def test_an_orphan_has_a_job_that_cancels_it(database: Database) -> None:
    run, _ = await cancelled_during_create(database)
    assert await life.open_jobs(database, run.id) == ["orphan", "start"]
    assert await database.read(upstream_links.open_orphans, run.id) == ["run_1"]


async def test_the_ledger_records_an_orphan(database: Database) -> None:
    run, _ = await cancelled_during_create(database)
    entry = await ledgers.last(database, run.id)
    assert (entry.kind, entry.facts) == ("run.orphan", {"upstreamId": "run_1"})


async def test_an_orphan_stays_one_however_often_it_is_committed(database: Database) -> None:
    run, claim = await starting(database)
    await database.write(submitting.request_cancel, run.id, "key:backend", life.NOW)
    answers = [await create(database, claim) for _ in range(2)]
    kinds = await life.ledger_kinds(database, run.id)
    assert (answers, kinds.count("run.orphan")) == ([LinkResult.ORPHAN] * 2, 1)


async def test_an_orphan_that_was_cancelled_needs_no_more(database: Database) -> None:
    run, _ = await cancelled_during_create(database)
    await database.write(upstream_links.mark_cancelled, "run_1", life.at(9))
    assert await database.read(upstream_links.open_orphans, run.id) == []


async def test_an_answer_under_a_lost_lease_is_an_orphan(database: Database) -> None:
    run, stale = await starting(database)
    await life.claimed(database, Kind.START, run.id, life.at(60))
    linked = await create(database, stale)
    assert (linked, (await life.get_run(database, run.id)).status) == (LinkResult.ORPHAN, states.ACCEPTED)


async def test_a_second_create_for_one_submission_is_an_orphan(database: Database) -> None:
    run, stale = await starting(database)
    later = await life.claimed(database, Kind.START, run.id, life.at(60))
    answers = [await create(database, later, "run_1"), await create(database, stale, "run_2")]
    assert (answers, await role(database)) == ([LinkResult.RUN, LinkResult.ORPHAN], (run.id, "run"))


async def test_two_equal_submissions_never_share_an_upstream_run(database: Database) -> None:
    first, claim = await starting(database, prompt="same")
    _, other = await starting(database, prompt="same")
    answers = await asyncio.gather(create(database, claim), create(database, other))
    assert (sorted(each.name for each in answers), await role(database)) == (["RUN", "TAKEN"], (first.id, "run"))


async def test_a_submission_whose_match_belongs_to_another_is_unchanged(database: Database) -> None:
    _, claim = await starting(database)
    second, other = await starting(database)
    await create(database, claim)
    await create(database, other)
    assert await life.get_run(database, second.id) == second


async def test_a_lost_create_found_by_the_sweep_is_committed_as_an_orphan(database: Database) -> None:
    run = await life.queued(database, "run_1")
    assert await database.write(transitions_starting.record_orphan, run.id, "run_2", life.at(5))
    assert (await role(database, "run_2"), await life.open_jobs(database, run.id)) == (
        (run.id, "orphan"),
        ["orphan", "start"],
    )


async def test_a_linked_run_is_no_lost_create(database: Database) -> None:
    run = await life.queued(database, "run_1")
    other = await life.queued(database, "run_2")
    taken = [
        await database.write(transitions_starting.record_orphan, run.id, each, life.at(5))
        for each in ("run_1", "run_2")
    ]
    assert (taken, await role(database, "run_2")) == ([False, False], (other.id, "run"))


async def test_a_started_run_is_running(database: Database) -> None:
    run, claim = await starting(database)
    await create(database, claim)
    await database.write(transitions_starting.record_started, claim, "exec", life.at(2), life.at(999))
    run = await life.get_run(database, run.id)
    assert (run.status, run.started_at, run.expected_by) == (states.RUNNING, life.at(2), life.at(999))


async def test_the_ledger_records_what_reported_the_start(database: Database) -> None:
    run = await life.running(database)
    entry = await ledgers.last(database, run.id)
    assert (entry.kind, entry.facts) == ("run.started", {"via": "exec"})


async def test_a_started_run_has_no_job(database: Database) -> None:
    run = await life.running(database)
    assert await life.open_jobs(database, run.id) == []


async def test_a_late_report_of_the_start_changes_nothing(database: Database) -> None:
    run, claim = await starting(database)
    await create(database, claim)
    await life.settle(database, run, life.result())
    before = await life.get_run(database, run.id)
    await database.write(transitions_starting.record_started, claim, "status", life.at(70), life.at(999))
    assert (await life.get_run(database, run.id), await life.open_jobs(database, run.id)) == (before, [])


async def test_a_cancel_that_is_requested_around_exec_gets_its_job(database: Database) -> None:
    run, claim = await starting(database)
    await create(database, claim)
    await database.write(submitting.request_cancel, run.id, "key:backend", life.at(2))
    await database.write(jobs.complete, await life.claimed(database, Kind.CANCEL, run.id, life.at(2)))
    await database.write(transitions_starting.record_started, claim, "exec", life.at(3), life.at(999))
    assert await life.open_jobs(database, run.id) == ["cancel"]


async def test_a_run_that_is_not_to_be_executed_is_left_to_its_cancel(database: Database) -> None:
    run, claim = await starting(database)
    await create(database, claim)
    await database.write(transitions_starting.leave_to, claim, states.Kind.CANCEL, life.at(2))
    assert await life.open_jobs(database, run.id) == ["cancel"]


async def test_how_a_run_ended_is_left_to_its_settle(database: Database) -> None:
    run, claim = await starting(database)
    await create(database, claim)
    await database.write(transitions_starting.leave_to, claim, states.Kind.SETTLE, life.at(2))
    assert await life.open_jobs(database, run.id) == ["settle"]


async def test_a_cancelled_run_gets_no_settle_job(database: Database) -> None:
    run, claim = await starting(database)
    await database.write(submitting.request_cancel, run.id, "key:backend", life.NOW)
    await database.write(transitions_starting.leave_to, claim, states.Kind.SETTLE, life.at(2))
    assert await life.open_jobs(database, run.id) == []


async def refused(database: Database, claim: jobs.Claim, second: float = 5) -> bool:
    return await database.write(transitions_starting.refuse, claim, "no such agent", life.at(second))


async def test_a_refused_create_is_the_end(database: Database) -> None:
    run, claim = await starting(database)
    assert await refused(database, claim)
    run = await life.get_run(database, run.id)
    stored = (run.status, run.failure_reason, run.failure_source, run.settled_by, run.settled_at)
    assert stored == (states.REFUSED, "no such agent", "upstream", states.Source.REQUEST, life.at(5))


async def test_the_ledger_can_prove_why_it_was_refused(database: Database) -> None:
    run, claim = await starting(database)
    await refused(database, claim)
    entry = await ledgers.last(database, run.id)
    facts = {"settledBy": "request", "settledAt": "2026-11-23T12:00:05.000000Z", "failureSource": "upstream"}
    assert (entry.kind, entry.facts, entry.proves("failureReason", b"no such agent")) == (
        "run.refused",
        facts,
        True,
    )


async def test_a_refused_create_leaves_nothing_to_do(database: Database) -> None:
    run, claim = await starting(database)
    await refused(database, claim)
    run = await life.get_run(database, run.id)
    assert (await life.open_jobs(database, run.id), run.lost_create_since) == ([], None)


async def test_a_refusal_of_a_repeated_create_may_leave_a_lost_create(database: Database) -> None:
    run, _ = await starting(database)
    await refused(database, await life.claimed(database, Kind.START, run.id, life.at(60)), 61)
    assert (await life.get_run(database, run.id)).lost_create_since == life.at(61)


async def test_a_refused_exec_is_cancelled_upstream(database: Database) -> None:
    run, claim = await starting(database)
    await create(database, claim)
    await refused(database, claim)
    stored = ((await life.get_run(database, run.id)).status, await life.open_jobs(database, run.id))
    assert stored == (states.REFUSED, ["cancel"])


async def test_a_refusal_after_the_cancel_changes_nothing(database: Database) -> None:
    run, claim = await starting(database)
    await database.write(submitting.request_cancel, run.id, "key:backend", life.NOW)
    before = await life.get_run(database, run.id)
    assert not await refused(database, claim)
    assert (await life.get_run(database, run.id), await life.open_jobs(database, run.id)) == (before, [])


async def test_a_lost_lease_refuses_nothing(database: Database) -> None:
    run, stale = await starting(database)
    await life.claimed(database, Kind.START, run.id, life.at(60))
    with pytest.raises(errors.LeaseLost):
        await refused(database, stale)
    assert (await life.get_run(database, run.id)).status is states.ACCEPTED


async def test_a_lost_lease_starts_nothing(database: Database) -> None:
    run = await life.queued(database)
    stale = await life.claimed(database, Kind.START, run.id, life.at(60))
    await life.claimed(database, Kind.START, run.id, life.at(120))
    with pytest.raises(errors.LeaseLost):
        await database.write(transitions_starting.record_started, stale, "exec", life.at(121), life.at(999))
