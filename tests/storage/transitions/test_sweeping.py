"""What the list route shows, a page at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from storage import errors, ids, states
from storage.engine.database import Database
from storage.repositories import job_list, jobs, runs, system_state
from storage.states import Kind, Source
from storage.transitions import adopting, settling, starting, submitting, sweeping
from storage.transitions.sweeping import ListedRun, SweptPage
from tests import life, other_client
from tests.storage import ledgers

pytestmark = pytest.mark.anyio


async def observe(database: Database, *seen: ListedRun, second: float = 10) -> SweptPage:
    return await database.write(sweeping.record_listed, list(seen), life.at(second))


async def settles(database: Database, run_id: str) -> list[job_list.Job]:
    found, _ = await database.read(job_list.page, job_list.Query(Kind.SETTLE, run_id), life.at(10))
    return found


async def test_a_run_shown_ended_gets_its_settle(database: Database) -> None:
    run = await life.running(database, "run_1")
    page = await observe(database, ListedRun("run_1", states.COMPLETED))
    assert (page.ended, [job.trigger for job in await settles(database, run.id)]) == (1, [Source.SWEEP])


async def test_a_sweep_that_waits_for_a_document_lets_every_other_write_pass(
    served: Database, server_url: str
) -> None:
    run = await life.running(served, "run_1")
    await observe(served, ListedRun("run_1", states.COMPLETED))
    with other_client.locking_jobs(server_url, run.id):
        swept = asyncio.ensure_future(observe(served, ListedRun("run_1", states.COMPLETED)))
        await life.accepted(served)
        assert not swept.done()
    assert (await swept).ended == 1


async def test_a_run_shown_ended_is_not_believed_to_be(database: Database) -> None:
    run = await life.running(database, "run_1")
    await observe(database, ListedRun("run_1", states.FAILED))
    assert (await life.get_run(database, run.id)).status is states.RUNNING


async def test_a_settle_that_is_there_keeps_its_back_off(database: Database) -> None:
    run = await life.running(database, "run_1")
    await database.write(
        jobs.enqueue, [jobs.JobRequest(Kind.SETTLE, run.id, life.NOW, Source.WATCHER, life.at(500))]
    )
    await observe(database, ListedRun("run_1", states.COMPLETED))
    assert [(job.due_at, job.trigger) for job in await settles(database, run.id)] == [
        (life.at(500), Source.WATCHER)
    ]


async def test_a_live_run_is_noted_as_seen(database: Database) -> None:
    run = await life.running(database, "run_1")
    page = await observe(database, ListedRun("run_1", states.RUNNING))
    assert (page.ended, (await life.get_run(database, run.id)).asked_at) == (0, life.at(10))
    assert await settles(database, run.id) == []


async def test_a_live_run_follows_forward(database: Database) -> None:
    run = await life.queued(database, "run_1")
    await observe(database, ListedRun("run_1", states.RUNNING, life.at(7)))
    run = await life.get_run(database, run.id)
    assert (run.status, run.started_at) == (states.RUNNING, life.at(7))
    assert (await ledgers.last(database, run.id)).facts == {"via": "sweep"}


async def test_a_run_that_turns_up_again_is_no_longer_missing(database: Database) -> None:
    run = await life.running(database, "run_1")
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SETTLE, run.id, life.NOW)])
    claim = await life.claimed(database, Kind.SETTLE, run.id)
    await database.write(settling.record_missing, claim, life.NOW, life.at(5), "404", lost=True)
    await observe(database, ListedRun("run_1", states.RUNNING))
    run = await life.get_run(database, run.id)
    assert (run.status, run.missing_since) == (states.RUNNING, None)


async def test_a_settled_run_is_passed_over(database: Database) -> None:
    run = await life.settled_run(database, upstream_id="run_1")
    page = await observe(database, ListedRun("run_1", states.FAILED))
    assert (page, await life.get_run(database, run.id)) == (SweptPage(0, frozenset()), run)


async def test_a_run_whose_adoption_is_not_complete_is_passed_over(database: Database) -> None:
    adoption = adopting.Adoption(ids.new(life.NOW), "run_1", "sweep", Source.SWEEP, life.NOW, life.at(3600))
    run, _ = await database.write(adopting.adopt, adoption)
    page = await observe(database, ListedRun("run_1", states.COMPLETED))
    assert (page, await life.open_jobs(database, run.id)) == (SweptPage(0, frozenset()), ["adopt"])


async def test_an_orphan_says_nothing_about_its_run(database: Database) -> None:
    run = await life.running(database, "run_1")
    await database.write(starting.record_orphan, run.id, "run_2", life.NOW)
    page = await observe(database, ListedRun("run_2", states.CANCELLED))
    assert (page, await settles(database, run.id)) == (SweptPage(0, frozenset()), [])


async def test_a_run_that_is_not_ours_is_unknown(database: Database) -> None:
    await life.running(database, "run_1")
    page = await observe(database, ListedRun("run_8", states.RUNNING), ListedRun("run_1", states.RUNNING))
    assert page.unknown_ids == {"run_8"}


async def test_an_empty_page_is_fine(database: Database) -> None:
    assert await observe(database) == SweptPage(0, frozenset())


async def test_a_run_that_gave_no_answer_gets_its_own_settle(database: Database) -> None:
    run = await life.running(database, "run_1")
    await database.write(sweeping.request_own_settle, run.id, life.at(10))
    assert (len(await settles(database, run.id)), (await life.get_run(database, run.id)).asked_at) == (
        1,
        life.at(10),
    )


async def sweep(database: Database) -> jobs.Claim:
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SWEEP, "", life.NOW)])
    return await life.claimed(database, Kind.SWEEP)


async def over(database: Database, claim: jobs.Claim, *, whole: bool, before: Any = life.NOW) -> None:
    await database.write(
        sweeping.finish_sweep, claim, life.at(1), life.at(30), complete=whole, lost_create_before=before
    )


async def test_a_pass_comes_due_again(database: Database) -> None:
    await over(database, await sweep(database), whole=True)
    assert (await life.claimed(database, Kind.SWEEP, now=life.at(30))).fence == 2


@pytest.mark.parametrize(("whole", "swept_at"), [(True, life.at(1)), (False, None)])
async def test_only_a_pass_over_the_whole_list_counts(whole: bool, swept_at: Any, database: Database) -> None:
    await over(database, await sweep(database), whole=whole)
    assert (await database.read(system_state.read)).swept_at == swept_at


async def cancelled_during_create(database: Database) -> runs.Run:
    """A run that was cancelled while a create may have been under way."""
    run = await life.accepted(database)
    await database.write(submitting.request_cancel, run.id, "key:backend", life.at(5))
    return run


@pytest.mark.parametrize(
    ("whole", "before", "left"), [(True, 6, None), (True, 5, life.at(5)), (False, 6, life.at(5))]
)
async def test_only_a_whole_pass_long_after_proves_that_no_lost_create_is_left(
    whole: bool, before: float, left: Any, database: Database
) -> None:
    run = await cancelled_during_create(database)
    await over(database, await sweep(database), whole=whole, before=life.at(before))
    assert (await life.get_run(database, run.id)).lost_create_since == left


async def test_runs_with_a_possible_lost_create_are_looked_for(database: Database) -> None:
    run = await cancelled_during_create(database)
    assert [each.id for each in await database.read(runs.unlinked)] == [run.id]


async def test_a_lost_lease_ends_no_pass(database: Database) -> None:
    stale = await sweep(database)
    await life.claimed(database, Kind.SWEEP, now=life.at(60))
    with pytest.raises(errors.LeaseLost):
        await over(database, stale, whole=True)


async def test_a_live_run_that_should_have_ended_gets_a_settle_whatever_the_list_shows(database: Database) -> None:
    run = await life.running(database, "run_1")
    await observe(database, ListedRun("run_1", states.RUNNING), second=3599)
    assert await settles(database, run.id) == []
    await observe(database, ListedRun("run_1", states.RUNNING), second=3601)
    assert len(await settles(database, run.id)) == 1


async def test_a_missing_run_is_left_to_its_own_settle(database: Database) -> None:
    run = await life.running(database)
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SETTLE, run.id, life.at(5), Source.SWEEP)])
    claim = await life.claimed(database, Kind.SETTLE, run.id, life.at(5))
    assert [each.id for each in await database.read(runs.unasked, life.at(9), life.at(9), 10)] == [run.id]
    await database.write(settling.record_missing, claim, life.at(6), life.at(9), "404", lost=False)
    assert await database.read(runs.unasked, life.at(9), life.at(9), 10) == []


async def test_a_lost_create_is_given_up_after_a_day(database: Database) -> None:
    run = await life.accepted(database)
    await life.claimed(database, Kind.START, run.id)
    await database.write(submitting.request_cancel, run.id, "key:test", life.at(5))
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SWEEP, "", life.at(5))])
    claim = await life.claimed(database, Kind.SWEEP, "", life.at(100_000))
    await database.write(
        sweeping.finish_sweep,
        claim,
        life.at(100_000),
        life.at(100_060),
        complete=False,
        lost_create_before=life.at(99_000),
    )
    assert (await life.get_run(database, run.id)).lost_create_since is None
