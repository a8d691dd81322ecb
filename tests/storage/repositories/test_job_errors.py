"""Failing and dead jobs by cause."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from storage import states
from storage.engine.database import Database
from storage.repositories import job_counts, job_errors, jobs
from storage.repositories.job_errors import Query
from storage.states import FailedJobState, Kind
from storage.transitions import retrying
from tests import life

pytestmark = pytest.mark.anyio

BUSY, GONE = "GET /agent/v1/run/{id}/details: 503 busy, ask 12.5 s later", "the backend answered 410 Gone"


async def failed(database: Database, kind: Kind, run_id: str, error: str, second: float = 0) -> jobs.Claim:
    """A job that failed and is due again a minute later."""
    await database.write(jobs.enqueue, [jobs.JobRequest(kind, run_id, life.at(second))])
    held = await life.claimed(database, kind, run_id, life.at(second))
    await database.write(jobs.fail, held, life.at(second + 60), error=error, now=life.at(second))
    return held


async def dead(database: Database, run_id: str, error: str = GONE) -> jobs.Claim:
    """A notification that was given up."""
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.NOTIFY, run_id, life.NOW)])
    held = await life.claimed(database, Kind.NOTIFY, run_id)
    await database.write(jobs.bury, held, error=error, now=life.NOW)
    return held


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("503 Service Unavailable", "503 Service Unavailable"),
        ("run_01hx7 and evt_9 of 019a2f7c-0000-7000-8000-000000000000", "… and … of …"),
        ("took 12 s, then 3.25 s", "took … s, then … s"),
        ("sha deadbeefdeadbeef is unlike", "sha … is unlike"),
        ("POST /agent/v1/run: no_answer", "POST /agent/v1/run: no_answer"),
    ],
)
def test_what_differs_from_job_to_job_is_no_part_of_a_cause(error: str, cause: str) -> None:
    assert job_errors.normalize(error) == cause


async def test_errors_that_differ_in_numbers_alone_are_one_cause(database: Database) -> None:
    await failed(database, Kind.SETTLE, "a", BUSY)
    await failed(database, Kind.SETTLE, "b", BUSY.replace("12.5", "7"), 30)
    (only,) = await database.read(job_errors.group, Query(), life.at(40))
    values = (only.kind, only.state, only.count, only.oldest_at, only.due_at)
    assert values == (Kind.SETTLE, FailedJobState.FAILING, 2, life.NOW, life.at(60))
    assert only.cause == "GET /agent/v1/run/{id}/details: 503 busy, ask … s later"


async def test_kinds_and_states_are_kept_apart_and_the_most_come_first(database: Database) -> None:
    await failed(database, Kind.NOTIFY, "a", GONE)
    for run_id in ("b", "c"):
        await dead(database, run_id)
    found = await database.read(job_errors.group, Query(), life.at(1))
    assert [(each.kind, each.state, each.count) for each in found] == [
        (Kind.NOTIFY, FailedJobState.DEAD, 2),
        (Kind.NOTIFY, FailedJobState.FAILING, 1),
    ]


async def test_a_leased_job_belongs_to_no_cause(database: Database) -> None:
    await failed(database, Kind.SETTLE, "a", BUSY)
    await life.claimed(database, Kind.SETTLE, "a", life.at(60))
    assert await database.read(job_errors.group, Query(), life.at(61)) == []
    assert await database.read(job_errors.matching, Query(), life.at(61)) == []


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        (Query(), ["settle", "failing", "dead"]),
        (Query(kind=Kind.NOTIFY), ["failing", "dead"]),
        (Query(kind=Kind.NOTIFY, state=FailedJobState.DEAD), ["dead"]),
        (Query(cause="410 gone"), ["failing", "dead"]),
        (Query(cause="ask … s"), ["settle"]),
        (Query(cause="12.5"), []),
    ],
)
async def test_jobs_are_meant_by_kind_state_and_cause(database: Database, query: Query, meant: list[str]) -> None:
    held = {
        "settle": await failed(database, Kind.SETTLE, "a", BUSY),
        "failing": await failed(database, Kind.NOTIFY, "b", GONE),
        "dead": await dead(database, "c"),
    }
    found = await database.read(job_errors.matching, query, life.at(1))
    assert found == [held[name].id for name in meant]
    assert sum(each.count for each in await database.read(job_errors.group, query, life.at(1))) == len(meant)


def _die(connection: Connection, claims: list[jobs.Claim]) -> None:
    for claim in claims:
        jobs.bury(connection, claim, error=GONE, now=life.NOW)


async def test_all_that_are_meant_are_tried_again_at_once(database: Database) -> None:
    many = [jobs.JobRequest(Kind.NOTIFY, str(number), life.NOW) for number in range(retrying.BATCH + 1)]
    await database.write(jobs.enqueue, many)
    held = await database.write(jobs.claim, now=life.NOW, until=life.at(60), owner="w", limit=len(many))
    await database.write(_die, held)
    query = Query(Kind.NOTIFY, FailedJobState.DEAD)
    assert await database.write(retrying.retry_matching, query, life.at(1)) == len(many)
    assert await database.read(job_counts.count_dead) == {}
    assert await life.next_due(database, life.at(1), states.BACKEND_LANE) == life.at(1)
