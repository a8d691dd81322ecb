"""The stream of a run's events: its origin, its end, and the answer where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import httpx2 as httpx
import pytest

from receiver import errors, timeouts
from receiver.api import run_events
from receiver.upstream import event_stream
from receiver.web import streaming
from storage import states
from storage.engine.database import Database
from storage.query import grammar
from storage.repositories import jobs, runs, stream_events
from storage.repositories.stream_events import Event
from storage.retention import erasing
from storage.transitions import follow_up, submitting
from tests import life
from tests.receiver.api import app_fixture
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio

EVENTS = [
    Event(3, "session.created", "{}"),
    Event(8, "tool.started", '{"a":\n1}'),
    Event(20, "run.completed", "{}"),
]


class Upstream:
    """Take the place of the broker: send the given events, then end or break."""

    def __init__(
        self, *events: Event | str, ending: Exception | None = None, refusal: Exception | None = None
    ) -> None:
        self.events = events
        self.ending, self.refusal = ending, refusal
        self.asked: list[tuple[str, int]] = []
        self.closed = 0

    async def listen(self, upstream_id: str, after: int) -> streaming.Events:
        self.asked.append((upstream_id, after))
        if self.refusal is not None:
            raise self.refusal
        return self._events()

    async def _events(self) -> AsyncGenerator[Event | str, None]:
        try:
            for each in self.events:
                yield each
            if self.ending is not None:
                raise self.ending
        finally:
            self.closed += 1


async def listening(database: Database, upstream: Upstream | None, **changes: Any) -> AsyncIterator[Deployment]:
    timing = timeouts.Timing(call=0.0)
    listen = None if upstream is None else upstream.listen
    async for made in app_fixture.opened(database, listen=listen, timing=timing, **changes):
        yield made


async def captured(database: Database, events: Sequence[Event] = EVENTS, note: str | None = None) -> runs.Run:
    """Return a run that has ended and whose stream is stored."""
    run = await life.settled_run(database)
    await database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.CAPTURE, run.id, life.NOW)])
    claim = await life.claimed(database, states.Kind.CAPTURE, run.id)
    await database.write(follow_up.store_events, claim, events, life.NOW)
    await database.write(follow_up.complete_capture, claim, note, life.at(9))
    return run


def read(response: httpx.Response) -> list[tuple[str, str, str]]:
    """Return the events as a parser that we did not write reads them."""
    assert response.status_code == 200
    return [(each.id, each.event, each.data) for each in httpx.EventSource(response)]


def sent(events: Sequence[Event]) -> list[tuple[str, str, str]]:
    """Return the same events as the parser shows them, and the close, which has no id of its own."""
    last = str(events[-1].id) if events else ""
    return [*((str(each.id), each.type, each.data) for each in events), (last, "close", '{"type":"close"}')]


async def test_a_captured_stream_is_replayed_and_closed(deployment: Deployment) -> None:
    run = await captured(deployment.database)
    response = await deployment.get(f"/v1/runs/{run.id}/events")
    assert read(response) == sent(EVENTS)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (response.headers["cache-control"], response.headers["x-accel-buffering"]) == ("no-store", "no")


async def test_it_is_found_by_the_upstreams_id_too(deployment: Deployment) -> None:
    run = await captured(deployment.database)
    assert read(await deployment.get(f"/v1/runs/{run.upstream_id}/events")) == sent(EVENTS)


async def test_a_long_stream_is_read_in_pages(deployment: Deployment) -> None:
    events = [Event(number, "message.part.updated", "{}") for number in range(1, 10 * run_events.PAGE + 2)]
    run = await captured(deployment.database, events)
    assert read(await deployment.get(f"/v1/runs/{run.id}/events")) == sent(events)


def test_a_page_of_the_largest_events_is_no_burden() -> None:
    assert run_events.PAGE * event_stream.DATA_LIMIT <= 8 << 20


async def test_a_replay_does_not_hold_up_a_stop(database: Database) -> None:
    stop = asyncio.Event()
    async for deployment in listening(database, None, stopping=stop):
        run = await captured(database)
        stop.set()
        response = await deployment.get(f"/v1/runs/{run.id}/events")
        assert response.text == ": the server stops: connect again\n\n"


async def test_it_is_resumed_by_parameter_or_header_and_the_header_wins(deployment: Deployment) -> None:
    run = await captured(deployment.database)
    path = f"/v1/runs/{run.id}/events"
    assert read(await deployment.get(f"{path}?lastEventId=3")) == sent(EVENTS[1:])
    assert read(await deployment.get(f"{path}?lastEventId=3", headers={"Last-Event-ID": "8"})) == sent(EVENTS[2:])
    assert read(await deployment.get(path, headers={"Last-Event-ID": "20"})) == sent([])


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "1" * 16, " 1"])
async def test_an_id_that_is_no_number_is_refused(deployment: Deployment, after: str) -> None:
    run = await captured(deployment.database)
    problem(await deployment.get(f"/v1/runs/{run.id}/events", params={"lastEventId": after}), 400)
    if not after.startswith(" "):
        answer = problem(await deployment.get(f"/v1/runs/{run.id}/events", headers={"Last-Event-ID": after}), 400)
        assert answer["header"] == "Last-Event-ID"


async def test_what_is_missing_of_a_captured_stream_is_reported(deployment: Deployment) -> None:
    run = await captured(deployment.database, EVENTS[:1], "the upstream has no such stream")
    response = await deployment.get(f"/v1/runs/{run.id}/events")
    assert ": not captured whole: the upstream has no such stream\n" in response.text
    assert read(response) == sent(EVENTS[:1])
    shown = (await deployment.get(f"/v1/runs/{run.id}")).json()
    assert (shown["captureNote"], shown["capturedAt"]) == (
        "the upstream has no such stream",
        "2026-11-23T12:00:09.000000Z",
    )


async def test_what_was_removed_is_gone(deployment: Deployment) -> None:
    run = await captured(deployment.database)
    await deployment.database.write(erasing.erase, grammar.EVERYTHING, life.OLD, life.at(1000))
    problem(await deployment.get(f"/v1/runs/{run.id}/events"), 410)
    assert (await deployment.database.read(stream_events.stored_stream, run.id)).count == 0


async def test_what_is_not_captured_comes_from_the_upstream(database: Database) -> None:
    upstream = Upstream(EVENTS[0], "heartbeat", *EVENTS[1:])
    async for deployment in listening(database, upstream):
        for run in (await life.settled_run(database), await life.running(database, "run_live")):
            response = await deployment.get(f"/v1/runs/{run.id}/events?lastEventId=2")
            assert read(response) == sent(EVENTS)
            assert "\n: heartbeat\n\n" in response.text
            assert upstream.asked.pop() == (run.upstream_id, 2)
    assert upstream.closed == 2


async def test_a_stream_that_ends_too_early_carries_the_reason_and_no_close_event(database: Database) -> None:
    upstream = Upstream(EVENTS[0], ending=errors.StreamInterrupted("the server stops: connect again"))
    async for deployment in listening(database, upstream):
        run = await life.running(database)
        response = await deployment.get(f"/v1/runs/{run.id}/events")
        assert read(response) == sent(EVENTS[:1])[:-1]
        assert response.text.endswith(": the server stops: connect again\n\n")


@pytest.mark.parametrize(
    ("refusal", "status", "name"),
    [
        (errors.TooManyStreams("64 runs have listeners already"), 503, "too-many-streams"),
        (errors.UpstreamStatusError("GET /x", 404, "no such run"), 502, "upstream"),
        (errors.RequestNotSent("GET /x", "refused"), 502, "upstream"),
    ],
)
async def test_an_upstream_without_a_stream_is_answered_with_a_problem(
    database: Database, refusal: Exception, status: int, name: str
) -> None:
    async for deployment in listening(database, Upstream(refusal=refusal)):
        run = await life.running(database)
        response = await deployment.get(f"/v1/runs/{run.id}/events")
        assert problem(response, status)["type"] == f"urn:runledger:problem:{name}"
        assert ("retry-after" in response.headers) is (status == 503)


async def test_without_a_worker_the_output_names_what_would_ask_the_upstream(database: Database) -> None:
    async for deployment in listening(database, None):
        run = await life.running(database)
        assert "--no-worker" in problem(await deployment.get(f"/v1/runs/{run.id}/events"), 503)["detail"]


async def test_a_run_that_is_not_created_upstream_yet_is_waited_for_and_then_refused(database: Database) -> None:
    async for deployment in listening(database, Upstream(*EVENTS)):
        run = await life.accepted(database)
        answer = problem(await deployment.get(f"/v1/runs/{run.id}/events"), 409)
        assert answer["type"] == "urn:runledger:problem:not-created-yet"


async def test_a_bad_request_is_refused_before_a_run_is_waited_for(database: Database) -> None:
    async for deployment in listening(database, Upstream(*EVENTS)):
        run = await life.accepted(database)
        problem(await deployment.get(f"/v1/runs/{run.id}/events", headers={"Last-Event-ID": "x"}), 400)


async def test_a_run_that_ended_before_the_upstream_knew_it_has_an_empty_stream(database: Database) -> None:
    async for deployment in listening(database, Upstream(*EVENTS)):
        run = await life.accepted(database)
        await database.write(submitting.request_cancel, run.id, "key:a", life.at(1))
        assert read(await deployment.get(f"/v1/runs/{run.id}/events")) == sent([])


async def test_head_opens_nothing_that_lasts(database: Database) -> None:
    upstream = Upstream(*EVENTS)
    async for deployment in listening(database, upstream):
        run = await life.running(database)
        response = await deployment.ask("HEAD", f"/v1/runs/{run.id}/events", "read")
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["content-type"].startswith("text/event-stream")


async def test_an_unknown_run_has_no_stream(deployment: Deployment) -> None:
    problem(await deployment.get("/v1/runs/run_x/events"), 404)
