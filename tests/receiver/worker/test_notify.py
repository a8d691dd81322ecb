"""When a notification is sent again, and when no more; the clock is the test's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx2 as httpx
import pytest

from receiver import telemetry, timeouts
from receiver.crypto import signatures
from receiver.outbound import notification_sender
from receiver.upstream import client
from receiver.worker import context as worker_context
from receiver.worker.tasks import registry
from storage import errors, ids, states
from storage.engine.database import Database
from storage.repositories import job_counts, job_list, jobs, notifications, runs
from storage.states import Kind
from storage.transitions import adopting, starting
from tests import backend, life

pytestmark = pytest.mark.anyio

DAYS = 86400.0


class Backend(httpx.AsyncBaseTransport):
    """What the backend answers, and what it was sent."""

    def __init__(self, status: int = 204, **headers: str) -> None:
        self.response = (status, headers)
        self.bodies: list[bytes] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.content)
        status, headers = self.response
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(b""))


class NotifiedRun:
    """A run that ended, and the job that notifies the backend."""

    def __init__(self, database: Database, run: runs.Run, transport: Backend) -> None:
        self.database, self.run = database, run
        self._notifier = _notifier(transport)

    async def tried(self, second: float) -> notifications.Notification:
        """Run the job at `second` and return what is then stored."""
        claim = await life.claimed(self.database, Kind.NOTIFY, self.run.id, life.at(second))
        await registry.run(self.context(second), claim)
        held = await self.database.read(notifications.find, self.run.id)
        assert held is not None
        return held

    def context(self, second: float) -> worker_context.Context:
        upstream = client.Client("https://upstream.test", "sk_case_test", Backend())
        measured = telemetry.Telemetry()
        return worker_context.Context(
            self.database,
            upstream,
            timeouts.Timing(),
            lambda: life.at(second),
            lambda _: None,
            measured,
            60.0,
            public_url="https://runledger.test",
            notifier=self._notifier,
        )

    async def due_in(self, second: float) -> float:
        """Return the seconds until it is tried again."""
        (job,), _ = await self.database.read(
            job_list.page, job_list.Query(Kind.NOTIFY, self.run.id), life.at(second)
        )
        return (job.due_at - life.at(second)).total_seconds()


def _notifier(transport: Backend) -> notification_sender.Notifier:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["8.8.8.8"]

    secrets = [signatures.decode_notify_secret(secret) for secret in backend.SECRETS]
    return notification_sender.Notifier(
        "https://backend.test/", secrets, allow_private=False, timeout=30, transport=transport, resolve=resolve
    )


async def ended(database: Database, transport: Backend, **changes: Any) -> NotifiedRun:
    await life.request_follow_ups(database, notifies=True)
    return NotifiedRun(database, await life.settled_run(database, **changes), transport)


async def test_a_notification_that_the_backend_accepts_is_sent_once(database: Database) -> None:
    notified = await ended(database, Backend())
    assert (await notified.tried(100)).delivered_at == life.at(100)
    assert await life.open_jobs(database, notified.run.id) == []


async def test_a_job_that_comes_again_after_the_delivery_sends_nothing(database: Database) -> None:
    transport = Backend()
    notified = await ended(database, transport)
    await notified.tried(100)
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.NOTIFY, notified.run.id, life.at(200))])
    assert (await notified.tried(200)).delivered_at == life.at(100)
    assert len(transport.bodies) == 1


async def test_a_failing_backend_gets_the_same_notification_at_growing_intervals(database: Database) -> None:
    transport = Backend(500)
    notified = await ended(database, transport)
    waits = []
    for second in range(100, 12 * 7200, 7200):
        await notified.tried(second)
        waits.append(await notified.due_in(second))
    assert 2.5 <= waits[0] <= 5
    assert max(waits) <= 3600
    assert waits[-1] >= 1800
    assert len(set(transport.bodies)) == 1


async def test_a_wait_that_the_backend_asks_for_is_kept(database: Database) -> None:
    notified = await ended(database, Backend(429, **{"retry-after": "600"}))
    await notified.tried(100)
    assert await notified.due_in(100) == 600


async def test_after_three_days_it_is_given_up(database: Database) -> None:
    notified = await ended(database, Backend(500))
    await notified.tried(100)
    assert (await notified.tried(99 + 3 * DAYS)).stopped_at is None
    assert (await notified.tried(110 + 3 * DAYS)).stopped_at == life.at(110 + 3 * DAYS)
    assert await database.read(job_counts.count_dead) == {Kind.NOTIFY: 1}


async def test_a_backend_that_answers_410_gets_no_further_notification(database: Database) -> None:
    notified = await ended(database, Backend(410))
    held = await notified.tried(100)
    assert (held.stopped_at, held.last_status, held.attempts) == (life.at(100), 410, 1)


async def test_a_notification_has_no_prompt_and_no_output_and_a_short_reason(database: Database) -> None:
    transport = Backend()
    failed = life.measures(output="The output.", failure_reason="because " * 100)
    result = life.result(states.FAILED, measures=failed)
    notified = await ended(database, transport, prompt="The prompt.", result=result, tags={"matter": "É-42"})
    await notified.tried(100)
    (body,) = transport.bodies
    assert len(body) < 1000
    assert b"The prompt." not in body
    assert b"The output." not in body
    assert b"\\u00c9-42" in body


async def test_of_an_end_that_is_none_any_more_nothing_is_sent_and_whose_job_it_was_writes_nothing(
    database: Database,
) -> None:
    transport = Backend()
    await life.request_follow_ups(database, notifies=True)
    adopted = adopting.Adoption(ids.new(life.NOW), "run_1", "backend", states.Source.REQUEST, life.NOW, None)
    run, _ = await database.write(adopting.adopt, adopted)
    adoption = await life.claimed(database, Kind.ADOPT, run.id)
    await database.write(starting.refuse, adoption, "Run not found", life.NOW)
    claim = await life.claimed(database, Kind.NOTIFY, run.id)
    await database.write(adopting.adopt, adopted)  # and thereby open again
    with pytest.raises(errors.LeaseLost):
        await registry.run(NotifiedRun(database, run, transport).context(100), claim)
    assert transport.bodies == []
