"""Storing the stream of a run that has ended: whole, resumed, given up; and nobody else is bothered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import httpx2 as httpx
import pytest

from receiver import backoff, errors, tasks, telemetry
from receiver.tasks import capturing
from receiver.upstream import client
from storage import errors as storage_errors
from storage import events, house, jobs, runs, states, transitions
from storage.database import Database
from storage.events import Event
from tests import life

pytestmark = pytest.mark.anyio

END = "event: close\ndata: {}\n\n"
STREAM = {"content-type": "text/event-stream"}


class Upstream:
    """Answers the events with what it is given, and the list with a status."""

    def __init__(self, events: str = "", status: int = 200, list_status: int = 200) -> None:
        self.events, self.status, self.list_status = events, status, list_status
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            self.asked.append(request.url.query.decode())
            return httpx.Response(self.status, headers=STREAM, content=self.events.encode())
        return httpx.Response(self.list_status, json={"runs": [], "hasMore": False})


class Stage:
    """A run that has ended and whose stream is to be captured, and a worker's hand on it."""

    def __init__(self, database: Database, run: runs.Run) -> None:
        self.database, self.run = database, run
        self.now = life.at(70)

    async def capture(self, upstream: Upstream) -> None:
        """One claim of the job."""
        made = client.Client("https://upstream.test", "sk_case_test", httpx.MockTransport(upstream))
        timing = backoff.Timing()
        context = tasks.Context(
            self.database, made, timing, lambda: self.now, lambda _: None, telemetry.Telemetry(), 60.0
        )
        claim = await life.claimed(self.database, states.Kind.CAPTURE, self.run.id, self.now)
        await tasks.run(context, claim)

    async def stored(self) -> list[Event]:
        return await self.database.read(events.read, self.run.id, 0, 10**6)

    async def job(self) -> jobs.Listed | None:
        found, _ = await self.database.read(jobs.page, jobs.Query(run_id=self.run.id), self.now)
        return found[0] if found else None

    async def note(self) -> str | None:
        """What is said to be missing of what is captured."""
        run = await life.found(self.database, self.run.id)
        assert run.captured_at == self.now
        assert await self.job() is None
        return run.capture_note


@pytest.fixture
async def stage(database: Database) -> Stage:
    """The settings have streams captured, so that the end of a run wishes it."""
    await life.wanted(database, captures=True)
    return Stage(database, await life.settled_run(database))


def told(*numbers: int, data: str = "{}") -> tuple[str, list[Event]]:
    """Events as they are sent, and as they are stored."""
    found = [Event(number, "message.part.updated", data) for number in numbers]
    return "".join(f"id: {each.id}\nevent: {each.type}\ndata: {each.data}\n\n" for each in found), found


async def kept(database: Database, run: runs.Run, found: Sequence[Event]) -> None:
    await database.write(events.add, run.id, found, life.NOW)


async def test_the_whole_stream_is_stored(stage: Stage) -> None:
    sent, found = told(1, 4, 9)
    await stage.capture(Upstream(sent + sent + END))
    assert await stage.stored() == found
    assert await stage.note() is None


async def test_a_long_stream_is_stored_in_pieces(stage: Stage) -> None:
    sent, found = told(*range(1, 2 * capturing.PIECE + 8))
    await stage.capture(Upstream(sent + END))
    assert await stage.stored() == found


async def test_what_came_before_a_cut_is_kept_and_resumed_soon(stage: Stage) -> None:
    sent, found = told(1, 4)
    upstream = Upstream(sent)
    await stage.capture(upstream)
    assert await stage.stored() == found
    job = await stage.job()
    assert job is not None
    assert (job.state, job.last_error) == (jobs.State.WAITING, None)
    stage.now = job.due_at
    upstream.events = told(9)[0] + END
    await stage.capture(upstream)
    assert [event.id for event in await stage.stored()] == [1, 4, 9]
    assert upstream.asked == ["lastEventId=0", "lastEventId=4"]
    assert await stage.note() is None


@pytest.mark.parametrize("status", [200, 401, 403, 429, 500])
async def test_a_stream_that_does_not_come_backs_off_alone_while_the_list_answers(
    stage: Stage, status: int
) -> None:
    await stage.capture(Upstream(status=status))
    job = await stage.job()
    assert job is not None
    assert job.state is jobs.State.FAILING
    assert job.due_at > stage.now
    assert not (await stage.database.read(house.read)).is_paused(stage.now)


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_trouble_that_the_list_shows_too_is_the_houses(stage: Stage, status: int) -> None:
    with pytest.raises(errors.UpstreamError):
        await stage.capture(Upstream(status=status, list_status=503))
    assert (await life.found(stage.database, stage.run.id)).captured_at is None


async def test_a_stream_without_any_event_is_not_called_whole(stage: Stage) -> None:
    await stage.capture(Upstream(END))
    assert await stage.note() == "the upstream has no event of it any more"


@pytest.mark.parametrize("status", [404, 410])
async def test_a_stream_that_is_gone_ends_the_job_with_a_note(stage: Stage, status: int) -> None:
    await kept(stage.database, stage.run, told(1)[1])
    await stage.capture(Upstream(status=status))
    assert await stage.note() == "the upstream has no such stream"
    assert len(await stage.stored()) == 1


async def test_what_cannot_be_read_for_a_day_is_given_up(stage: Stage) -> None:
    assert stage.run.settled_at is not None
    stage.now = stage.run.settled_at + timedelta(seconds=backoff.Timing().capture_for)
    await stage.capture(Upstream(status=500))
    assert await stage.note() == "it could not be read: GET /agent/v1/run/{id}/events: 500"


async def test_a_stream_without_end_is_cut_and_the_cut_is_told(stage: Stage) -> None:
    await kept(stage.database, stage.run, told(*range(1, events.MOST))[1])
    await stage.capture(Upstream(told(*range(events.MOST, events.MOST + 3 * capturing.PIECE))[0]))
    held = await stage.database.read(events.held, stage.run.id)
    assert events.MOST <= held.count <= events.MOST + capturing.PIECE
    assert await stage.note() == f"it is longer than what is kept of one; the last event is {held.last}"


async def test_a_run_that_is_captured_already_is_not_asked_about(stage: Stage) -> None:
    await stage.capture(Upstream(END))
    await stage.database.write(jobs.wish, [jobs.Wish(states.Kind.CAPTURE, stage.run.id, stage.now)])
    upstream = Upstream()
    await stage.capture(upstream)
    assert upstream.asked == []
    assert await stage.job() is None


async def test_who_lost_the_lease_stores_nothing(stage: Stage) -> None:
    claim = await life.claimed(stage.database, states.Kind.CAPTURE, stage.run.id, stage.now)
    await stage.database.write(jobs.free_all)
    for write in (
        stage.database.write(transitions.keep, claim, told(1)[1], stage.now),
        stage.database.write(transitions.captured, claim, None, stage.now),
    ):
        with pytest.raises(storage_errors.Fenced):
            await write
    assert await stage.stored() == []
