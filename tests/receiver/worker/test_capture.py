"""Storing the stream of a run that has ended: whole, resumed, or given up, without a pause for other jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import httpx2 as httpx
import pytest

from receiver import errors, telemetry, timeouts
from receiver.upstream import client
from receiver.worker import context as worker_context
from receiver.worker.tasks import capture as tasks_capture
from receiver.worker.tasks import registry
from storage import errors as storage_errors
from storage import states
from storage.engine.database import Database
from storage.repositories import job_list, jobs, runs, stream_events, system_state
from storage.repositories.stream_events import Event
from storage.transitions import follow_up
from tests import life

pytestmark = pytest.mark.anyio

END = "event: close\ndata: {}\n\n"
STREAM = {"content-type": "text/event-stream"}


class Upstream:
    """An upstream that answers the events with given text, and the list with a status."""

    def __init__(self, events: str = "", status: int = 200, list_status: int = 200) -> None:
        self.events, self.status, self.list_status = events, status, list_status
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            self.asked.append(request.url.query.decode())
            return httpx.Response(self.status, headers=STREAM, content=self.events.encode())
        return httpx.Response(self.list_status, json={"runs": [], "hasMore": False})


class Capture:
    """A run that has ended and whose stream is to be captured."""

    def __init__(self, database: Database, run: runs.Run) -> None:
        self.database, self.run = database, run
        self.now = life.at(70)

    async def run_job(self, upstream: Upstream) -> None:
        """Claim the job once and run it."""
        made = client.Client("https://upstream.test", "sk_case_test", httpx.MockTransport(upstream))
        timing = timeouts.Timing()
        context = worker_context.Context(
            self.database, made, timing, lambda: self.now, lambda _: None, telemetry.Telemetry(), 60.0
        )
        claim = await life.claimed(self.database, states.Kind.CAPTURE, self.run.id, self.now)
        await registry.run(context, claim)

    async def stored(self) -> list[Event]:
        return await self.database.read(stream_events.read, self.run.id, 0, 10**6)

    async def job(self) -> job_list.Job | None:
        found, _ = await self.database.read(job_list.page, job_list.Query(run_id=self.run.id), self.now)
        return found[0] if found else None

    async def note(self) -> str | None:
        """Return the note on what is missing in the captured stream."""
        run = await life.get_run(self.database, self.run.id)
        assert run.captured_at == self.now
        assert await self.job() is None
        return run.capture_note


@pytest.fixture
async def capture(database: Database) -> Capture:
    """Return a run whose end enqueued a capture, as the settings ask for it."""
    await life.request_follow_ups(database, captures=True)
    return Capture(database, await life.settled_run(database))


def stream_of(*numbers: int, data: str = "{}") -> tuple[str, list[Event]]:
    """Return events as they are sent, and as they are stored."""
    found = [Event(number, "message.part.updated", data) for number in numbers]
    return "".join(f"id: {each.id}\nevent: {each.type}\ndata: {each.data}\n\n" for each in found), found


async def kept(database: Database, run: runs.Run, found: Sequence[Event]) -> None:
    await database.write(stream_events.add, run.id, found, life.NOW)


async def test_the_whole_stream_is_stored(capture: Capture) -> None:
    sent, found = stream_of(1, 4, 9)
    await capture.run_job(Upstream(sent + sent + END))
    assert await capture.stored() == found
    assert await capture.note() is None


async def test_a_long_stream_is_stored_in_pieces(capture: Capture) -> None:
    sent, found = stream_of(*range(1, 2 * tasks_capture.PIECE_EVENTS + 8))
    await capture.run_job(Upstream(sent + END))
    assert await capture.stored() == found


async def test_what_came_before_a_cut_is_kept_and_resumed_soon(capture: Capture) -> None:
    sent, found = stream_of(1, 4)
    upstream = Upstream(sent)
    await capture.run_job(upstream)
    assert await capture.stored() == found
    job = await capture.job()
    assert job is not None
    assert (job.state, job.last_error) == (states.JobState.WAITING, None)
    capture.now = job.due_at
    upstream.events = stream_of(9)[0] + END
    await capture.run_job(upstream)
    assert [event.id for event in await capture.stored()] == [1, 4, 9]
    assert upstream.asked == ["lastEventId=0", "lastEventId=4"]
    assert await capture.note() is None


@pytest.mark.parametrize("status", [200, 401, 403, 429, 500])
async def test_a_stream_that_does_not_come_backs_off_alone_while_the_list_answers(
    capture: Capture, status: int
) -> None:
    await capture.run_job(Upstream(status=status))
    job = await capture.job()
    assert job is not None
    assert job.state is states.JobState.FAILING
    assert job.due_at > capture.now
    assert not (await capture.database.read(system_state.read)).is_paused(capture.now)


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_a_failure_that_the_list_has_too_pauses_the_deployment(capture: Capture, status: int) -> None:
    with pytest.raises(errors.UpstreamError):
        await capture.run_job(Upstream(status=status, list_status=503))
    assert (await life.get_run(capture.database, capture.run.id)).captured_at is None


async def test_a_stream_without_any_event_is_not_called_whole(capture: Capture) -> None:
    await capture.run_job(Upstream(END))
    assert await capture.note() == "the upstream no longer has events of this run"


@pytest.mark.parametrize("status", [404, 410])
async def test_a_stream_that_is_gone_ends_the_job_with_a_note(capture: Capture, status: int) -> None:
    await kept(capture.database, capture.run, stream_of(1)[1])
    await capture.run_job(Upstream(status=status))
    assert await capture.note() == "the upstream has no such stream"
    assert len(await capture.stored()) == 1


async def test_what_cannot_be_read_for_a_day_is_given_up(capture: Capture) -> None:
    assert capture.run.settled_at is not None
    capture.now = capture.run.settled_at + timedelta(seconds=timeouts.Timing().capture_for)
    await capture.run_job(Upstream(status=500))
    assert await capture.note() == "the stream could not be read: GET /agent/v1/run/{id}/events: 500"


async def test_an_endless_stream_is_cut_and_the_cut_is_noted(capture: Capture) -> None:
    await kept(capture.database, capture.run, stream_of(*range(1, stream_events.MAX_EVENTS))[1])
    end = stream_events.MAX_EVENTS + 3 * tasks_capture.PIECE_EVENTS
    sent, _ = stream_of(*range(stream_events.MAX_EVENTS, end))
    await capture.run_job(Upstream(sent))
    held = await capture.database.read(stream_events.stored_stream, capture.run.id)
    assert stream_events.MAX_EVENTS <= held.count <= stream_events.MAX_EVENTS + tasks_capture.PIECE_EVENTS
    assert await capture.note() == f"the stream is longer than the limit; the last stored event is {held.last}"


async def test_a_run_that_is_captured_already_is_not_asked_about(capture: Capture) -> None:
    await capture.run_job(Upstream(END))
    await capture.database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.CAPTURE, capture.run.id, capture.now)])
    upstream = Upstream()
    await capture.run_job(upstream)
    assert upstream.asked == []
    assert await capture.job() is None


async def test_a_worker_without_the_lease_stores_nothing(capture: Capture) -> None:
    claim = await life.claimed(capture.database, states.Kind.CAPTURE, capture.run.id, capture.now)
    await capture.database.write(jobs.release_all)
    for write in (
        capture.database.write(follow_up.store_events, claim, stream_of(1)[1], capture.now),
        capture.database.write(follow_up.complete_capture, claim, None, capture.now),
    ):
        with pytest.raises(storage_errors.LeaseLost):
            await write
    assert await capture.stored() == []
