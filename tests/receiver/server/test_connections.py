"""Connections over real sockets: silent and slow clients, too many of them, unread answers."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from receiver.server import connections, uvicorn_server
from tests import routes_only

pytestmark = pytest.mark.anyio

NEVER = 600.0
#: No connection is closed for a wait, unless a test sets its limit.
PATIENT = connections.Limits(head=NEVER, body=NEVER, idle=NEVER, unread=NEVER, stop=0.1, look=0.02)
LARGE, PIECES = 32 << 20, 32


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Return the loop of production: transports differ in what they hold back."""
    return "asyncio", {"use_uvloop": True}


class Client:
    """A connection that sends raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def say(self, *pieces: bytes) -> Client:
        for piece in pieces:
            self.writer.write(piece)
        return self

    async def answer(self) -> bytes:
        """Return the status and the body of the next answer."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        )
        return head[9:13] + await self._reader.readexactly(length)

    async def rest(self) -> bytes:
        """Return all bytes until the connection ends."""
        received = b""
        with contextlib.suppress(ConnectionError):
            while chunk := await self._reader.read(65536):
                received += chunk
        return received


class Served:
    """A server with a few routes."""

    def __init__(self) -> None:
        self.port = 0
        self.held: asyncio.Semaphore = asyncio.Semaphore(0)
        self.free = asyncio.Event()
        self.given_up = asyncio.Event()
        self.clients: list[Client] = []

    def app(self) -> routes_only.Application:
        async def quick(request: Request) -> Response:
            return Response(await request.body() or b"quick")

        async def hold(_request: Request) -> Response:
            self.held.release()
            await self.free.wait()
            return Response(b"held")

        async def pieces() -> AsyncIterator[bytes]:
            try:
                for _ in range(PIECES):
                    yield bytes(LARGE // PIECES)
            finally:
                self.given_up.set()

        async def large(_request: Request) -> Response:
            return StreamingResponse(pieces(), headers={"content-length": str(LARGE)})

        routes = [Route("/hold", hold), Route("/large", large)]
        return routes_only.Application(routes=[*routes, Route("/{name}", quick, methods=["GET", "POST"])])

    @asynccontextmanager
    async def serving(self, **limits: float) -> AsyncIterator[None]:
        """Serve with these limits until the block ends."""
        with uvicorn_server.bind("127.0.0.1", 0) as bound:
            self.port = bound.getsockname()[1]
            async with uvicorn_server.running(self.app(), bound, replace(PATIENT, **limits)):  # type: ignore[arg-type]
                yield
                self.free.set()

    async def connect(self) -> Client:
        self.clients.append(Client(*await asyncio.open_connection("127.0.0.1", self.port)))
        return self.clients[-1]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    made = Served()
    yield made
    for client in made.clients:
        client.writer.close()
        with contextlib.suppress(ConnectionError):
            await client.writer.wait_closed()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: h\r\n\r\n".encode()


POST = b"POST /body HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n"
CHUNKED = b"POST /body HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"


@pytest.mark.parametrize("message", [b"", b"GET /x HT", b"GET /x HTTP/1.1\r\nhost: h\r\n", b"\r\n"])
async def test_an_unfinished_head_closes_the_connection(served: Served, message: bytes) -> None:
    async with served.serving(head=0.1):
        assert await (await served.connect()).say(message).rest() == b""


async def test_a_head_that_comes_slowly_gets_no_more_time(served: Served) -> None:
    async with served.serving(head=0.2):
        client = (await served.connect()).say(b"GET /x HTTP/1.1\r\n")
        ended = asyncio.ensure_future(client.rest())
        while not ended.done():
            client.say(b"a: b\r\n")
            await asyncio.wait([ended], timeout=0.02)
        assert ended.result() == b""


async def test_an_unfinished_body_closes_the_connection(served: Served) -> None:
    async with served.serving(body=0.1):
        assert await (await served.connect()).say(POST, b"half").rest() == b""


async def test_silence_after_an_answer_closes_the_connection_whatever_empty_lines_come(served: Served) -> None:
    async with served.serving(idle=0.1):
        client = (await served.connect()).say(get("/x"))
        assert await client.answer() == b"200 quick"
        assert await client.say(b"\r\n").rest() == b""


async def test_a_second_request_has_the_time_of_a_head_again(served: Served) -> None:
    async with served.serving(head=0.1):
        client = (await served.connect()).say(get("/x"))
        assert await client.answer() == b"200 quick"
        assert await client.say(b"GET /x HT").rest() == b""


async def test_a_request_that_is_worked_on_is_never_cut_off(served: Served) -> None:
    async with served.serving(head=0.05, body=0.05, idle=0.05, unread=0.05):
        client = (await served.connect()).say(get("/hold"))
        await served.held.acquire()
        for _ in range(3):
            await (await served.connect()).rest()  # a silent connection is closed by then
        served.free.set()
        assert await client.answer() == b"200 held"


async def test_a_large_answer_that_is_not_read_closes_the_connection(served: Served) -> None:
    async with served.serving(unread=0.2):
        client = await served.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.say(get("/large"))
        await served.given_up.wait()
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len(await client.rest()) < LARGE


async def test_a_large_answer_that_is_read_comes_whole(served: Served) -> None:
    async with served.serving(unread=2.0):
        assert len(await (await served.connect()).say(get("/large")).answer()) == LARGE + 4


@pytest.mark.parametrize(
    "pieces",
    [
        (b"GET /x HTTP/1.1\r\nname: ", b"x" * 200_000),
        (b"GET /", b"x" * 200_000),
        (b"GET /x HTTP/1.1\r\n", b"a: b\r\n" * 5000),
        (CHUNKED, b"trailer: x\r\n" * 5000),
        (b"POST /x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5;", b"x" * 200_000),
    ],
    ids=["field", "path", "fields", "trailers", "chunk extension"],
)
async def test_a_head_without_an_end_is_not_kept(served: Served, pieces: tuple[bytes, ...]) -> None:
    async with served.serving():
        assert await (await served.connect()).say(*pieces).rest() == b""


async def test_requests_that_are_sent_ahead_are_few_and_small(served: Served) -> None:
    async with served.serving(ahead=4):
        ahead = (await served.connect()).say(get("/hold"), *[get("/x")] * 4)
        many = (await served.connect()).say(get("/hold"), *[get("/x")] * 5)
        head = b"POST /body HTTP/1.1\r\nhost: h\r\ncontent-length: 200000\r\n\r\n"
        large = (await served.connect()).say(get("/hold"), head, bytes(100_000))
        assert [await many.rest(), await large.rest()] == [b"", b""]
        served.free.set()
        assert [await ahead.answer() for _ in range(5)] == [b"200 held", *[b"200 quick"] * 4]


async def test_where_there_are_too_many_the_longest_wait_is_closed(served: Served) -> None:
    async with served.serving(open=3):
        idle = [(await served.connect()).say(get("/x")) for _ in range(3)]
        for client in idle:
            await client.answer()
        await idle[0].say(get("/x")).answer()
        assert await (await served.connect()).say(get("/x")).answer() == b"200 quick"
        assert await idle[1].rest() == b""
        assert [await idle[each].say(get("/x")).answer() for each in (0, 2)] == [b"200 quick"] * 2


async def test_where_all_are_busy_a_new_connection_gets_503_and_health_is_answered(served: Served) -> None:
    async with served.serving(open=2, spare=3):
        busy = [(await served.connect()).say(get("/hold")) for _ in range(2)]
        for _ in busy:
            await served.held.acquire()
        crowded = (await served.connect()).say(POST)
        assert (await crowded.answer()).startswith(b"503 ")
        assert await crowded.rest() == b""
        assert await (await served.connect()).say(get("/healthz")).answer() == b"200 quick"
        served.free.set()
        assert [await client.answer() for client in busy] == [b"200 held"] * 2


async def test_there_are_never_more_connections_than_there_may_be(served: Served) -> None:
    async with served.serving(open=4, spare=2):
        busy = [(await served.connect()).say(get("/hold")) for _ in range(4)]
        for _ in busy:
            await served.held.acquire()
        others = [(await served.connect()).say(b"GET") for _ in range(40)]
        ended = [asyncio.ensure_future(client.rest()) for client in others]
        while len([each for each in ended if each.done()]) < 38:
            await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED, timeout=0.05)
        assert not any(each.result() for each in ended if each.done())


async def test_a_server_that_stops_waits_for_nobody_but_those_it_works_for(served: Served) -> None:
    async with served.serving(stop=0.1):
        silent = await served.connect()
        half = (await served.connect()).say(b"GET /x HT")
        idle = (await served.connect()).say(get("/x"))
        slow = (await served.connect()).say(POST, b"half")
        deaf = (await served.connect()).say(get("/large"))
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        busy = (await served.connect()).say(get("/hold"))
        await idle.answer()
        await served.held.acquire()
    assert await busy.answer() == b"200 held"
    assert [await each.rest() for each in (silent, half, idle, slow)] == [b""] * 4


async def test_the_limits_fit_into_the_files_that_a_process_may_open() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 700), hard))
        assert connections.fitting(connections.Limits(open=100)).open == 100
        assert connections.fitting(connections.Limits(open=hard)).open < hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
