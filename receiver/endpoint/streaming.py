"""Answers that are sent as they come: files, and events as the WHATWG's HTML standard defines them (9.2)."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Protocol

from starlette.types import Message, Receive, Scope, Send

from receiver import errors, escaped
from storage import errors as storage_errors
from storage import events

TYPE = "text/event-stream"
#: The event after the last one: who reads on would only connect again.
CLOSE = b'event: close\ndata: {"type":"close"}\n\n'
#: Seconds in which a stream has to end once the server stops.
GRACE = 1.0
_LINE_END = re.compile(r"\r\n|\r|\n")


class Events(Protocol):
    """Where events come from; a text among them is a comment. Raises Interrupted where it ends too early."""

    def __aiter__(self) -> AsyncIterator[events.Event | str]: ...
    async def __anext__(self) -> events.Event | str: ...
    async def aclose(self) -> None: ...


class Pieces(Protocol):
    """Where the bytes of a file come from. Raises Interrupted or StorageError where it ends too early."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def __anext__(self) -> bytes: ...
    async def aclose(self) -> None: ...


class _Stream(abc.ABC):
    """Sends what comes until it ends, the client hangs up, or has taken nothing for `patience` seconds.

    Who does not take it is cut off, and at the server's stop everybody soon is: what was written waits in memory
    for a reader, and the stop waits as well.
    """

    def __init__(
        self, source: Events | Pieces, headers: Mapping[str, str], patience: float, stopping: asyncio.Event
    ) -> None:
        # Proxies that buffer would hold back what is sent until there is much of it.
        own = {"x-accel-buffering": "no"}
        lines = [(name.encode(), value.encode()) for name, value in {**headers, **own}.items()]
        self._start: Message = {"type": "http.response.start", "status": 200, "headers": lines}
        self._source = source
        self._patience = patience
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._source):
            if scope["method"] == "HEAD":
                await send(self._start)
                await send({"type": "http.response.body", "body": b""})
                return
            async with asyncio.TaskGroup() as group:
                telling = group.create_task(self._tell(send))
                gone = group.create_task(_hung_up(receive))
                stop = group.create_task(self._until_stop())
                await asyncio.wait([telling, gone, stop], return_when=asyncio.FIRST_COMPLETED)
                await asyncio.wait([telling, gone], timeout=GRACE, return_when=asyncio.FIRST_COMPLETED)
                is_told = telling.done() and telling.result()
                is_over = is_told or gone.done()
                telling.cancel()
                stop.cancel()
                is_cut = not is_over and _cut(receive)
                if not is_cut:
                    gone.cancel()
        if not (is_over or is_cut):
            self._left()

    async def _until_stop(self) -> None:
        """Until the server stops."""
        await self._stopping.wait()

    @abc.abstractmethod
    def _left(self) -> None:
        """The client waits for more, and the connection could not be cut."""

    @abc.abstractmethod
    async def _tell(self, send: Send) -> bool:
        """Whether the client has taken it all."""

    async def _write(self, send: Send, body: bytes, *, more: bool = True) -> None:
        await self._send(send, {"type": "http.response.body", "body": body, "more_body": more})

    async def _send(self, send: Send, message: Message) -> None:
        async with asyncio.timeout(self._patience):
            await send(message)


class EventStream(_Stream):
    """Events; a stream that breaks off says so in a comment, since its clients connect again.

    Whose right to listen `lapses` is cut off as well: that returns once he may not any more.
    """

    _source: Events

    def __init__(
        self,
        source: Events,
        headers: Mapping[str, str],
        patience: float,
        stopping: asyncio.Event,
        lapses: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        super().__init__(source, {**headers, "content-type": f"{TYPE}; charset=utf-8"}, patience, stopping)
        self._lapses = lapses

    async def _until_stop(self) -> None:
        """Or until the client may not listen any more."""
        if self._lapses is None:
            await self._stopping.wait()
            return
        either = [asyncio.ensure_future(self._stopping.wait()), asyncio.ensure_future(self._lapses())]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in either:
                each.cancel()

    def _left(self) -> None:
        """It connects again by itself."""

    async def _tell(self, send: Send) -> bool:
        try:
            await self._send(send, self._start)
            try:
                async for each in self._source:
                    await self._write(send, encoded(each))
                await self._write(send, CLOSE)
            except errors.Interrupted as interrupted:
                await self._write(send, encoded(str(interrupted)))
            except storage_errors.StorageError:
                await self._write(send, encoded("the database cannot be used now: connect again"))
            await self._write(send, b"", more=False)
        except TimeoutError:
            return False
        return True


class ByteStream(_Stream):
    """A file; one that breaks off is cut, without the chunk that would say that it is whole."""

    _source: Pieces

    async def _tell(self, send: Send) -> bool:
        try:
            await self._send(send, self._start)
            async for piece in self._source:
                if piece:
                    await self._write(send, piece)
            await self._write(send, b"", more=False)
        except (TimeoutError, errors.Interrupted, storage_errors.StorageError):
            return False
        return True

    def _left(self) -> None:
        # The server ends a connection whose answer its application has not finished.
        raise errors.Interrupted("the file could not be told to its end")


def _cut(receive: Receive) -> bool:
    """Ends the connection, with all that waits to be read there; False where the server does not let us.

    ASGI has no word for it. Of uvicorn's `receive` the transport is known, where nobody has wrapped it.
    """
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        return False
    transport.abort()
    return True


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def encoded(each: events.Event | str) -> bytes:
    """An event or a comment as it is sent."""
    if isinstance(each, str):
        return f": {escaped.one_line(' '.join(each.split()))}\n\n".encode()
    if not each.type:  # a mere place: readers keep its id, and tell nobody
        return f"id: {each.id}\n\n".encode()
    # A reader of text may end lines where a stream of events does not.
    data = "".join(f"data: {escaped.one_line(line)}\n" for line in _LINE_END.split(each.data))
    return f"id: {each.id}\nevent: {each.type}\n{data}\n".encode()
