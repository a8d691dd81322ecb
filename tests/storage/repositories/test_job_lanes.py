"""Backend, upstream and streams are claimed apart, each for itself; a dead job is never claimed."""

from __future__ import annotations

import pytest

from storage import states
from storage.engine.database import Database
from storage.repositories import job_counts, job_list, jobs
from storage.repositories.jobs import JobRequest
from storage.states import Kind
from tests import life

pytestmark = pytest.mark.anyio

KINDS = (Kind.CAPTURE, Kind.NOTIFY, Kind.SETTLE, Kind.SWEEP)


async def claimed(database: Database, lane: tuple[int, ...], now: float = 0) -> list[Kind]:
    claims = await database.write(
        jobs.claim, now=life.at(now), until=life.at(now + 60), owner="w", limit=9, lane=lane
    )
    return [claim.kind for claim in claims]


async def died(database: Database) -> jobs.Claim:
    """A notification that was given up."""
    await database.write(jobs.enqueue, [JobRequest(Kind.NOTIFY, "a", life.NOW)])
    held = await life.claimed(database, Kind.NOTIFY, "a")
    await database.write(jobs.bury, held, error="410 Gone", now=life.at(1))
    return held


async def state(database: Database, claim: jobs.Claim, now: float = 1) -> states.JobState:
    found = await database.read(job_list.find, claim.id, life.at(now))
    assert found is not None
    return found.state


def test_every_kind_has_a_lane() -> None:
    assert set(states.PRIORITY) == set(Kind)
    assert set(states.PRIORITY.values()) == set(states.EVERY_LANE)


async def test_each_lane_is_claimed_for_itself(database: Database) -> None:
    await database.write(jobs.enqueue, [JobRequest(kind, "a", life.NOW) for kind in KINDS])
    assert await claimed(database, states.BACKEND_LANE) == [Kind.NOTIFY]
    assert await claimed(database, states.STREAM_LANE) == [Kind.CAPTURE]
    assert await claimed(database, states.UPSTREAM_LANE) == [Kind.SETTLE, Kind.SWEEP]


async def test_of_what_is_not_hurried_the_sweep_goes_first(database: Database) -> None:
    """Cancels and adoptions may be many; a sweep is due but now and then."""
    kinds = (Kind.START, Kind.CANCEL, Kind.ADOPT, Kind.SWEEP)
    await database.write(jobs.enqueue, [JobRequest(kind, "a", life.NOW) for kind in kinds])
    assert await claimed(database, states.RESERVED_LANE) == [Kind.SWEEP, Kind.CANCEL, Kind.ADOPT]


async def test_a_dead_job_is_never_due(database: Database) -> None:
    held = await died(database)
    assert await claimed(database, states.EVERY_LANE, 10**6) == []
    assert await life.next_due(database, life.at(10**6)) is None
    assert await state(database, held) is states.JobState.DEAD


async def test_dead_jobs_are_counted_apart_from_those_that_are_tried_on(database: Database) -> None:
    await died(database)
    assert await database.read(job_counts.count_dead) == {Kind.NOTIFY: 1}
    assert await database.read(job_counts.count_failing) == 0


async def test_a_retry_wakes_a_dead_job_as_if_it_had_never_failed(database: Database) -> None:
    held = await died(database)
    await database.write(jobs.retry, [held.id], life.at(9))
    again = await life.claimed(database, Kind.NOTIFY, "a", life.at(9))
    assert (again.attempts, again.failures, again.refusals, again.refused_since) == (1, 0, 0, None)


async def test_a_retry_that_comes_while_a_job_dies_keeps_it_alive(database: Database) -> None:
    await database.write(jobs.enqueue, [JobRequest(Kind.NOTIFY, "a", life.NOW)])
    held = await life.claimed(database, Kind.NOTIFY, "a")
    await database.write(jobs.retry, [held.id], life.at(1))
    await database.write(jobs.bury, held, error="410 Gone", now=life.at(2))
    assert await claimed(database, states.BACKEND_LANE, 2) == [Kind.NOTIFY]
