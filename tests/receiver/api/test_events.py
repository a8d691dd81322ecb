"""The stream of a run's events: where it comes from, how it ends, and what is said where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import httpx2 as httpx
import pytest

from receiver import backoff, endpoint, errors
from receiver.api import events as streams
from receiver.upstream import streams as upstream_streams
from storage import events, filters, jobs, runs, states, transitions
from storage.database import Database
from storage.events import Event
from tests import life
from tests.receiver.api import house as houses
from tests.receiver.api.house import House, problem

pytestmark = pytest.mark.anyio

TOLD = [Event(3, "session.created", "{}"), Event(8, "tool.started", '{"a":\n1}'), Event(20, "run.completed", "{}")]


class Upstream:
    """Stands where the hub does: tells what it is given, then ends or breaks."""

    def __init__(
        self, *told: Event | str, ending: Exception | None = None, refusal: Exception | None = None
    ) -> None:
        self.told = told
        self.ending, self.refusal = ending, refusal
        self.asked: list[tuple[str, int]] = []
        self.closed = 0

    async def listen(self, upstream_id: str, after: int) -> endpoint.Events:
        self.asked.append((upstream_id, after))
        if self.refusal is not None:
            raise self.refusal
        return self._events()

    async def _events(self) -> AsyncGenerator[Event | str, None]:
        try:
            for each in self.told:
                yield each
            if self.ending is not None:
                raise self.ending
        finally:
            self.closed += 1


async def listening(database: Database, upstream: Upstream | None, **changes: Any) -> AsyncIterator[House]:
    timing = backoff.Timing(call=0.0)
    listen = None if upstream is None else upstream.listen
    async for made in houses.opened(database, listen=listen, timing=timing, **changes):
        yield made


async def captured(database: Database, told: Sequence[Event] = TOLD, note: str | None = None) -> runs.Run:
    """A run that has ended and whose stream is stored."""
    run = await life.settled_run(database)
    await database.write(jobs.wish, [jobs.Wish(states.Kind.CAPTURE, run.id, life.NOW)])
    claim = await life.claimed(database, states.Kind.CAPTURE, run.id)
    await database.write(transitions.keep, claim, told, life.NOW)
    await database.write(transitions.captured, claim, note, life.at(9))
    return run


def read(response: httpx.Response) -> list[tuple[str, str, str]]:
    """What a parser that we did not write makes of it."""
    assert response.status_code == 200
    return [(each.id, each.event, each.data) for each in httpx.EventSource(response)]


def sent(told: Sequence[Event]) -> list[tuple[str, str, str]]:
    """The same events as the parser shows them, and the close, which has no id of its own."""
    last = str(told[-1].id) if told else ""
    return [*((str(each.id), each.type, each.data) for each in told), (last, "close", '{"type":"close"}')]


async def test_a_captured_stream_is_replayed_and_closed(house: House) -> None:
    run = await captured(house.database)
    response = await house.get(f"/v1/runs/{run.id}/events")
    assert read(response) == sent(TOLD)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (response.headers["cache-control"], response.headers["x-accel-buffering"]) == ("no-store", "no")


async def test_it_is_found_by_the_upstreams_id_too(house: House) -> None:
    run = await captured(house.database)
    assert read(await house.get(f"/v1/runs/{run.upstream_id}/events")) == sent(TOLD)


async def test_a_long_stream_is_read_in_pages(house: House) -> None:
    told = [Event(number, "message.part.updated", "{}") for number in range(1, 10 * streams.PAGE + 2)]
    run = await captured(house.database, told)
    assert read(await house.get(f"/v1/runs/{run.id}/events")) == sent(told)


def test_a_page_of_the_largest_events_is_no_burden() -> None:
    assert streams.PAGE * upstream_streams.DATA_LIMIT <= 8 << 20


async def test_a_replay_does_not_hold_up_a_stop(database: Database) -> None:
    stop = asyncio.Event()
    async for house in listening(database, None, stopping=stop):
        run = await captured(database)
        stop.set()
        response = await house.get(f"/v1/runs/{run.id}/events")
        assert response.text == ": the server stops: connect again\n\n"


async def test_it_is_resumed_by_parameter_or_header_and_the_header_wins(house: House) -> None:
    run = await captured(house.database)
    path = f"/v1/runs/{run.id}/events"
    assert read(await house.get(f"{path}?lastEventId=3")) == sent(TOLD[1:])
    assert read(await house.get(f"{path}?lastEventId=3", headers={"Last-Event-ID": "8"})) == sent(TOLD[2:])
    assert read(await house.get(path, headers={"Last-Event-ID": "20"})) == sent([])


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "1" * 16, " 1"])
async def test_an_id_that_is_no_number_is_refused(house: House, after: str) -> None:
    run = await captured(house.database)
    problem(await house.get(f"/v1/runs/{run.id}/events", params={"lastEventId": after}), 400)
    if not after.startswith(" "):
        told = problem(await house.get(f"/v1/runs/{run.id}/events", headers={"Last-Event-ID": after}), 400)
        assert told["header"] == "Last-Event-ID"


async def test_what_is_missing_of_a_captured_stream_is_said(house: House) -> None:
    run = await captured(house.database, TOLD[:1], "the upstream has no such stream")
    response = await house.get(f"/v1/runs/{run.id}/events")
    assert ": not captured whole: the upstream has no such stream\n" in response.text
    assert read(response) == sent(TOLD[:1])
    shown = (await house.get(f"/v1/runs/{run.id}")).json()
    assert (shown["captureNote"], shown["capturedAt"]) == (
        "the upstream has no such stream",
        "2026-11-23T12:00:09.000000Z",
    )


async def test_what_was_removed_is_gone(house: House) -> None:
    run = await captured(house.database)
    await house.database.write(transitions.prune, filters.EVERYTHING, life.at(1000))
    problem(await house.get(f"/v1/runs/{run.id}/events"), 410)
    assert (await house.database.read(events.held, run.id)).count == 0


async def test_what_is_not_captured_comes_from_the_upstream(database: Database) -> None:
    upstream = Upstream(TOLD[0], "heartbeat", *TOLD[1:])
    async for house in listening(database, upstream):
        for run in (await life.settled_run(database), await life.running(database, "run_live")):
            response = await house.get(f"/v1/runs/{run.id}/events?lastEventId=2")
            assert read(response) == sent(TOLD)
            assert "\n: heartbeat\n\n" in response.text
            assert upstream.asked.pop() == (run.upstream_id, 2)
    assert upstream.closed == 2


async def test_a_stream_that_ends_too_early_says_why_and_is_not_closed(database: Database) -> None:
    upstream = Upstream(TOLD[0], ending=errors.Interrupted("the server stops: connect again"))
    async for house in listening(database, upstream):
        run = await life.running(database)
        response = await house.get(f"/v1/runs/{run.id}/events")
        assert read(response) == sent(TOLD[:1])[:-1]
        assert response.text.endswith(": the server stops: connect again\n\n")


@pytest.mark.parametrize(
    ("refusal", "status", "name"),
    [
        (errors.TooManyStreams("64 runs are listened to"), 503, "too-many-streams"),
        (errors.Answered("GET /x", 404, "no such run"), 502, "upstream"),
        (errors.NotSent("GET /x", "refused"), 502, "upstream"),
    ],
)
async def test_where_the_upstream_has_no_stream_for_us_a_problem_is_told(
    database: Database, refusal: Exception, status: int, name: str
) -> None:
    async for house in listening(database, Upstream(refusal=refusal)):
        run = await life.running(database)
        response = await house.get(f"/v1/runs/{run.id}/events")
        assert problem(response, status)["type"] == f"urn:runledger:problem:{name}"
        assert ("retry-after" in response.headers) is (status == 503)


async def test_where_nobody_asks_the_upstream_it_is_said_who_would(database: Database) -> None:
    async for house in listening(database, None):
        run = await life.running(database)
        assert "--no-worker" in problem(await house.get(f"/v1/runs/{run.id}/events"), 503)["detail"]


async def test_a_run_that_the_upstream_does_not_know_yet_is_waited_for_and_then_told(database: Database) -> None:
    async for house in listening(database, Upstream(*TOLD)):
        run = await life.accepted(database)
        told = problem(await house.get(f"/v1/runs/{run.id}/events"), 409)
        assert told["type"] == "urn:runledger:problem:not-created-yet"


async def test_what_is_wrong_with_a_request_is_told_before_a_run_is_waited_for(database: Database) -> None:
    async for house in listening(database, Upstream(*TOLD)):
        run = await life.accepted(database)
        problem(await house.get(f"/v1/runs/{run.id}/events", headers={"Last-Event-ID": "x"}), 400)


async def test_a_run_that_ended_before_the_upstream_knew_it_has_an_empty_stream(database: Database) -> None:
    async for house in listening(database, Upstream(*TOLD)):
        run = await life.accepted(database)
        await database.write(transitions.request_cancel, run.id, "key:a", life.at(1))
        assert read(await house.get(f"/v1/runs/{run.id}/events")) == sent([])


async def test_head_opens_nothing_that_lasts(database: Database) -> None:
    upstream = Upstream(*TOLD)
    async for house in listening(database, upstream):
        run = await life.running(database)
        response = await house.ask("HEAD", f"/v1/runs/{run.id}/events", "read")
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["content-type"].startswith("text/event-stream")


async def test_an_unknown_run_has_no_stream(house: House) -> None:
    problem(await house.get("/v1/runs/run_x/events"), 404)
