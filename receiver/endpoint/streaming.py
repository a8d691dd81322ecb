"""A stream of events as an answer: text/event-stream, as the WHATWG's HTML standard defines it (9.2)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from starlette.types import Receive, Scope, Send

from receiver import errors
from storage import errors as storage_errors
from storage import events

#: The event after the last one: who reads on would only connect again.
CLOSE = b'event: close\ndata: {"type":"close"}\n\n'


class Events(Protocol):
    """Where events come from; a text among them is a comment. Raises Interrupted where it ends too early."""

    def __aiter__(self) -> AsyncIterator[events.Event | str]: ...
    async def __anext__(self) -> events.Event | str: ...
    async def aclose(self) -> None: ...


class EventStream:
    """Sends what comes until it ends, the client hangs up, or has taken nothing for `patience` seconds."""

    def __init__(self, source: Events, headers: Mapping[str, str], patience: float) -> None:
        # Proxies that buffer would hold events back until there are many of them.
        own = {"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}
        self._headers = [(name.encode(), value.encode()) for name, value in {**headers, **own}.items()]
        self._source = source
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._source):
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
                return
            async with asyncio.TaskGroup() as group:
                telling = group.create_task(self._tell(send))
                watching = group.create_task(_hung_up(receive))
                await asyncio.wait([telling, watching], return_when=asyncio.FIRST_COMPLETED)
                telling.cancel()
                watching.cancel()

    async def _tell(self, send: Send) -> None:
        with contextlib.suppress(TimeoutError):
            try:
                async for each in self._source:
                    await self._send(send, encoded(each))
                await self._send(send, CLOSE)
            except errors.Interrupted as interrupted:
                await self._send(send, encoded(str(interrupted)))
            except storage_errors.StorageError:
                await self._send(send, encoded("the database cannot be used now: connect again"))
            await self._send(send, b"", more=False)

    async def _send(self, send: Send, body: bytes, *, more: bool = True) -> None:
        async with asyncio.timeout(self._patience):
            await send({"type": "http.response.body", "body": body, "more_body": more})


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def encoded(each: events.Event | str) -> bytes:
    """An event or a comment as it is sent."""
    if isinstance(each, str):
        return f": {each}\n\n".encode()
    data = "".join(f"data: {line}\n" for line in each.data.split("\n"))
    return f"id: {each.id}\nevent: {each.type}\n{data}\n".encode()
