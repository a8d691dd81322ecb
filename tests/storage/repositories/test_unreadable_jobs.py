"""Rows of `jobs` that cannot be carried out stay, are shown, and keep no other from being claimed."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from storage import states
from storage.engine.database import Database
from storage.repositories import job_counts, job_list, jobs
from storage.transitions import heartbeat
from tests import life

pytestmark = pytest.mark.anyio

UNCHECKED = {
    "sqlite": "PRAGMA ignore_check_constraints = ON",
    "postgresql": "ALTER TABLE jobs DROP CONSTRAINT ck_jobs_kind, DROP CONSTRAINT ck_jobs_trigger",
}


async def spoil(database: Database, run_id: str, change: str) -> None:
    """Change the row of a run past the checks of the database, as an operator may by hand."""
    unchecked = UNCHECKED["sqlite" if database.url.startswith("sqlite") else "postgresql"]
    sql = f"UPDATE jobs SET {change} WHERE run_id = :run_id"
    await database.write(lambda connection: connection.execute(text(unchecked)).close())
    await database.write(lambda connection: connection.execute(text(sql), {"run_id": run_id}).close())


async def claim(database: Database, seconds: float = 1) -> jobs.Claims:
    now = life.at(seconds)
    return await database.write(jobs.claim, now=now, until=now + life.LEASE, owner="w", limit=9)


async def test_a_job_of_an_unknown_kind_keeps_no_other_from_being_claimed(spoiled: Database) -> None:
    bad, good = await life.accepted(spoiled), await life.accepted(spoiled)
    await spoil(spoiled, bad.id, "kind = 'teleport'")
    claimed = await claim(spoiled)
    assert ([each.run_id for each in claimed], len(claimed.unreadable)) == ([good.id], 1)
    assert await claim(spoiled) == []
    assert (await spoiled.read(heartbeat.schedule, life.at(1))).upstream_due_at == life.at(
        1
    ) + jobs.UNREADABLE_DELAY


async def test_a_job_of_an_unknown_kind_is_shown_with_the_reason(embedded: Database) -> None:
    run = await life.accepted(embedded)
    await spoil(embedded, run.id, "kind = 'teleport'")
    await claim(embedded)
    (listed,), _ = await embedded.read(job_list.page, job_list.Query(state=states.JobState.FAILING), life.at(1))
    assert (listed.kind, listed.run_id) == ("teleport", run.id)
    assert "'teleport'" in (listed.last_error or "")
    assert await embedded.read(job_counts.count_failing) == 1


async def test_an_unknown_source_is_no_reason_to_leave_a_job_undone(embedded: Database) -> None:
    run = await life.accepted(embedded)
    await spoil(embedded, run.id, "trigger = 'tunnel'")
    listed, _ = await embedded.read(job_list.page, job_list.Query(), life.at(1))
    assert [each.trigger for each in listed] == ["tunnel"]
    assert [each.trigger for each in await claim(embedded)] == [None]


async def test_a_counter_that_is_no_number_is_one_when_the_job_comes_due_again(embedded: Database) -> None:
    run = await life.accepted(embedded)
    await spoil(embedded, run.id, "failures = 'many'")
    assert await claim(embedded) == []
    (claimed,) = await claim(embedded, 3602)
    assert (claimed.kind, claimed.failures) == (states.Kind.START, 0)
