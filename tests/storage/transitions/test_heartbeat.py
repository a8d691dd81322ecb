"""The worker's heartbeat."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from storage import states
from storage.engine import dialect
from storage.engine.database import Database
from storage.repositories import job_counts, jobs, runs, system_state
from storage.states import Kind
from storage.transitions import heartbeat, sweeping
from tests import life, other_client

pytestmark = pytest.mark.anyio


async def test_a_heartbeat_renews_the_leases(database: Database) -> None:
    run = await life.accepted(database)
    claim = await life.claimed(database, Kind.START, run.id)
    await database.write(heartbeat.record_heartbeat, [claim], life.at(120), life.at(50), None, None, None)
    held = await database.write(jobs.claim, now=life.at(119), until=life.at(300), owner="other", limit=9)
    assert held == []


async def test_a_heartbeat_is_recorded_without_jobs(database: Database) -> None:
    await database.write(heartbeat.record_heartbeat, [], life.at(60), life.at(5), None, None, None)
    seen = await database.read(heartbeat.schedule, life.at(5))
    assert (seen.state.worker_seen_at, seen.upstream_due_at, seen.backend_due_at) == (life.at(5), None, None)


async def test_the_schedule_has_a_due_time_for_each_lane(database: Database) -> None:
    notify = jobs.JobRequest(Kind.NOTIFY, "a", life.NOW, due_at=life.at(9))
    settle = jobs.JobRequest(Kind.SETTLE, "a", life.NOW, due_at=life.at(2))
    await database.write(
        jobs.enqueue, [notify, settle, jobs.JobRequest(Kind.SWEEP, "", life.NOW, due_at=life.at(3))]
    )
    seen = await database.read(heartbeat.schedule, life.NOW)
    lanes = (seen.upstream_due_at, seen.reserved_due_at, seen.backend_due_at)
    assert lanes == (life.at(2), life.at(3), life.at(9))


async def test_a_heartbeat_waits_for_no_job_whose_result_is_just_being_stored(
    served: Database, server_url: str
) -> None:
    await life.accepted(served)
    await life.accepted(served)
    storing, other = await served.write(jobs.claim, now=life.at(1), until=life.at(30), owner="a", limit=9)
    with other_client.locking_jobs(server_url, storing.run_id):
        await served.write(
            heartbeat.record_heartbeat, [storing, other], life.at(90), life.at(20), None, None, None
        )
        taken = await served.write(jobs.claim, now=life.at(60), until=life.at(99), owner="b", limit=9)
    assert taken == []  # one is locked, and the lease of the other was renewed


async def beat(database: Database, seconds: float, latest: float | None = None) -> timedelta | None:
    latest_at = None if latest is None else life.at(latest)
    return await database.write(
        heartbeat.record_heartbeat, [], life.at(seconds + 20), life.at(seconds), latest_at, None, None
    )


async def test_a_heartbeat_reports_how_far_the_clock_went_back(database: Database) -> None:
    steps = [await beat(database, seconds) for seconds in (0, 5, 3605, 10, 15)]
    assert steps == [None, None, None, timedelta(seconds=3595), None]


async def test_a_clock_that_went_ahead_and_back_between_two_heartbeats_is_noticed(database: Database) -> None:
    await beat(database, 0, latest=0)
    assert await beat(database, 5, latest=3605) == timedelta(seconds=3600)


async def test_a_small_step_back_is_none(database: Database) -> None:
    await beat(database, 5)
    assert await beat(database, 0) is None


async def test_after_the_clock_went_back_what_waits_is_due(database: Database) -> None:
    await beat(database, 3600)
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SWEEP, "", life.NOW, due_at=life.at(3660))])
    await database.write(system_state.pause, life.at(3700), "429", life.at(3600))
    await beat(database, 0)
    seen = await database.read(heartbeat.schedule, life.NOW)
    assert (seen.upstream_due_at, seen.state.paused_until) == (life.NOW, life.NOW)


async def test_after_the_clock_went_back_no_lease_outlasts_another_one(database: Database) -> None:
    run = await life.accepted(database, accepted_at=life.at(3600))
    await database.write(jobs.claim, now=life.at(3600), until=life.at(3620), owner="dead", limit=9)
    await beat(database, 3600)
    await beat(database, 0)
    claims = await database.write(jobs.claim, now=life.at(20), until=life.at(40), owner="other", limit=9)
    assert [claim.run_id for claim in claims] == [run.id]


async def test_after_the_clock_went_back_runs_are_asked_about_again(database: Database) -> None:
    run = await life.running(database)
    await database.write(
        sweeping.record_listed, [sweeping.ListedRun(run.upstream_id or "", states.RUNNING)], life.at(3600)
    )
    await beat(database, 3600)
    await beat(database, 0)
    assert [each.id for each in await database.read(runs.unasked, life.at(1), life.NOW, 9)] == [run.id]


async def test_a_dead_job_stays_dead_whatever_the_clock_does(database: Database) -> None:
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.NOTIFY, "a", life.NOW)])
    claim = await life.claimed(database, Kind.NOTIFY, "a")
    await database.write(jobs.bury, claim, error="410 Gone", now=life.NOW)
    await beat(database, 3600)
    await beat(database, 0)
    assert await database.read(job_counts.count_dead) == {Kind.NOTIFY: 1}
    assert await database.write(jobs.claim, now=life.at(9), until=life.at(40), owner="other", limit=9) == []


async def db_now(database: Database) -> datetime:
    found = await database.read(dialect.server_time)
    assert found is not None
    return found


HOUR = timedelta(hours=1)


async def shared_beat(database: Database, now: datetime, claims: Sequence[jobs.Claim] = ()) -> timedelta | None:
    """A heartbeat of a replica whose clock says `now`, and which reported a much later time before."""
    arguments = (claims, now + life.LEASE, now, now + 2 * HOUR, None, None)
    return await database.write(heartbeat.record_heartbeat, *arguments, is_shared=True)


@pytest.mark.parametrize("wrong", [-HOUR, HOUR])
async def test_a_replica_whose_clock_is_wrong_ends_no_lease_and_no_pause_of_others(
    served: Database, server_url: str, wrong: timedelta
) -> None:
    run, now = await life.accepted(served), await db_now(served)
    held = await served.write(jobs.claim, now=now, until=now + life.LEASE, owner="good", limit=9)
    await served.write(system_state.pause, now + HOUR, "429", now)
    await served.write(jobs.enqueue, [jobs.JobRequest(Kind.SWEEP, "", now, due_at=now + HOUR)])
    await shared_beat(served, now, held)
    async with Database(server_url) as other:
        assert await shared_beat(other, now + wrong) is None
        assert await other.write(jobs.claim, now=now, until=now + HOUR, owner="wrong", limit=9) == []
    await served.write(jobs.reschedule, held[0], now + HOUR)  # LeaseLost if the lease had ended
    seen = await served.read(heartbeat.schedule, now)
    assert (seen.state.paused_until, seen.reserved_due_at) == (now + HOUR, now + HOUR)
    assert held[0].run_id == run.id


@pytest.mark.parametrize("wrong", [-HOUR, HOUR])
async def test_leases_of_a_replica_whose_clock_is_wrong_last_by_the_time_of_the_database(
    served: Database, wrong: timedelta
) -> None:
    await life.accepted(served)
    now = await db_now(served)
    held = await served.write(jobs.claim, now=now, until=now + wrong, owner="wrong", limit=9)
    await shared_beat(served, now + wrong, held)
    assert await served.write(jobs.claim, now=now, until=now + HOUR, owner="other", limit=9) == []
    later = now + 2 * life.LEASE
    (taken,) = await served.write(jobs.claim, now=later, until=later + HOUR, owner="other", limit=9)
    assert taken.fence > held[0].fence


async def test_a_database_whose_own_clock_went_back_makes_due_what_waits(served: Database) -> None:
    now = await db_now(served)
    await served.write(system_state.record_heartbeat, now + HOUR)
    await served.write(system_state.pause, now + 2 * HOUR, "429", now + HOUR)
    gone_back = await shared_beat(served, now)
    assert gone_back is not None
    assert HOUR - timedelta(minutes=5) < gone_back <= HOUR
    seen = await served.read(heartbeat.schedule, now)
    assert seen.state.paused_until is not None
    assert seen.state.paused_until < now + HOUR
    assert seen.at is not None


async def test_the_schedule_of_an_embedded_database_has_no_time(embedded: Database) -> None:
    assert (await embedded.read(heartbeat.schedule, life.NOW)).at is None


def worker(name: str) -> system_state.Worker:
    return system_state.Worker(f"owner of {name}", name, "0.1.0", life.NOW)


async def seen(database: Database, name: str, seconds: float) -> None:
    at, until = life.at(seconds), life.at(seconds + 20)
    await database.write(heartbeat.record_heartbeat, [], until, at, None, None, None, worker=worker(name))


async def test_each_worker_has_its_last_heartbeat_and_one_that_is_long_gone_is_forgotten(
    database: Database,
) -> None:
    for name, seconds in (("a", 0), ("b", 1), ("a", 5)):
        await seen(database, name, seconds)
    found = await database.read(system_state.workers)
    assert sorted((each.name, each.seen_at) for each in found) == [("a", life.at(5)), ("b", life.at(1))]
    await seen(database, "a", 3603)
    assert [each.name for each in await database.read(system_state.workers)] == ["a"]


async def test_a_clock_that_went_back_leaves_no_heartbeat_in_the_future(database: Database) -> None:
    for name, seconds in (("a", 3600), ("b", 0)):
        await seen(database, name, seconds)
    assert {each.seen_at for each in await database.read(system_state.workers)} == {life.NOW}
