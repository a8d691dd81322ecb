"""A flood of every sort at once: valid callbacks, and forged, oversized, heavy, slow, idle and unread requests.

Each sort has several connections until the time is over: one that ends is opened again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from receiver.crypto import signatures, tokens

#: Connections of each sort in a whole flood.
SORTS = {
    "event": 4,
    "callback": 4,
    "health": 1,
    "forged": 8,
    "unknown": 4,
    "bad key": 4,
    "oversize": 4,
    "heavy": 100,
    "slow": 50,
    "unread": 20,
    "idle": 1200,
}
#: Sorts that must never be lost.
VALID = ("event", "callback")
#: Bytes of a heavy body that are sent, and its declared length.
HEAVY, HEAVY_DECLARED = 1_000_000, 1_000_001
#: Seconds between two bytes of a slow body, and before a new connection.
SLOW_INTERVAL = 0.5
RECONNECT = 0.05

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Flood:
    """One flood. `answers` counts by sort and status; "cut" is a connection that ended without an answer.

    Once the server is stopping, answers are counted in `late`.
    """

    port: int
    secret: signatures.Secret
    signer: tokens.Signer
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    late: Counter[tuple[str, str]] = field(default_factory=Counter)
    is_stopping: bool = False
    _number: itertools.count[int] = field(default_factory=itertools.count)
    _prefix: str = field(default_factory=lambda: secrets.token_hex(4))

    async def run(self, seconds: float, sorts: Mapping[str, int] = SORTS) -> None:
        """Flood for this many seconds."""
        assert sorts.keys() <= SORTS.keys()
        actions: dict[str, Callable[[Stream, str], Awaitable[None]]] = {
            "oversize": self._oversize,
            "heavy": self._heavy,
            "slow": self._slow,
            "unread": self._unread,
            "idle": self._idle,
        }
        each = [(sort, actions.get(sort, self._ask)) for sort, count in sorts.items() for _ in range(count)]
        running = [asyncio.ensure_future(self._repeat(sort, action)) for sort, action in each]
        await asyncio.wait(running, timeout=seconds)
        for one in running:
            one.cancel()
        await asyncio.wait(running)
        for one in running:
            if not one.cancelled():
                one.result()

    async def _repeat(self, sort: str, action: Callable[[Stream, str], Awaitable[None]]) -> None:
        while True:
            try:
                async with _connected(self.port, unread=sort == "unread") as stream:
                    await action(stream, sort)
            except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
                self._count(sort, "cut")
            await asyncio.sleep(RECONNECT)

    async def _ask(self, stream: Stream, sort: str) -> None:
        """Send one request after the other, as long as the connection stays open."""
        reader, writer = stream
        while True:
            writer.write(self._request(sort))
            await self._answer(reader, sort)

    async def _answer(self, reader: asyncio.StreamReader, sort: str) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        await reader.readexactly(length)
        self._count(sort, head[9:12].decode())
        if b"connection: close" in lines:
            raise ConnectionAbortedError

    def _count(self, sort: str, status: str) -> None:
        (self.late if self.is_stopping else self.answers)[sort, status] += 1

    def _request(self, sort: str) -> bytes:
        number = f"{self._prefix}_{next(self._number)}"
        match sort:
            case "event":
                return self._event(number, self.secret.key)
            case "forged":
                return self._event(number, b"another key", b"x" * 2000)
            case "callback":
                return _post(f"/callbacks/{self.signer.token(number)}", b'{"status":"completed"}')
            case "unknown":
                return _post(f"/callbacks/{number}.{'A' * 43}", b"{}")
            case "bad key":
                key = f"authorization: Bearer rl_{next(self._number)}_{'A' * 43}\r\n"
                return _post("/v1/runs", b'{"agentId":"a","prompt":"p"}', key)
        return b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n"

    def _event(self, number: str, key: bytes, more: bytes = b"") -> bytes:
        body = f'{{"id":"evt_{number}","type":"agent.run.completed","data":{{"runId":"run_{number}"}}}}'.encode()
        at = str(int(time.time()))
        signature = signatures.sign(key, f"dlv_{number}", at, body + more)
        lines = (
            f"{signatures.ID_HEADER}: dlv_{number}\r\n{signatures.TIMESTAMP_HEADER}: {at}\r\n"
            f"{signatures.SIGNATURE_HEADER}: {signature}\r\n"
        )
        return _post("/webhooks/case", body + more, lines)

    async def _oversize(self, stream: Stream, sort: str) -> None:
        reader, writer = stream
        writer.write(_unfinished("transfer-encoding: chunked"))
        answer = asyncio.ensure_future(self._answer(reader, sort))
        try:
            while not answer.done():
                writer.write(b"10000\r\n" + bytes(65536) + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0)
        finally:
            answer.cancel()
            await asyncio.wait([answer])
        answer.result()

    async def _heavy(self, stream: Stream, sort: str) -> None:
        """Send a body that lacks one byte."""
        reader, writer = stream
        writer.write(_unfinished(f"content-length: {HEAVY_DECLARED}"))
        writer.write(bytes(HEAVY))
        await self._answer(reader, sort)

    async def _slow(self, stream: Stream, sort: str) -> None:
        reader, writer = stream
        writer.write(_unfinished("content-length: 1000"))
        answer = asyncio.ensure_future(self._answer(reader, sort))
        try:
            while not answer.done():
                writer.write(b"x")
                await asyncio.wait([answer], timeout=SLOW_INTERVAL)
        finally:
            answer.cancel()
            await asyncio.wait([answer])
        answer.result()

    async def _unread(self, stream: Stream, _sort: str) -> None:
        """Request much and read nothing."""
        _, writer = stream
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        while True:
            writer.write(b"GET /openapi.json HTTP/1.1\r\nhost: h\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(SLOW_INTERVAL)

    async def _idle(self, stream: Stream, _sort: str) -> None:
        reader, _ = stream
        await reader.readexactly(1)


@contextlib.asynccontextmanager
async def _connected(port: int, *, unread: bool) -> AsyncIterator[Stream]:
    connection = socket.socket()
    if unread:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=connection)
    except BaseException:
        connection.close()
        raise
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def _unfinished(line: str) -> bytes:
    """Return the head of an event whose body must be read before the server can detect the forgery."""
    head = f"POST /webhooks/case HTTP/1.1\r\nhost: h\r\n{signatures.SIGNATURE_HEADER}: v1,AAAA\r\n"
    return f"{head}{line}\r\n\r\n".encode()


def _post(path: str, body: bytes, lines: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n{lines}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
