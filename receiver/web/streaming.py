"""Answers that are sent as they are made: files, and server-sent events (WHATWG HTML standard, section 9.2)."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, ClassVar, Protocol, TypeVar

from starlette.types import Message, Receive, Scope, Send

from receiver import errors, json_lines
from storage import errors as storage_errors
from storage.repositories import stream_events

TYPE = "text/event-stream"
#: The event after the last one: it keeps clients from connecting again.
CLOSE = b'event: close\ndata: {"type":"close"}\n\n'
#: Seconds within which a stream has to end once the server stops.
GRACE = 1.0
T_co = TypeVar("T_co", covariant=True)
_LINE_END = re.compile(r"\r\n|\r|\n")


class Source(Protocol[T_co]):
    """The source of a stream. Raises StreamInterrupted or StorageError where it ends too early."""

    def __aiter__(self) -> AsyncIterator[T_co]: ...
    async def __anext__(self) -> T_co: ...
    async def aclose(self) -> None: ...


#: A text among events is a comment.
Events = Source[stream_events.Event | str]
#: The bytes of a file.
Pieces = Source[bytes]


class _Stream(abc.ABC):
    """An ASGI answer that sends a source until it ends, the client disconnects, or the server stops.

    A client that takes nothing for `client_timeout` seconds is disconnected: what was written waits in memory for
    it, and the stop of the server would wait for it as well. At the stop every stream ends within `GRACE`, and so
    does one once `revoked` returns, since its client may not listen any more.
    """

    #: Headers of every stream. This one asks nginx not to buffer it.
    HEADERS: ClassVar[Mapping[str, str]] = {"x-accel-buffering": "no"}
    #: Whether clients connect again by themselves where a stream ends too early.
    RESUMES: ClassVar[bool] = False

    def __init__(
        self,
        source: Source[Any],
        headers: Mapping[str, str],
        client_timeout: float,
        stopping: asyncio.Event,
        revoked: Callable[[], Coroutine[Any, Any, object]] | None = None,
    ) -> None:
        lines = [(name.encode(), value.encode()) for name, value in {**headers, **self.HEADERS}.items()]
        self._start: Message = {"type": "http.response.start", "status": 200, "headers": lines}
        self._source = source
        self._client_timeout = client_timeout
        self._ends = [stopping.wait] if revoked is None else [stopping.wait, revoked]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._source):
            if scope["method"] == "HEAD":
                await send(self._start)
                await send({"type": "http.response.body", "body": b""})
                return
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._send_all(send))
                gone = group.create_task(_disconnected(receive))
                ends = [group.create_task(end()) for end in self._ends]
                await asyncio.wait([sending, gone, *ends], return_when=asyncio.FIRST_COMPLETED)
                await asyncio.wait([sending, gone], timeout=GRACE, return_when=asyncio.FIRST_COMPLETED)
                is_sent = sending.done() and sending.result()
                is_over = is_sent or gone.done()
                for task in (sending, *ends):
                    task.cancel()
                is_aborted = not is_over and _abort(receive)
                if not is_aborted:
                    gone.cancel()
        if not (is_over or is_aborted or self.RESUMES):
            # The server closes a connection when its application raises before the answer is complete.
            raise errors.StreamInterrupted("the file could not be sent to its end")

    @abc.abstractmethod
    async def _send_all(self, send: Send) -> bool:
        """Send the source. Return whether the client has taken all of it."""

    async def _write(self, send: Send, body: bytes, *, more: bool = True) -> None:
        await self._send(send, {"type": "http.response.body", "body": body, "more_body": more})

    async def _send(self, send: Send, message: Message) -> None:
        async with asyncio.timeout(self._client_timeout):
            await send(message)


class EventStream(_Stream):
    """A stream of events. One that ends too early says so in a comment, since its clients connect again."""

    HEADERS: ClassVar[Mapping[str, str]] = {**_Stream.HEADERS, "content-type": f"{TYPE}; charset=utf-8"}
    RESUMES: ClassVar[bool] = True

    async def _send_all(self, send: Send) -> bool:
        try:
            await self._send(send, self._start)
            try:
                async for each in self._source:
                    await self._write(send, encode(each))
                await self._write(send, CLOSE)
            except errors.StreamInterrupted as interrupted:
                await self._write(send, encode(str(interrupted)))
            except storage_errors.StorageError:
                await self._write(send, encode("the database cannot be used now: connect again"))
            await self._write(send, b"", more=False)
        except TimeoutError:
            return False
        return True


class ByteStream(_Stream):
    """A file. One that ends too early is cut off without the last chunk, so that it does not look complete."""

    async def _send_all(self, send: Send) -> bool:
        try:
            await self._send(send, self._start)
            async for piece in self._source:
                if piece:
                    await self._write(send, piece)
            await self._write(send, b"", more=False)
        except (TimeoutError, errors.StreamInterrupted, storage_errors.StorageError):
            return False
        return True


def _abort(receive: Receive) -> bool:
    """Abort the connection with all that waits to be read there. Return False where the server does not allow it.

    ASGI has no message for this. The transport is known from the `receive` of uvicorn, unless something wraps it.
    """
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        return False
    transport.abort()
    return True


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def encode(each: stream_events.Event | str | bytes) -> bytes:
    """Return an event or a comment in the form in which it is sent; bytes have it already."""
    if isinstance(each, bytes):
        return each
    if isinstance(each, str):
        return f": {json_lines.one_line(' '.join(each.split()))}\n\n".encode()
    if not each.type and not each.data:  # an id alone: readers keep it and dispatch no event
        return f"id: {each.id}\n\n".encode()
    named = f"event: {each.type}\n" if each.type else ""
    # Some readers also end a line at U+2028 and the like, where a stream of events does not.
    data = "".join(f"data: {json_lines.one_line(line)}\n" for line in _LINE_END.split(each.data))
    return f"id: {each.id}\n{named}{data}\n".encode()
