"""The connections of a server: how many there may be, and how long the server waits for each client.

uvicorn limits only the time of a connection that is idle after an answer. This module limits every wait for a
client: for a head, for a body, for the next request. A connection that exceeds its time is closed; where there are
too many connections, the one that the server has waited for the longest is closed for a new one.
"""

from __future__ import annotations

import asyncio
import math
import re
import resource
from dataclasses import dataclass, replace
from typing import Any

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http import flow_control, httptools_impl

from receiver.inbound import endpoints
from receiver.web import problems
from storage import errors

#: Connections that wait to be accepted, and files that a server opens beside its connections.
BACKLOG = 256
FILES = 256
#: The paths that are answered even with too many connections: otherwise a supervisor would restart the server.
HEALTH = ("/healthz", "/readyz")
#: Seconds between two log lines about closed connections.
LOG_INTERVAL = 60.0
_UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)
_TRY_AGAIN = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 60\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the connections; times are in seconds."""

    #: Connections at once, and further ones, on which only the health is served and all else is answered 503.
    open: int = 1024
    spare: int = 64
    #: The waits for the head of a request, for its body, for the next request, and for a client to read an answer.
    head: float = 10.0
    body: float = 60.0
    idle: float = 75.0
    unread: float = 30.0
    #: The limit of each of these waits once the server stops.
    stop: float = 2.0
    #: Bytes and fields of a head; requests that are sent before an earlier one is answered.
    head_bytes: int = 65536
    fields: int = 128
    ahead: int = 16
    #: The interval between two checks of all connections.
    look: float = 1.0


def fitting(limits: Limits) -> Limits:
    """Return the limits, with fewer connections where this process may not open enough files.

    Raises the soft limit of open files first, as far as the hard limit allows.
    """
    wanted = limits.open + limits.spare + BACKLOG + FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return limits
    granted = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    return replace(limits, open=max(1, limits.open - (wanted - granted)))


class Pool:
    """All connections of one server."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.all: set[Connection] = set()
        #: Connections whose client is to send something; the longest wait comes first.
        self.waiting: dict[Connection, None] = {}
        self._closed = 0
        #: Whether the server stops soon: then each answer is the last one on its connection.
        self.is_stopping = False

    def join(self, connection: Connection, app: ASGIApp) -> ASGIApp:
        """Add a connection. Return its application: with too many connections one that answers 503."""
        self.all.add(connection)
        if len(self.all) > self.limits.open:
            self._close_longest(connection)
        if len(self.all) <= self.limits.open:
            return app
        if len(self.all) > self.limits.open + self.limits.spare:
            connection.abort()
        return _overloaded(app)

    def _close_longest(self, newest: Connection) -> None:
        longest = next(iter(self.waiting), newest)
        if longest is not newest:
            self._closed += 1
            longest.abort()

    def leave(self, connection: Connection) -> None:
        """Remove a connection."""
        self.all.discard(connection)
        self.waiting.pop(connection, None)

    def stop(self) -> None:
        """Wait for clients only briefly from now on, since the server stops."""
        seconds = self.limits.stop
        self.limits = replace(self.limits, head=seconds, body=seconds, idle=seconds, unread=seconds)
        for each in self.waiting:
            each.shorten(seconds)

    async def watch(self) -> None:
        """Check all connections from time to time, until it is cancelled."""
        loop, logged_at = asyncio.get_running_loop(), -math.inf
        while True:
            await asyncio.sleep(self.limits.look)
            now = loop.time()
            for each in list(self.all):
                each.check(now)
            if self._closed and now - logged_at >= LOG_INTERVAL:
                structlog.get_logger("runledger").warning("connections_evicted", connections=self._closed)
                self._closed, logged_at = 0, now


class Connection(httptools_impl.HttpToolsProtocol):
    """uvicorn's connection, with a time limit whenever the client is to send or to read."""

    def __init__(self, pool: Pool, **given: Any) -> None:
        super().__init__(**given)
        self._pool = pool
        self._until = math.inf
        #: Bytes received since the parser last made progress in a message.
        self._unparsed = 0
        self._is_whole = False
        self._is_in_head = True
        #: Whether the parser made progress, and the seconds the client has for the next part; infinite for none.
        self._has_advanced, self._next = False, math.inf
        self._unread, self._read_at = 0, self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(self._pool.limits.head)
        self.app = self._pool.join(self, self.app)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.leave(self)
        super().connection_lost(exc)
        self.pipeline.clear()

    def send_400_response(self, msg: str) -> None:
        """Answer 503 on the public paths: what cannot be parsed may be a genuine event, and is sent again."""
        url = getattr(self, "url", b"")  # there is none before a request begins
        path = url.decode("latin-1").partition("?")[0]
        if not endpoints.is_public(path):
            super().send_400_response(msg)
            return
        self.transport.write(_TRY_AGAIN)
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._is_in_head and b"pgrade" in data:
            data = _without_upgrade(data)
        self._unparsed += len(data)
        super().data_received(data)
        if self._has_advanced:
            self._has_advanced = False
            self._wait(self._next)
        if self._exceeds_limits():
            self.abort()

    def _exceeds_limits(self) -> bool:
        """Return whether a head or a trailer is too long, or a request with a large body was sent ahead."""
        limits = self._pool.limits
        is_ahead = bool(self.pipeline) and len(self.cycle.body) > flow_control.HIGH_WATER_LIMIT
        return self._unparsed > limits.head_bytes or len(self.headers or ()) > limits.fields or is_ahead

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= self._pool.limits.ahead:
            self.abort()
            raise ConnectionAbortedError("too many requests are sent ahead")  # parses no further
        super().on_message_begin()
        self._is_whole = False
        self._advance(self._pool.limits.head)

    def on_headers_complete(self) -> None:
        self._unparsed, self._is_in_head = 0, False
        super().on_headers_complete()
        if self._pool.is_stopping:  # then this answer is the last one
            self.cycle.keep_alive = False
        self._advance(self._pool.limits.body)

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed, self._is_whole, self._is_in_head = 0, True, True
        super().on_message_complete()
        self._advance(self._pool.limits.idle if self.cycle.response_complete else math.inf)

    def on_response_complete(self) -> None:
        is_next = bool(self.pipeline)
        if is_next and self._pool.is_stopping:
            self.pipeline[-1][0].keep_alive = False
        super().on_response_complete()
        if self._is_whole and not is_next:
            self._wait(self._pool.limits.idle)

    def _advance(self, seconds: float) -> None:
        """Set the seconds that the client has for the next part, from the end of the received data on."""
        self._has_advanced, self._next = True, seconds

    def _wait(self, seconds: float) -> None:
        """Wait for the client from now on, for at most `seconds`; infinite ones mean that nothing is to come."""
        self._pool.waiting.pop(self, None)
        self._until = self.loop.time() + seconds
        if seconds < math.inf and not self.transport.is_closing():
            self._pool.waiting[self] = None

    def shorten(self, seconds: float) -> None:
        """Limit the present wait for the client to `seconds`."""
        self._until = min(self._until, self.loop.time() + seconds)

    def check(self, now: float) -> None:
        """Close it where its client has sent nothing, or read nothing of an answer, for too long."""
        unread = self.transport.get_write_buffer_size()
        if unread == 0 or unread < self._unread:
            self._read_at = now
        self._unread = unread
        if now > min(self._until, self._read_at + self._pool.limits.unread):
            self.abort()

    def abort(self) -> None:
        """Close it at once, with all unread data."""
        self._pool.leave(self)
        self.transport.abort()


def _without_upgrade(data: bytes) -> bytes:
    """Return a head without its upgrade to another protocol, behind which the parser would drop the body."""
    head, gap, behind = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"\r\nx-upgrade:", head) + gap + behind


def _overloaded(app: ASGIApp) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in HEALTH:
            await app(scope, receive, send)
            return
        response = problems.answer(errors.Busy("there are too many connections"))
        response.headers["connection"] = "close"
        await response(scope, receive, send)

    return answer
