"""Jobs: requests that are carried out until they are complete."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select

from storage import errors, states
from storage.engine import connections
from storage.engine.database import Database
from storage.repositories import job_counts, job_list, jobs
from storage.repositories.jobs import JobRequest
from storage.states import Kind, Source
from storage.tables.jobs import JOBS
from tests import life

pytestmark = pytest.mark.anyio


async def enqueue(database: Database, *requests: JobRequest) -> None:
    await database.write(jobs.enqueue, list(requests))


async def claim(database: Database, now: datetime = life.NOW, limit: int = 100) -> list[jobs.Claim]:
    return await database.write(jobs.claim, now=now, until=now + life.LEASE, owner="w", limit=limit)


async def claimed(database: Database, now: datetime = life.NOW) -> jobs.Claim:
    """The only job there is, under a lease."""
    (only,) = await claim(database, now)
    return only


async def row(database: Database) -> Any:
    """The only row of the table."""
    return await database.read(lambda connection: connection.execute(select(JOBS)).one())


async def count(database: Database) -> int:
    return await database.read(lambda connection: len(connection.execute(select(JOBS)).all()))


def settle(
    run_id: str = "a", at: datetime = life.NOW, trigger: Source | None = Source.WATCHER, **more: Any
) -> JobRequest:
    return JobRequest(Kind.SETTLE, run_id, at, trigger, **more)


async def test_a_request_is_a_job(database: Database) -> None:
    await enqueue(database, settle())
    found = await row(database)
    assert (found.kind, found.run_id, found.requested, found.due_at) == ("settle", "a", 1, life.NOW)


async def test_a_repeated_request_raises_requested(database: Database) -> None:
    for at in range(3):
        await enqueue(database, settle(at=life.at(at)))
    assert (await row(database)).requested == 3


async def test_requests_that_come_together_are_one_with_the_earliest_time(database: Database) -> None:
    second = JobRequest(Kind.SETTLE, "a", life.at(1), Source.PLATFORM, due_at=life.at(5))
    await enqueue(database, settle(due_at=life.at(100)), second)
    found = await row(database)
    assert (found.requested, found.due_at, found.trigger) == (1, life.at(5), "watcher")


async def test_another_kind_or_run_is_another_job(database: Database) -> None:
    await enqueue(database, settle(), settle("b"), JobRequest(Kind.CANCEL, "a", life.NOW))
    assert await count(database) == 3


async def test_an_urgent_request_makes_a_waiting_job_due(database: Database) -> None:
    await enqueue(database, settle(due_at=life.at(100)), settle(at=life.at(5)))
    assert (await row(database)).due_at == life.at(5)


async def test_an_urgent_request_never_makes_a_job_later(database: Database) -> None:
    await enqueue(database, settle(), settle(at=life.at(5), due_at=life.at(100)))
    assert (await row(database)).due_at == life.NOW


async def test_a_request_that_is_not_urgent_leaves_a_back_off_alone(database: Database) -> None:
    await enqueue(database, settle(due_at=life.at(100)), settle(at=life.at(5), urgent=False))
    assert (await row(database)).due_at == life.at(100)


async def test_a_job_that_is_not_due_is_not_claimed(database: Database) -> None:
    await enqueue(database, settle(due_at=life.at(1)))
    assert await claim(database) == []


async def test_exec_and_settle_go_first_and_the_sweep_last(database: Database) -> None:
    await enqueue(
        database, *(JobRequest(kind, "", life.NOW) for kind in (Kind.SWEEP, Kind.ADOPT, Kind.CANCEL, Kind.START))
    )
    kinds = [(await claim(database, limit=1))[0].kind for _ in range(4)]
    assert kinds == [Kind.START, Kind.CANCEL, Kind.ADOPT, Kind.SWEEP]


async def test_of_equal_priority_the_longest_due_goes_first(database: Database) -> None:
    await enqueue(database, settle("late", life.NOW), settle("early", life.at(-10)), settle("later", life.at(0)))
    assert [each.run_id for each in await claim(database)] == ["early", "late", "later"]


async def test_claims_come_in_the_order_of_their_urgency(database: Database) -> None:
    await enqueue(database, JobRequest(Kind.SWEEP, "", life.NOW), settle("b"), settle("a", life.at(-1)))
    assert [each.run_id for each in await claim(database)] == ["a", "b", ""]


async def test_no_more_than_requested_are_claimed(database: Database) -> None:
    await enqueue(database, *(settle(str(number)) for number in range(5)))
    assert len(await claim(database, limit=3)) == 3


async def test_a_leased_job_is_claimed_by_no_other_worker(database: Database) -> None:
    await enqueue(database, settle())
    await claim(database)
    assert await claim(database, life.at(59)) == []


async def test_a_lease_that_expires_frees_the_job_with_a_higher_fence(database: Database) -> None:
    await enqueue(database, settle())
    first = await claimed(database)
    again = await claimed(database, life.at(60))
    assert (again.id, again.fence) == (first.id, first.fence + 1)


async def test_a_renewed_lease_lasts_longer(database: Database) -> None:
    await enqueue(database, settle())
    await database.write(jobs.renew, [await claimed(database)], life.at(120))
    assert await claim(database, life.at(119)) == []


async def test_renewing_nothing_is_fine(database: Database) -> None:
    await database.write(jobs.renew, [], life.at(120))


async def test_a_lost_lease_is_not_renewed(database: Database) -> None:
    await enqueue(database, settle())
    stale = await claimed(database)
    await claimed(database, life.at(60))
    await database.write(jobs.renew, [stale], life.at(1000))
    assert (await row(database)).lease_until == life.at(120)


async def test_complete_removes_the_job(database: Database) -> None:
    await enqueue(database, settle())
    await database.write(jobs.complete, await claimed(database))
    assert await count(database) == 0


async def test_a_request_during_the_lease_is_not_lost(database: Database) -> None:
    await enqueue(database, settle())
    held = await claimed(database)
    await enqueue(database, settle(at=life.at(5)))
    await database.write(jobs.complete, held)
    assert (await claimed(database, life.at(5))).fence == held.fence + 1


async def test_a_request_during_the_lease_overrides_the_back_off(database: Database) -> None:
    await enqueue(database, settle())
    held = await claimed(database)
    await enqueue(database, settle(at=life.at(5)))
    await database.write(jobs.fail, held, life.at(500), error="boom", now=life.at(6))
    assert (await row(database)).due_at <= life.at(5)


async def test_a_request_that_is_not_urgent_does_not(database: Database) -> None:
    await enqueue(database, settle())
    held = await claimed(database)
    await enqueue(database, settle(at=life.at(5), trigger=Source.SWEEP, urgent=False))
    await database.write(jobs.fail, held, life.at(500), error="boom", now=life.at(6))
    assert (await row(database)).due_at == life.at(500)


async def test_a_rescheduled_job_comes_due_when_it_says(database: Database) -> None:
    await enqueue(database, settle())
    await database.write(jobs.reschedule, await claimed(database), life.at(30))
    assert (await claim(database, life.at(29)), len(await claim(database, life.at(30)))) == ([], 1)


async def test_a_failure_is_kept_with_its_time_and_cut(database: Database) -> None:
    await enqueue(database, settle())
    await database.write(jobs.fail, await claimed(database), life.at(30), error="x" * 9999, now=life.at(1))
    found = await row(database)
    assert (len(found.last_error), found.last_error_at) == (jobs.ERROR_LENGTH, life.at(1))


async def test_attempts_grow_with_each_claim(database: Database) -> None:
    await enqueue(database, settle())
    attempts = []
    for second in range(3):
        held = await claimed(database, life.at(second))
        attempts.append(held.attempts)
        await database.write(jobs.fail, held, life.at(second + 1), error="boom", now=life.at(second))
    assert attempts == [1, 2, 3]


async def test_a_failure_that_does_not_count_leaves_the_back_off(database: Database) -> None:
    await enqueue(database, settle())
    held = await claimed(database)
    await database.write(jobs.fail, held, life.at(1), error="429", now=life.NOW, counted=False)
    assert (await claimed(database, life.at(1))).failures == 0


async def test_looks_at_what_is_alive_do_not_lengthen_the_back_off_of_a_failure(database: Database) -> None:
    await enqueue(database, settle())
    for second in range(5):
        held = await claimed(database, life.at(second))
        await database.write(jobs.reschedule, held, life.at(second + 1), alive=True)
    held = await claimed(database, life.at(5))
    await database.write(jobs.fail, held, life.at(6), error="500", now=life.at(5))
    after = await claimed(database, life.at(6))
    assert (after.attempts, after.failures) == (7, 1)


async def test_refusals_are_counted_since_the_first(database: Database) -> None:
    await enqueue(database, settle())
    for second in range(2):
        held = await claimed(database, life.at(second))
        now = life.at(second)
        await database.write(jobs.fail, held, life.at(second + 1), error="404", now=now, refused=True)
    last = await claimed(database, life.at(2))
    assert (last.refusals, last.refused_since) == (2, life.NOW)


async def test_a_success_clears_the_error(database: Database) -> None:
    await enqueue(database, settle())
    held = await claimed(database)
    await database.write(jobs.fail, held, life.at(1), error="404", now=life.NOW, refused=True)
    await database.write(jobs.reschedule, await claimed(database, life.at(1)), life.at(2))
    found = await row(database)
    assert (found.last_error, found.refusals, found.refused_since) == (None, 0, None)


FINISHES: list[tuple[Any, Sequence[Any], dict[str, Any]]] = [
    (jobs.complete, (), {}),
    (jobs.reschedule, (life.at(1),), {}),
    (jobs.fail, (life.at(1),), {"error": "boom", "now": life.NOW}),
    (jobs.require_lease, (), {}),
]


@pytest.mark.parametrize(("finish", "arguments", "more"), FINISHES)
async def test_a_stale_claim_is_fenced_off(
    finish: Any, arguments: Sequence[Any], more: dict[str, Any], database: Database
) -> None:
    await enqueue(database, settle())
    stale = await claimed(database)
    await claimed(database, life.at(60))
    with pytest.raises(errors.LeaseLost, match="settle of run a"):
        await database.write(finish, stale, *arguments, **more)


@pytest.mark.parametrize(("finish", "arguments", "more"), FINISHES)
async def test_a_finished_claim_is_fenced_off(
    finish: Any, arguments: Sequence[Any], more: dict[str, Any], database: Database
) -> None:
    await enqueue(database, settle())
    over = await claimed(database)
    await database.write(jobs.reschedule, over, life.at(1))
    with pytest.raises(errors.LeaseLost):
        await database.write(finish, over, *arguments, **more)


async def test_the_first_source_wins(database: Database) -> None:
    await enqueue(database, settle(trigger=Source.PLATFORM), settle(trigger=Source.WATCHER))
    assert (await claimed(database)).trigger is Source.PLATFORM


async def test_a_source_counts_where_the_first_request_had_none(database: Database) -> None:
    await enqueue(database, settle(trigger=None), settle(trigger=Source.WATCHER))
    assert (await claimed(database)).trigger is Source.WATCHER


async def test_the_first_source_outlives_a_failure(database: Database) -> None:
    await enqueue(database, settle(trigger=Source.PLATFORM))
    held = await claimed(database)
    await enqueue(database, settle(trigger=Source.WATCHER))
    await database.write(jobs.fail, held, life.at(1), error="boom", now=life.NOW)
    assert (await claimed(database, life.at(1))).trigger is Source.PLATFORM


async def test_a_run_shown_alive_answers_the_sources_before(database: Database) -> None:
    await enqueue(database, settle(trigger=Source.PLATFORM))
    await database.write(jobs.reschedule, await claimed(database), life.at(1), alive=True)
    assert (await claimed(database, life.at(1))).trigger is None


async def test_a_source_reported_while_the_run_was_shown_alive_counts(database: Database) -> None:
    await enqueue(database, settle(trigger=Source.PLATFORM))
    held = await claimed(database)
    await enqueue(database, settle(trigger=Source.WATCHER), settle(trigger=Source.SWEEP))
    await database.write(jobs.reschedule, held, life.at(1), alive=True)
    assert (await claimed(database, life.at(1))).trigger is Source.WATCHER


async def test_a_source_reported_during_the_lease_of_a_dead_worker_counts(database: Database) -> None:
    await enqueue(database, settle(trigger=None))
    await claimed(database)
    await enqueue(database, settle(trigger=Source.WATCHER))
    assert (await claimed(database, life.at(60))).trigger is Source.WATCHER


async def test_a_job_freed_at_a_start_is_due_as_before(database: Database) -> None:
    await enqueue(database, settle())
    await claimed(database)
    assert await database.write(jobs.release_all) == 1
    assert (await claimed(database)).fence == 2


async def test_a_worker_that_stops_releases_its_jobs(database: Database) -> None:
    await enqueue(database, settle())
    await database.write(jobs.release, [await claimed(database)], life.at(3))
    assert (await claimed(database, life.at(3))).fence == 2


async def test_a_retry_makes_a_failing_job_due_now(database: Database) -> None:
    await enqueue(database, settle())
    held = await claimed(database)
    await database.write(jobs.fail, held, life.at(500), error="boom", now=life.NOW)
    assert await database.write(jobs.retry, [held.id], life.at(2)) == [(Kind.SETTLE, "a")]
    assert (await claimed(database, life.at(2))).attempts == 1


async def test_there_is_nothing_to_retry_without_the_job(database: Database) -> None:
    assert not await database.write(jobs.retry, ["nothing"], life.NOW)


async def test_the_next_due_is_that_of_a_job_without_a_lease(database: Database) -> None:
    await enqueue(database, settle("held"), settle("free", due_at=life.at(9)))
    await claim(database)
    assert await life.next_due(database, life.NOW) == life.at(9)


async def test_without_jobs_nothing_is_due(database: Database) -> None:
    assert await life.next_due(database, life.NOW) is None


@pytest.mark.parametrize(("seconds", "state"), [(-1, states.JobState.WAITING), (0, states.JobState.DUE)])
async def test_a_job_is_listed_with_its_state(seconds: int, state: states.JobState, database: Database) -> None:
    await enqueue(database, settle())
    (listed,), _ = await database.read(job_list.page, job_list.Query(), life.at(seconds))
    assert (listed.state, listed.kind, listed.trigger) == (state, states.Kind.SETTLE, Source.WATCHER)


async def test_a_held_job_is_listed_as_leased_until_the_lease_is_over(database: Database) -> None:
    await enqueue(database, settle())
    held = await claimed(database)
    found = [await database.read(job_list.find, held.id, life.at(second)) for second in (59, 60)]
    assert [each and each.state for each in found] == [states.JobState.LEASED, states.JobState.DUE]


async def test_a_job_that_failed_is_listed_as_failing(database: Database) -> None:
    await enqueue(database, settle())
    await database.write(jobs.fail, await claimed(database), life.at(9), error="boom", now=life.NOW)
    listed, _ = await database.read(job_list.page, job_list.Query(state=states.JobState.FAILING), life.at(1))
    assert [each.last_error for each in listed] == ["boom"]


async def test_pages_of_jobs_are_newest_first_and_whole(database: Database) -> None:
    await enqueue(database, *(settle(str(number)) for number in range(5)))
    found, cursor = await database.read(job_list.page, job_list.Query(limit=3), life.NOW)
    rest, end = await database.read(job_list.page, job_list.Query(limit=3, cursor=cursor), life.NOW)
    assert ([each.run_id for each in found + rest], end) == (["4", "3", "2", "1", "0"], None)


async def test_due_jobs_are_counted_by_kind(database: Database) -> None:
    await enqueue(database, settle("a"), settle("b", life.at(-9)), JobRequest(Kind.SWEEP, "", life.at(9)))
    assert await database.read(job_counts.count_due, life.NOW) == ({"settle": 2}, life.at(-9))


def _claim_all(url: str, owner: str, barrier: Any) -> list[str]:
    """Claim one by one until nothing is due, in another process."""
    engine = connections.engine(url, readonly=False, connections=1)
    barrier.wait(30)
    claimed: list[str] = []
    while True:
        with engine.begin() as connection:
            taken = jobs.claim(connection, now=life.NOW, until=life.at(60), owner=owner, limit=3)
        if not taken:
            engine.dispose()
            return claimed
        claimed += [each.id for each in taken]


async def test_two_processes_never_get_the_same_job(database: Database, database_url: str) -> None:
    await enqueue(database, *(settle(str(number)) for number in range(60)))
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(2, context) as pool:
        barrier = manager.Barrier(2)
        racing = [
            asyncio.get_running_loop().run_in_executor(pool, _claim_all, database_url, f"w{each}", barrier)
            for each in range(2)
        ]
        one, other = await asyncio.gather(*racing)
    assert (len(one) + len(other), len({*one, *other})) == (60, 60)


async def test_a_retry_of_a_leased_job_outlives_its_failure(database: Database) -> None:
    await enqueue(database, settle())
    held = await claimed(database)
    assert await database.write(jobs.retry, [held.id], life.at(1))
    await database.write(jobs.fail, held, life.at(3600), error="500", now=life.at(2))
    assert (await claimed(database, life.at(2))).fence == 2


async def test_an_error_that_cannot_be_stored_as_it_is_does_not_keep_the_lease(database: Database) -> None:
    await enqueue(database, settle())
    held = await claimed(database)
    await database.write(jobs.fail, held, life.at(1), error="half \ud800 and \x00", now=life.NOW)
    assert (await claimed(database, life.at(1))).fence == 2


async def test_a_claim_of_a_removed_job_completes_no_other(database: Database) -> None:
    """SQLite gives the key of the newest row, once it is removed, to the next one."""
    await enqueue(database, JobRequest(Kind.NOTIFY, "run", life.NOW))
    gone = await claimed(database)
    await database.write(jobs.withdraw, Kind.NOTIFY, "run")
    await enqueue(database, JobRequest(Kind.ADOPT, "run", life.NOW))
    held = await claimed(database)
    with pytest.raises(errors.LeaseLost):
        await database.write(jobs.complete, gone)
    await database.write(jobs.require_lease, held)
