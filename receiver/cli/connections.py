"""The connections of a server: how many there may be, and how long each may keep us waiting.

uvicorn ends a connection that is idle after an answer, and no other. Here a connection is waited for while its
client is to speak: for a head, for a body, for the next request. Whoever takes too long is cut off; where there is
no room for a new connection, the one that has been waited for the longest makes it.
"""

from __future__ import annotations

import asyncio
import math
import re
import resource
from dataclasses import dataclass, replace
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http import flow_control, httptools_impl

from receiver import callbacks, problems
from storage import errors as storage_errors

#: Connections that wait to be accepted, and files that a server has open beside its connections.
BACKLOG = 256
FILES = 256
#: What is answered even where there is no room: else who looks after the server would take it for dead.
HEALTH = ("/healthz", "/readyz")
#: Seconds between two lines that connections had to make room.
TOLD_EVERY = 60.0
_UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)
_TRY_AGAIN = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 60\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the connections; times are in seconds."""

    #: Connections at once, and further ones that are answered 503, or how we are.
    open: int = 1024
    spare: int = 64
    #: For the head of a request, for its body, for the next request, and for taking some of what was answered.
    head: float = 10.0
    body: float = 60.0
    idle: float = 75.0
    unread: float = 30.0
    #: For any of these once the server stops.
    stop: float = 2.0
    #: Bytes and fields of a head; requests that are sent before the one in front is answered.
    head_bytes: int = 65536
    fields: int = 128
    ahead: int = 16
    #: Between two looks at all connections.
    look: float = 1.0


def fitting(limits: Limits) -> Limits:
    """The limits as far as this process may open files, after it has asked for as many as it needs."""
    wanted = limits.open + limits.spare + BACKLOG + FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return limits
    granted = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    return replace(limits, open=max(1, limits.open - (wanted - granted)))


class Crowd:
    """All connections of one server."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.all: set[Connection] = set()
        #: Those whose client is to speak; who has been waited for the longest stands first.
        self.waited_for: dict[Connection, None] = {}
        self._made_room = 0
        #: Whether the server is about to stop: then each answer is the last one on its connection.
        self.parts = False

    def protocol(self, **given: Any) -> asyncio.Protocol:
        """A new connection, as uvicorn asks for it."""
        return Connection(self, **given)

    def join(self, connection: Connection, app: ASGIApp) -> ASGIApp:
        """What serves a new connection: the application, or, where there is no room, one that says so."""
        self.all.add(connection)
        if len(self.all) > self.limits.open:
            self._make_room(connection)
        if len(self.all) <= self.limits.open:
            return self._parting(app)
        if len(self.all) > self.limits.open + self.limits.spare:
            connection.cut()
        return _crowded(app)

    def _parting(self, app: ASGIApp) -> ASGIApp:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, _last(send) if self.parts else send)

        return answer

    def _make_room(self, newest: Connection) -> None:
        longest = next(iter(self.waited_for), newest)
        if longest is not newest:
            self._made_room += 1
            longest.cut()

    def leave(self, connection: Connection) -> None:
        """It is no more."""
        self.all.discard(connection)
        self.waited_for.pop(connection, None)

    def part(self) -> None:
        """The server stops soon: who keeps connections is told not to use his again."""
        self.parts = True

    def stop(self) -> None:
        """The server is told to stop: from now on nobody is waited for in earnest."""
        seconds = self.limits.stop
        self.limits = replace(self.limits, head=seconds, body=seconds, idle=seconds, unread=seconds)
        for each in self.waited_for:
            each.hurry(seconds)

    async def watch(self) -> None:
        """Looks at all connections every so often, until it is cancelled."""
        loop, told_at = asyncio.get_running_loop(), -math.inf
        while True:
            await asyncio.sleep(self.limits.look)
            now = loop.time()
            for each in list(self.all):
                each.look(now)
            if self._made_room and now - told_at >= TOLD_EVERY:
                structlog.get_logger("runledger").warning("connections_made_room", connections=self._made_room)
                self._made_room, told_at = 0, now


class Connection(httptools_impl.HttpToolsProtocol):
    """uvicorn's connection, which knows whose turn it is and for how long it has been."""

    def __init__(self, crowd: Crowd, **given: Any) -> None:
        super().__init__(**given)
        self._crowd = crowd
        self._until = math.inf
        #: Bytes that came since the last sign that a message goes on.
        self._unsaid = 0
        self._is_whole = False
        self._is_in_head = True
        self._unread, self._taken_at = 0, self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(self._crowd.limits.head)
        self.app = self._crowd.join(self, self.app)

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.leave(self)
        super().connection_lost(exc)
        self.pipeline.clear()

    def send_400_response(self, msg: str) -> None:
        """What cannot be parsed may be genuine all the same where its path is public: then it is to come again."""
        path = (
            getattr(self, "url", b"").decode("latin-1").partition("?")[0]
        )  # there is none before a request begins
        if not callbacks.is_public(path):
            super().send_400_response(msg)
            return
        self.transport.write(_TRY_AGAIN)
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._is_in_head and b"pgrade" in data:
            data = _without_upgrade(data)
        self._unsaid += len(data)
        super().data_received(data)
        if self._says_too_much():
            self.cut()

    def _says_too_much(self) -> bool:
        """A head, a trailer or the like without an end, or a body behind a request that is not answered yet."""
        limits = self._crowd.limits
        is_ahead = bool(self.pipeline) and len(self.cycle.body) > flow_control.HIGH_WATER_LIMIT
        return self._unsaid > limits.head_bytes or len(self.headers or ()) > limits.fields or is_ahead

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= self._crowd.limits.ahead:
            self.cut()
            raise ConnectionAbortedError("too many requests are sent ahead")  # parses no further
        super().on_message_begin()
        self._is_whole = False
        self._wait(self._crowd.limits.head)

    def on_headers_complete(self) -> None:
        self._unsaid, self._is_in_head = 0, False
        super().on_headers_complete()
        self._wait(self._crowd.limits.body)

    def on_body(self, body: bytes) -> None:
        self._unsaid = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unsaid, self._is_whole, self._is_in_head = 0, True, True
        super().on_message_complete()
        if self.cycle.response_complete:
            self._wait(self._crowd.limits.idle)
        else:
            self._until = math.inf
            self._crowd.waited_for.pop(self, None)

    def on_response_complete(self) -> None:
        is_next = bool(self.pipeline)
        super().on_response_complete()
        if self._is_whole and not is_next:
            self._wait(self._crowd.limits.idle)

    def _wait(self, seconds: float) -> None:
        """From now on its client is to speak, for so long."""
        if not self.transport.is_closing():
            self._until = self.loop.time() + seconds
            self._crowd.waited_for.pop(self, None)
            self._crowd.waited_for[self] = None

    def hurry(self, seconds: float) -> None:
        """It is waited for no longer than that."""
        self._until = min(self._until, self.loop.time() + seconds)

    def look(self, now: float) -> None:
        """Cuts it off where its client has not spoken, or not taken anything of what we said, for too long."""
        unread = self.transport.get_write_buffer_size()
        if unread == 0 or unread < self._unread:
            self._taken_at = now
        self._unread = unread
        if now > min(self._until, self._taken_at + self._crowd.limits.unread):
            self.cut()

    def cut(self) -> None:
        """Ends it at once, with all that waits to be read."""
        self._crowd.leave(self)
        self.transport.abort()


def _without_upgrade(data: bytes) -> bytes:
    """A head that asks for no other protocol: the parser would drop the body behind it, and we speak none."""
    head, gap, behind = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"\r\nx-upgrade:", head) + gap + behind


def _last(send: Send) -> Send:
    async def said(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        await send(message)

    return said


def _crowded(app: ASGIApp) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in HEALTH:
            await app(scope, receive, send)
            return
        response = problems.answer(storage_errors.Busy("there are too many connections"))
        response.headers["connection"] = "close"
        await response(scope, receive, send)

    return answer
