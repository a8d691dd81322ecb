"""The client reads a run's stream from the sandbox, with and without faults."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import httpx2 as httpx
import pytest

from receiver import errors
from receiver.sandbox import faults
from receiver.upstream import client, event_stream, routes
from storage.repositories.stream_events import Event
from tests import sandbox_server
from tests.patience import until
from tests.sandbox_server import KEY, Sandbox

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    with sandbox_server.running(run_seconds=300.0) as server:
        yield server


@pytest.fixture
def sandbox(served: Sandbox) -> Iterator[Sandbox]:
    """Yield the module's sandbox without faults."""
    yield served
    served.faults(**faults.as_json(faults.Faults()))


@pytest.fixture
def run(sandbox: Sandbox) -> str:
    """Return an upstream run that has completed."""
    with sandbox.client() as api:
        made = sandbox_server.new_run(api)
    sandbox.finish(made, "completed")
    return made


class Reader:
    """A client, and what it counted."""

    def __init__(self, url: str) -> None:
        self.calls: list[tuple[str, int | None]] = []
        self.skipped: Counter[str] = Counter()
        self.client = client.Client(url, KEY, observe=lambda call: self.calls.append((call.route, call.status)))

    async def read(self, run: str, after: int = 0, idle: float = 60.0) -> list[Event]:
        """Return the whole stream."""
        found, failure = await self.until_broken(run, after, idle)
        assert failure is None
        return found

    async def until_broken(
        self, run: str, after: int = 0, idle: float = 60.0
    ) -> tuple[list[Event], errors.UpstreamError | None]:
        """Return the events, and the error that ended them."""
        found: list[Event] = []
        try:
            async with self.client.events(run, after, idle=idle, skipped=self._skip) as stream:
                async for event in stream:
                    found.append(event)  # noqa: PERF401 - what came before a failure counts
        except errors.UpstreamError as failure:
            return found, failure
        return found, None

    def _skip(self, why: str) -> None:
        self.skipped[why] += 1


@pytest.fixture
async def reader(sandbox: Sandbox) -> AsyncIterator[Reader]:
    made = Reader(sandbox.url)
    yield made
    await made.client.aclose()


async def test_a_stream_is_read_to_the_end_of_its_run(reader: Reader, run: str) -> None:
    found = await reader.read(run)
    assert [event.id for event in found] == sorted({event.id for event in found})
    assert (found[0].type, found[-1].type) == ("session.created", "run.completed")
    assert json.loads(found[-1].data)["runId"] == run
    assert reader.calls == [(routes.EVENTS, 200)]
    assert not reader.skipped


async def test_it_is_resumed_behind_an_id(reader: Reader, run: str) -> None:
    whole = await reader.read(run)
    assert await reader.read(run, whole[6].id) == whole[7:]
    assert await reader.read(run, whole[-1].id) == []


async def test_a_cut_stream_gives_what_came_and_raises(sandbox: Sandbox, reader: Reader, run: str) -> None:
    whole = await reader.read(run)
    sandbox.faults(stream_cut_after=5)
    found, failure = await reader.until_broken(run)
    assert found == whole[:5]
    assert isinstance(failure, errors.UpstreamUnreachable)


async def test_a_stream_that_ends_well_before_its_run_does_has_broken_too(
    sandbox: Sandbox, reader: Reader, run: str
) -> None:
    sandbox.faults(script=[{"route": "events", "action": "truncated"}])
    found, failure = await reader.until_broken(run)
    assert found
    assert isinstance(failure, errors.UpstreamUnreachable)


async def test_a_stalled_stream_is_given_up(sandbox: Sandbox, reader: Reader, run: str) -> None:
    sandbox.faults(stream_stall_after=3)
    found, failure = await reader.until_broken(run, idle=0.5)
    assert len(found) <= 3
    assert isinstance(failure, errors.UpstreamUnreachable)


async def test_a_stream_that_stays_open_is_left_at_the_end_of_the_run(
    sandbox: Sandbox, reader: Reader, run: str
) -> None:
    sandbox.faults(stream_stays_open=True)
    assert (await reader.read(run))[-1].type == "run.completed"
    until(lambda: sandbox.calls("events")[-1]["is_over"])


async def test_junk_is_passed_over_and_counted(sandbox: Sandbox, reader: Reader, run: str) -> None:
    whole = await reader.read(run)
    sandbox.faults(stream_junk=True)
    assert await reader.read(run) == whole
    assert reader.skipped.keys() == {"id", "type", "data"}


async def test_what_repeats_an_id_is_passed_over_and_counted(sandbox: Sandbox, reader: Reader, run: str) -> None:
    whole = await reader.read(run)
    sandbox.faults(stream_repeats=2)
    assert await reader.read(run) == whole
    assert reader.skipped == {"repeat": 2 * (len(whole) - 1)}  # nothing is read behind the end


async def test_data_that_is_too_large_is_cut_out_and_named(sandbox: Sandbox, reader: Reader, run: str) -> None:
    whole = await reader.read(run)
    sandbox.faults(stream_padding=event_stream.DATA_LIMIT)
    last = (await reader.read(run, whole[-2].id))[-1]
    notice = json.loads(last.data)
    assert (last.id, last.type, notice["cutOut"]) == (whole[-1].id, "run.completed", True)
    assert notice["bytes"] > event_stream.DATA_LIMIT


async def test_data_that_is_too_large_is_not_looked_into() -> None:
    sent = f"id: 1\nevent: tool.completed\ndata: {'[' * event_stream.DATA_LIMIT}[\n\nevent: close\ndata: {{}}\n\n"
    headers = {"content-type": "text/event-stream"}
    upstream = httpx.MockTransport(lambda request: httpx.Response(200, headers=headers, content=sent.encode()))
    skipped: Counter[str] = Counter()
    made = client.Client("https://upstream.test", KEY, upstream)
    async with made.events("run_1", 0, idle=60.0, skipped=skipped.update) as stream:
        (event,) = [each async for each in stream]
    assert json.loads(event.data) == {
        "type": "tool.completed",
        "cutOut": True,
        "bytes": event_stream.DATA_LIMIT + 1,
    }
    assert not skipped


async def test_an_event_beyond_all_bounds_breaks_the_stream(sandbox: Sandbox, reader: Reader, run: str) -> None:
    sandbox.faults(stream_padding=event_stream.EVENT_LIMIT)
    found, failure = await reader.until_broken(run)
    assert found == []
    assert isinstance(failure, errors.InvalidResponse)


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("html:200", errors.InvalidResponse),
        ("status:404", errors.UpstreamStatusError),
        ("refuse_before", errors.UpstreamUnreachable),
    ],
)
async def test_what_is_no_stream_raises(
    sandbox: Sandbox, reader: Reader, run: str, action: str, kind: type[errors.UpstreamError]
) -> None:
    sandbox.faults(script=[{"route": "events", "action": action}])
    found, failure = await reader.until_broken(run)
    assert found == []
    assert isinstance(failure, kind)
    assert len(reader.calls) == 1


@pytest.mark.parametrize("end", ["no colon", "\x00", "data: [[", "id: 9\ndata: {}", "event: close"])
async def test_whatever_bytes_come_the_answer_is_events_or_our_error(end: str) -> None:
    body = b"id: 1\nevent: a.b\ndata: {}\n\n" + end.encode()
    answer = httpx.Response(200, headers={"content-type": "text/event-stream; charset=utf-16"}, content=body)
    reader = Reader("http://127.0.0.1:1")
    reader.client = client.Client("http://127.0.0.1:1", KEY, httpx.MockTransport(lambda _: answer))
    found, failure = await reader.until_broken("run_1")
    assert found[0] == Event(1, "a.b", "{}")
    assert isinstance(failure, errors.UpstreamUnreachable)


async def test_an_event_of_the_upstream_is_not_cut_where_text_ends_lines() -> None:
    """Those characters stand raw in what an upstream sends that escapes nothing else than JSON asks for."""
    data = json.dumps({"text": "a\u2028b\u2029c\x85d\ufeffe"}, ensure_ascii=False)
    body = f"id: 1\nevent: message\ndata: {data}\n\nid: 2\nevent: run.completed\ndata: {{}}\n\n".encode()
    request = httpx.Request("GET", "http://upstream.test/events")
    answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body, request=request)
    found = [each async for each in event_stream.read(answer, 0, lambda fault: pytest.fail(fault))]
    assert [each.data for each in found] == [data, "{}"]
