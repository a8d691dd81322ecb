"""The client at its seam: a mock transport, and real sockets for what only they can do."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import inspect
import json
import logging
import pathlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import httpx2 as httpx
import pytest

from receiver import errors
from receiver.upstream import client, exchange, routes
from storage.repositories import runs

DATA = pathlib.Path(__file__).parents[2] / "data"
KEY = "sk_case_planted_secret"
BASE = "https://upstream.test"
DETAILS = (DATA / "details-completed.json").read_bytes()
RUN = "run_abc123"
STATUS = {"id": RUN, "status": "running"}
Handler = Callable[[httpx.Request], httpx.Response]

pytestmark = pytest.mark.anyio


class Upstream:
    """An upstream that answers each request alike and records them."""

    def __init__(self, answer: httpx.Response | Exception) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []
        self.calls: list[exchange.Call] = []

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def client(self, base: str = BASE, body_limit: int = exchange.BODY_LIMIT) -> client.Client:
        return client.Client(
            base, KEY, httpx.MockTransport(self._handle), self.calls.append, body_limit=body_limit
        )


class Stream(httpx.AsyncByteStream):
    """A body in pieces, which counts those that were taken."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.sent = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.sent += 1
            yield piece

    async def aclose(self) -> None:
        self.closed = True


def answering(body: object, status: int = 200, **headers: str) -> Upstream:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Upstream(httpx.Response(status, content=content, headers=named))


async def details(case: client.Client, run: str = RUN) -> client.Fetched:
    async with case.details(run) as fetched:
        return fetched


CALLS: list[Callable[[client.Client, str], Coroutine[Any, Any, object]]] = [
    lambda case, run: case.execute(run),
    lambda case, run: case.status(run),
    lambda case, run: details(case, run),
    lambda case, run: case.cancel(run),
    lambda case, run: case.watch(run, "https://us.test/callbacks/token"),
]


async def test_create_sends_what_was_requested_and_nothing_else() -> None:
    upstream = answering({"id": RUN, "status": "queued", "createdAt": "2026-03-01T12:00:00Z"})
    blank: dict[str, Any] = dict.fromkeys(each.name for each in dataclasses.fields(runs.Run))
    asked = {"agent_id": "agent_1", "prompt": "Déjà vu \ud800", "object_ids": ("obj_1",)}
    created = await upstream.client().create(runs.Run(**blank | asked), "https://us.test/callbacks/t")
    (request,) = upstream.requests
    assert (request.method, str(request.url)) == ("POST", f"{BASE}/agent/v1/run")
    assert json.loads(request.content) == {
        "agentId": "agent_1",
        "prompt": "Déjà vu \ud800",
        "objectIds": ["obj_1"],
        "callbackUrl": "https://us.test/callbacks/t",
    }
    assert created.id == RUN


async def test_each_request_carries_the_key_and_our_name() -> None:
    upstream = answering(STATUS)
    await upstream.client().status(RUN)
    sent = upstream.requests[0].headers
    assert sent["authorization"] == f"Bearer {KEY}"
    assert sent["user-agent"].startswith("runledger/")
    assert (sent["accept"], sent["host"]) == ("application/json", "upstream.test")


async def test_details_keep_the_bytes_that_came() -> None:
    upstream = answering(DETAILS)
    fetched = await details(upstream.client("http://127.0.0.1:9/prefix/"))
    assert (fetched.body, fetched.details.measures.cost_micros) == (DETAILS, 8700)
    assert str(upstream.requests[0].url) == f"http://127.0.0.1:9/prefix/agent/v1/run/{RUN}/details"


async def test_a_compressed_answer_is_read() -> None:
    upstream = answering(gzip.compress(DETAILS), content_encoding="gzip")
    assert (await details(upstream.client())).body == DETAILS


async def test_the_list_is_asked_with_its_parameters() -> None:
    upstream = answering((DATA / "runs-page.json").read_bytes())
    page = await upstream.client().list(agent_id="a&b", status="completed", cursor="run_1")
    assert dict(upstream.requests[0].url.params) == {
        "agentId": "a&b", "status": "completed", "limit": "250", "cursor": "run_1"
    }  # fmt: skip
    assert (len(page.runs), page.next_cursor) == (1, "run_abc122")


async def test_cancel_returns_the_state_of_the_run() -> None:
    upstream = answering({"id": RUN, "status": "completed", "message": "Already finished"})
    assert await upstream.client().cancel(RUN) == "completed"


async def test_watch_and_execute_are_posts_to_their_routes() -> None:
    upstream = answering(STATUS)
    await upstream.client().execute(RUN)
    await upstream.client().watch(RUN, "https://us.test/callbacks/t")
    assert [f"{request.method} {request.url.path}" for request in upstream.requests] == [
        f"POST /agent/v1/run/{RUN}/exec",
        f"POST /agent/v1/run/{RUN}/watch",
    ]
    assert json.loads(upstream.requests[1].content) == {"callbackUrl": "https://us.test/callbacks/t"}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("run", ["", "..", "../agents", "a/b", "a%2fb", "a?b", "é", "a\n", "a" * 129, "\ud800"])
async def test_an_id_that_cannot_be_in_an_address_is_never_sent(call: Any, run: str) -> None:
    upstream = answering(STATUS)
    with pytest.raises(errors.UpstreamError, match="nothing was sent"):
        await call(upstream.client(), run)
    assert upstream.requests == []


@pytest.mark.parametrize("call", CALLS[:4])
async def test_an_answer_about_another_run_is_unreadable(call: Any) -> None:
    with pytest.raises(errors.InvalidResponse, match="another run"):
        await call(answering({"id": "run_other", "status": "running"}).client(), RUN)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"id":"run_', b"[]", b"\xff"])
async def test_a_good_status_with_junk_is_unreadable(call: Any, body: bytes) -> None:
    with pytest.raises(errors.InvalidResponse):
        await call(answering(body).client(), RUN)


@pytest.mark.parametrize(
    "status", [301, 302, 307, 308, 400, 401, 402, 404, 405, 409, 410, 413, 422, 429, 500, 503, 599]
)
async def test_any_other_status_is_reported_with_its_message(status: int) -> None:
    upstream = answering({"message": "No such luck"}, status, retry_after="7", location="https://elsewhere.test/")
    with pytest.raises(errors.UpstreamStatusError) as caught:
        await upstream.client().execute(RUN)
    assert (caught.value.route, caught.value.status, caught.value.retry_after) == (routes.EXECUTE, status, 7.0)
    assert caught.value.message == f"{status} No such luck"
    assert len(upstream.requests) == 1


async def test_a_redirect_is_not_followed_even_to_nonsense() -> None:
    upstream = answering(b"", 302, location="http://[nonsense")
    with pytest.raises(errors.UpstreamStatusError, match="302 Found"):
        await upstream.client().status(RUN)


async def test_a_refusal_with_a_garbled_body_is_still_a_refusal() -> None:
    upstream = Upstream(httpx.Response(409, stream=Stream([b"not gzip"]), headers={"content-encoding": "gzip"}))
    with pytest.raises(errors.UpstreamStatusError, match="409 Conflict"):
        await upstream.client().execute(RUN)


async def test_a_good_status_with_a_garbled_encoding_is_unreadable() -> None:
    upstream = Upstream(httpx.Response(200, stream=Stream([b"not gzip"]), headers={"content-encoding": "gzip"}))
    with pytest.raises(errors.InvalidResponse, match="DecodingError"):
        await details(upstream.client())


async def test_an_answer_over_the_limit_is_too_large_and_not_read_on() -> None:
    stream = Stream([b"x" * 600] * 1000)
    upstream = Upstream(httpx.Response(200, stream=stream))
    with pytest.raises(errors.ResponseTooLarge):
        await details(upstream.client(body_limit=1000))
    assert (stream.sent, stream.closed) == (2, True)


async def test_the_limit_counts_what_was_unpacked() -> None:
    bomb = httpx.Response(
        200, stream=Stream([gzip.compress(b" " * 10_000_000)]), headers={"content-encoding": "gzip"}
    )
    with pytest.raises(errors.ResponseTooLarge):
        await details(Upstream(bomb).client(body_limit=1_000_000))


async def test_what_is_packed_more_than_once_is_not_unpacked() -> None:
    stream = Stream([gzip.compress(gzip.compress(DETAILS))])
    upstream = Upstream(httpx.Response(200, stream=stream, headers={"content-encoding": "gzip, gzip"}))
    with pytest.raises(errors.InvalidResponse, match="more than once"):
        await details(upstream.client())


async def test_other_tasks_continue_while_an_answer_is_unpacked() -> None:
    packed = [gzip.compress(b" " * 10_000_000)]
    upstream = Upstream(httpx.Response(200, stream=Stream(packed), headers={"content-encoding": "gzip"}))
    turns = list[bool]()

    async def others() -> None:
        for _ in range(4):
            await anyio.lowlevel.checkpoint()
            turns.append(True)

    async def asked() -> None:
        with pytest.raises(errors.ResponseTooLarge):
            await details(upstream.client(body_limit=5_000_000))
        assert len(turns) == 4  # of five pieces

    async with anyio.create_task_group() as group:
        group.start_soon(others)
        group.start_soon(asked)


async def test_an_answer_at_the_limit_is_accepted() -> None:
    assert (await details(answering(DETAILS).client(body_limit=len(DETAILS)))).body == DETAILS


async def test_a_refusal_is_read_for_its_message_only() -> None:
    stream = Stream([b"x" * 60_000] * 1000)
    with pytest.raises(errors.UpstreamStatusError):
        await details(Upstream(httpx.Response(500, stream=stream)).client())
    assert stream.sent == 2


async def test_neither_key_nor_token_comes_back_in_a_message(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    upstream = answering({"error": f"{KEY} may not use https://us.test/callbacks/run.signed"}, 400)
    with pytest.raises(errors.UpstreamStatusError) as caught:
        await upstream.client().watch(RUN, "https://us.test/callbacks/run.signed")
    assert caught.value.message == "400 [withheld] may not use https://us.test/callbacks/[withheld]"
    assert caplog.records == []


def leaving() -> list[type[Exception]]:
    """Return every exception that the HTTP library exports."""
    exported = [getattr(httpx, name) for name in dir(httpx)]
    return [item for item in exported if inspect.isclass(item) and issubclass(item, Exception)]


#: What fails before there is a connection.
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@pytest.mark.parametrize("foreign", [*leaving(), TimeoutError, ConnectionResetError, OSError])
async def test_every_exception_of_the_library_becomes_one_of_ours(foreign: type[Exception]) -> None:
    error = foreign.__new__(foreign, "an error\nin lines")
    error.args = ("an error\nin lines",)
    with pytest.raises(errors.UpstreamError) as caught:
        await Upstream(error).client().status(RUN)
    rare: dict[type[Exception], type[errors.UpstreamError]]
    rare = {httpx.DecodingError: errors.InvalidResponse, httpx.SSEError: errors.InvalidResponse}
    rare |= dict.fromkeys(UNSENT, errors.RequestNotSent)
    expected = rare.get(foreign, errors.UpstreamUnreachable)
    assert type(caught.value) is expected
    assert caught.value.message == f"{foreign.__name__}: an error in lines"
    assert caught.value.__cause__ is error


def test_the_library_exports_the_exceptions_that_this_was_written_for() -> None:
    assert {httpx.ReadError, httpx.PoolTimeout, httpx.StreamClosed, httpx.InvalidURL} < set(leaving())


async def test_each_call_is_observed_with_its_limits() -> None:
    upstream = answering(STATUS, 200, x_ratelimit_remaining="41")
    await upstream.client().status(RUN)
    (call,) = upstream.calls
    assert (call.route, call.status) == (routes.STATUS, 200)
    assert call.limits == {"x-ratelimit-remaining": "41"}
    assert 0 <= call.seconds < 30


async def test_a_call_without_an_answer_is_observed_too() -> None:
    upstream = Upstream(httpx.ConnectError("refused"))
    with pytest.raises(errors.UpstreamUnreachable):
        await upstream.client().execute(RUN)
    assert [(call.route, call.status) for call in upstream.calls] == [(routes.EXECUTE, None)]


@pytest.mark.parametrize(
    "base", ["", "upstream.test", "ftp://upstream.test", "https://", "https://user:word@upstream.test",
             "https://upstream.test?x=1", "https://upstream.test#x", "https://up stream.test:x"],
)  # fmt: skip
def test_an_address_that_cannot_be_used_is_an_error_of_the_settings(base: str) -> None:
    with pytest.raises(errors.SettingsError, match="CASEDEV_BASE_URL"):
        Upstream(OSError()).client(base)


@pytest.mark.parametrize("key", ["", "a b", "a\n", "ké", "k" * 2000])
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(errors.SettingsError, match="CASEDEV_API_KEY") as caught:
        client.Client(BASE, key, httpx.MockTransport(lambda request: httpx.Response(200)))
    assert not key or key not in str(caught.value)


@contextlib.asynccontextmanager
async def speaking(*pieces: bytes, pause: float = 0.0) -> AsyncIterator[tuple[client.Client, list[bytes]]]:
    """Yield a client of a real server that answers each request with these pieces and hangs up."""
    received: list[bytes] = []

    async def answer(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            with contextlib.suppress(anyio.BrokenResourceError, anyio.EndOfStream):
                received.append(await stream.receive())
                for piece in pieces:
                    await stream.send(piece)
                    await anyio.sleep(pause)

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, answer)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        case = client.Client(f"http://127.0.0.1:{port}", KEY, timeout=0.5)
        yield case, received
        await case.aclose()
        group.cancel_scope.cancel()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"


async def test_a_whole_answer_over_a_socket_is_read() -> None:
    async with speaking(HEAD % len(DETAILS), DETAILS) as (case, received):
        assert (await details(case)).body == DETAILS
    assert received[0].startswith(b"GET /agent/v1/run/run_abc123/details HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "pieces", [(), (b"HTTP/1.1 200",), (HEAD % 5000, b'{"id":'), (b"SSH-2.0-OpenSSH\r\n\r\n",),
               (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",)],
)  # fmt: skip
async def test_a_cut_answer_is_no_answer_and_nothing_is_sent_again(pieces: tuple[bytes, ...]) -> None:
    async with speaking(*pieces) as (case, received):
        with pytest.raises(errors.UpstreamUnreachable):
            await case.execute(RUN)
    assert len(received) == 1


async def test_a_body_that_drips_runs_into_the_time_limit() -> None:
    async with speaking(HEAD % 1000, *[b" "] * 100, pause=0.1) as (case, _):
        with pytest.raises(errors.UpstreamUnreachable, match="Timeout"):
            await details(case)


async def test_a_silent_server_runs_into_the_time_limit() -> None:
    async with speaking(b"", pause=1.0) as (case, received):
        with pytest.raises(errors.UpstreamUnreachable, match="Timeout"):
            await case.execute(RUN)
    assert len(received) == 1


async def test_a_refused_connection_is_no_answer() -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
    case = client.Client(f"http://127.0.0.1:{port}", KEY)
    with pytest.raises(errors.UpstreamUnreachable, match="ConnectError"):
        await case.status(RUN)
    await case.aclose()
