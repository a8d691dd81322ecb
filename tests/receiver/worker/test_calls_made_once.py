"""The calls and commits of tasks on a clock of the test: exec on a later claim, a day of 404s."""

from __future__ import annotations

import json
from typing import Any

import httpx2 as httpx
import pytest

from receiver import telemetry, timeouts
from receiver.upstream import client
from receiver.worker import context as worker_context
from receiver.worker.tasks import registry
from storage import states
from storage.engine.database import Database
from storage.repositories import job_counts, jobs, runs
from storage.states import Kind
from storage.transitions import restoring, submitting
from tests import life

pytestmark = pytest.mark.anyio

DAY = 86400.0


class Upstream(httpx.AsyncBaseTransport):
    """An upstream that answers by the end of the path, and records the requests. The list is empty."""

    def __init__(self, **answers: int | dict[str, Any]) -> None:
        self.answers: dict[str, int | dict[str, Any]] = {"run": {"runs": [], "hasMore": False}, **answers}
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        *_, run, route = request.url.path.split("/")
        self.asked.append(route)
        found = self.answers.get(f"{route}_of_{run}", self.answers.get(route, 404))
        status, body = (found, {"error": "no"}) if isinstance(found, int) else (200, found)
        return httpx.Response(status, stream=httpx.ByteStream(json.dumps(body).encode()))


async def carried_out(
    database: Database,
    upstream: Upstream,
    claim: jobs.Claim,
    second: float,
    measured: telemetry.Telemetry | None = None,
) -> None:
    """Run the task of a claim at `second`."""
    measured = measured or telemetry.Telemetry()
    asked = client.Client("https://upstream.test", "sk_case_test", upstream)
    context = worker_context.Context(
        database, asked, timeouts.Timing(), lambda: life.at(second), lambda _: None, measured, 60.0
    )
    await registry.run(context, claim)


def shown(run: runs.Run, status: str) -> dict[str, Any]:
    return {"id": run.upstream_id, "status": status}


async def started_again(database: Database, status: str) -> tuple[runs.Run, Upstream]:
    """Claim the start job of a run with an upstream id again, while the upstream shows `status`."""
    run = await life.queued(database)
    upstream = Upstream(status=shown(run, status), exec=shown(run, "running"))
    later = await life.claimed(database, Kind.START, run.id, life.at(100))
    await carried_out(database, upstream, later, 100)
    return await life.get_run(database, run.id), upstream


@pytest.mark.parametrize("status", ["running", "completed", "failed", "cancelled"])
async def test_a_later_claim_never_executes_what_is_not_queued_any_more(database: Database, status: str) -> None:
    run, upstream = await started_again(database, status)
    assert upstream.asked == ["status"]
    assert run.status is (states.RUNNING if status == "running" else states.QUEUED)
    assert await life.open_jobs(database, run.id) == ([] if status == "running" else ["settle"])


async def test_a_later_claim_executes_what_is_still_queued_after_it_has_asked(database: Database) -> None:
    run, upstream = await started_again(database, "queued")
    assert (upstream.asked, run.status) == (["status", "exec"], states.RUNNING)


async def test_the_first_claim_of_a_restored_run_asks_as_a_later_one_does(database: Database) -> None:
    run = await life.queued(database)
    await database.write(restoring.mark_restored, life.at(90))
    upstream = Upstream(status=shown(run, "running"))
    await carried_out(database, upstream, await life.claimed(database, Kind.START, run.id, life.at(100)), 100)
    assert "exec" not in upstream.asked


async def test_exec_is_refused_three_times_over_ten_minutes_before_the_run_is(database: Database) -> None:
    run = await life.queued(database)
    upstream = Upstream(status=shown(run, "queued"), exec=400)
    for second in (100, 400, 700):
        assert (await life.get_run(database, run.id)).status is states.QUEUED
        await carried_out(
            database, upstream, await life.claimed(database, Kind.START, run.id, life.at(second)), second
        )
        due_at = await life.next_due(database, life.at(second), (states.PRIORITY[Kind.START],))
        assert due_at == (life.at(second + 300) if second < 700 else None)
    assert (await life.get_run(database, run.id)).status is states.REFUSED


async def test_the_time_to_settle_is_measured_when_a_run_ends_and_not_when_it_is_fetched_again(
    database: Database,
) -> None:
    run, measured = await life.running(database), telemetry.Telemetry()
    for second in (100, 200):
        await database.write(submitting.request_refresh, run.id, life.at(second))
        claim = await life.claimed(database, Kind.SETTLE, run.id, life.at(second))
        await carried_out(database, Upstream(details=shown(run, "completed")), claim, second, measured)
    exposed, _ = await measured.metrics(database, life.at(200))
    assert b'runledger_time_to_settle_seconds_count{source="request"} 1.0' in exposed
    assert b'runledger_time_to_settle_seconds_sum{source="request"} 100.0' in exposed


async def missed(database: Database, run: runs.Run, upstream: Upstream, second: float) -> runs.Run:
    """Run the settle job against a 404."""
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SETTLE, run.id, life.at(second))])
    await carried_out(
        database, upstream, await life.claimed(database, Kind.SETTLE, run.id, life.at(second)), second
    )
    return await life.get_run(database, run.id)


async def test_a_run_is_lost_after_a_day_of_404s_and_not_before(database: Database) -> None:
    other = await life.settled_run(database)
    run = await life.running(database)
    upstream = Upstream(**{f"status_of_{other.upstream_id}": shown(other, "completed")})
    for second in (100, 200, 100 + DAY - 1):
        found = await missed(database, run, upstream, second)
        assert (found.status, found.missing_since) == (states.RUNNING, life.at(100))
    assert (await missed(database, run, upstream, 100 + DAY)).status is states.LOST
    assert (await life.ledger_kinds(database, run.id)).count("run.lost") == 1


async def test_a_run_is_not_lost_while_the_upstream_lists_no_other_one(database: Database) -> None:
    await life.settled_run(database)
    run = await life.running(database)
    upstream = Upstream(details=404, status=404)
    for second in (100, 101 + DAY):
        assert (await missed(database, run, upstream, second)).status is states.RUNNING


async def test_a_day_of_404s_begins_again_where_the_run_was_seen_between(database: Database) -> None:
    other = await life.settled_run(database)
    run = await life.running(database)
    upstream = Upstream(**{f"status_of_{other.upstream_id}": shown(other, "completed")})
    await missed(database, run, upstream, 100)
    upstream.answers["details"] = shown(run, "running")
    assert (await missed(database, run, upstream, 200)).missing_since is None
    upstream.answers["details"] = 404
    found = await missed(database, run, upstream, 150 + DAY)
    assert (found.status, found.missing_since) == (states.RUNNING, life.at(150 + DAY))


async def test_notifications_are_left_to_workers_with_a_backend(database: Database) -> None:
    await life.request_follow_ups(database, notifies=True)
    run = await life.settled_run(database)
    claim = await life.claimed(database, Kind.NOTIFY, run.id, life.at(100))
    await carried_out(database, Upstream(), claim, 100)
    assert await database.read(job_counts.count_dead) == {}
    assert (await life.claimed(database, Kind.NOTIFY, run.id, life.at(100))).failures == 0
