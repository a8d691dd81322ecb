"""Streams of events and of files as answers: clients that do not read or hang up, and the end of a stream."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from receiver import errors
from receiver.server import uvicorn_server
from receiver.web import streaming
from storage import errors as storage_errors
from storage.repositories.stream_events import Event, resume_point

pytestmark = pytest.mark.anyio

SCOPE: dict[str, Any] = {"type": "http", "method": "GET"}
EVENT = Event(1, "session.created", "{}")
LARGE = Event(1, "message.part.updated", "x" * (1 << 18))


class Source:
    """Events without end, or up to an error; records when it was released."""

    def __init__(self, error: Exception | None = None, event: Event = EVENT) -> None:
        self.error = error
        self.event = event
        self.taken = 0
        self.is_closed = False

    def __aiter__(self) -> Source:
        return self

    async def __anext__(self) -> Event | str:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.taken += 1
        return self.event

    async def aclose(self) -> None:
        self.is_closed = True


async def never() -> Any:
    await asyncio.Event().wait()


async def test_a_client_that_reads_nothing_is_disconnected() -> None:
    source, sent = Source(), []

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) > 3:
            await never()

    await streaming.EventStream(source, {}, 0.01, asyncio.Event())(SCOPE, never, send)
    assert len(sent) == 4
    assert source.is_closed


class App:
    """An application that answers everything with a stream; records whether the client's connection is gone."""

    def __init__(self, stream: streaming.EventStream | streaming.ByteStream) -> None:
        self.stream = stream
        self.is_cut = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.stream(scope, receive, send)
        self.is_cut = (await receive())["type"] == "http.disconnect"

    def lifespan(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    def stop(self) -> None:
        """Do nothing."""


async def eventually(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not check():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def unread(app: App) -> AsyncIterator[None]:
    """Yield a server, and a client of it that never reads a byte."""
    bound = uvicorn_server.bind("127.0.0.1", 0)
    async with uvicorn_server.running(app, bound):
        with socket.create_connection(bound.getsockname()) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            yield


async def test_data_that_a_client_never_reads_is_dropped_with_its_connection() -> None:
    source = Source(event=LARGE)
    app = App(streaming.EventStream(source, {}, 0.05, asyncio.Event()))
    async with unread(app):
        await eventually(lambda: app.is_cut)
    assert source.is_closed


async def test_a_stop_does_not_wait_for_a_client_that_never_reads() -> None:
    source, stop = Source(event=LARGE), asyncio.Event()
    app = App(streaming.EventStream(source, {}, 1e6, stop))
    async with unread(app):
        await eventually(lambda: source.taken > 0)
        stop.set()
        await eventually(lambda: app.is_cut)
    assert source.is_closed


class File:
    """A file in pieces, up to an error."""

    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        self.pieces = list(pieces)
        self.error = error
        self.is_closed = False

    def __aiter__(self) -> File:
        return self

    async def __anext__(self) -> bytes:
        if self.pieces:
            return self.pieces.pop(0)
        if self.error is not None:
            raise self.error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.is_closed = True


async def fetched(stream: streaming.ByteStream) -> bytes:
    """Return what a client over a real connection gets of it in the end."""
    bound = uvicorn_server.bind("127.0.0.1", 0)
    host, port = bound.getsockname()
    async with uvicorn_server.running(App(stream), bound), httpx.AsyncClient() as client:
        return (await client.get(f"http://{host}:{port}/")).content


async def test_a_file_is_sent_complete() -> None:
    assert await fetched(streaming.ByteStream(File(b"a", b"", b"b"), {}, 60, asyncio.Event())) == b"ab"


@pytest.mark.parametrize(
    "error", [storage_errors.StatementTimeout("it was not answered"), errors.StreamInterrupted("a stop")]
)
async def test_a_file_that_breaks_off_is_never_mistaken_for_a_whole_one(error: Exception) -> None:
    file = File(b"a", error=error)
    with pytest.raises(httpx.RemoteProtocolError):
        await fetched(streaming.ByteStream(file, {}, 60, asyncio.Event()))
    assert file.is_closed


async def test_where_no_connection_can_be_cut_a_broken_file_is_an_error() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    file = File(b"a", error=errors.StreamInterrupted("a stop"))
    with pytest.raises(errors.StreamInterrupted):
        await streaming.ByteStream(file, {}, 60, asyncio.Event())(SCOPE, never, send)
    assert [each.get("more_body") for each in sent] == [None, True]


async def test_a_file_is_cut_off_for_a_client_that_never_reads() -> None:
    file = File(*[b"x" * (1 << 18)] * 400)
    app = App(streaming.ByteStream(file, {}, 0.05, asyncio.Event()))
    async with unread(app):
        await eventually(lambda: app.is_cut)
    assert file.is_closed
    assert file.pieces, "it was read at the client's pace"


async def test_the_source_is_closed_when_the_client_disconnects() -> None:
    source, gone = Source(), asyncio.Event()

    async def send(message: Any) -> None:
        gone.set()

    async def receive() -> Any:
        await gone.wait()
        return {"type": "http.disconnect"}

    await streaming.EventStream(source, {}, 60, asyncio.Event())(SCOPE, receive, send)
    assert source.is_closed


async def test_a_failure_of_the_database_ends_the_stream_with_its_name() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    source = Source(storage_errors.Unavailable("disk I/O error"))
    await streaming.EventStream(source, {}, 60, asyncio.Event())(SCOPE, never, send)
    assert sent[1]["body"] == b": the database cannot be used now: connect again\n\n"
    assert sent[2] == {"type": "http.response.body", "body": b"", "more_body": False}


@given(st.text(st.characters(codec="utf-8")), st.integers(0, 10**15 - 1))
def test_whatever_the_data_a_parser_reads_what_was_written(text: str, number: int) -> None:
    data = json.dumps(text, ensure_ascii=False)
    sent = streaming.encode(Event(number, "message.part.updated", data))
    answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=sent)
    answer.request = httpx.Request("GET", "http://test/")
    (event,) = httpx.EventSource(answer)
    assert (event.id, event.event, json.loads(event.data)) == (str(number), "message.part.updated", text)


def test_an_id_without_an_event_dispatches_nothing_and_is_kept_by_every_reader() -> None:
    sent = streaming.encode(resume_point(41)) + streaming.encode(Event(42, "change", "{}"))
    assert sent.startswith(b"id: 41\n\n")
    answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=sent)
    answer.request = httpx.Request("GET", "http://test/")
    assert [event.id for event in httpx.EventSource(answer) if event.data] == ["42"]


@given(st.text(st.sampled_from("ab\u2028\u2029\x85\u00e9\U0001f600")))
def test_data_is_one_line_for_readers_that_end_lines_as_text_does(text: str) -> None:
    data = json.dumps({"text": text}, ensure_ascii=False)
    sent = streaming.encode(Event(7, "message", data)).decode()
    _, _, line, _ = sent.splitlines()
    assert json.loads(line.removeprefix("data: ")) == {"text": text}


def test_other_ends_of_lines_in_data_begin_lines_of_data() -> None:
    sent = streaming.encode(Event(7, "message", '{"a":\r1,\r\n"b":\n2}'))
    assert sent == b'id: 7\nevent: message\ndata: {"a":\ndata: 1,\ndata: "b":\ndata: 2}\n\n'


def test_a_comment_never_ends_before_its_end() -> None:
    assert streaming.encode("one\ntwo\u2028three\n\nfour") == b": one two three four\n\n"
