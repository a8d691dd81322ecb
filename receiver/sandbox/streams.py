"""The handler of /agent/v1/run/{id}/events: a run's events as they happen, or again, and all that can go wrong."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from receiver.sandbox import answers, faults, house, progress, world

_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_CLOSE = b'event: close\ndata: {"type":"close"}\n\n'


class Streams:
    """Stream the events of runs."""

    def __init__(self, parts: house.House) -> None:
        self._house = parts

    async def events(self, request: Request) -> Stream:
        run = self._house.world.run(request.path_params["id"])
        return Stream(self._house, run, _after(request))


def _after(request: Request) -> int:
    """The header wins: a client that connects again keeps the query of its first call."""
    given = request.headers.get("last-event-id") or request.query_params.get("lastEventId") or "0"
    if not re.fullmatch(r"[0-9]{1,15}", given):
        raise answers.Refusal(400, "lastEventId must be an integer")
    return int(given)


class Stream:
    """One stream as an ASGI answer. Where it returns before the last message the gate cuts the connection."""

    def __init__(self, parts: house.House, run: world.Run, after: int) -> None:
        self._house = parts
        self._run = run
        self._last = max(after, self._forgotten())
        self._sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tells until the end, the client's hanging up, or the sandbox's stop, whichever is first."""
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        async with asyncio.TaskGroup() as group:
            ways = [
                group.create_task(self._tell(send)),
                group.create_task(_hung_up(receive)),
                group.create_task(self._house.stopped.wait()),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()

    @property
    def _switches(self) -> faults.Faults:
        return self._house.chaos.faults

    def _forgotten(self) -> int:
        """The id of the last event that is not kept for a replay any more."""
        known = progress.happened(self._run, self._house.world.clock())
        lost = len(known) - self._switches.stream_kept
        return known[lost - 1].id if lost > 0 else 0

    async def _tell(self, send: Send) -> None:
        is_replay, goes_on = self._run.ended, True
        while goes_on:
            # Taken before the look: what happens after it is seen in the next turn.
            changed, goes_on = self._run.changed, not self._run.ended
            for event in progress.happened(self._run, self._house.world.clock()):
                if event.id > self._last and not await self._event(send, event):
                    return
            if goes_on:
                await self._wait(send, changed)
        if is_replay:
            await self._write(send, _CLOSE)
        if self._switches.stream_stays_open:
            await _forever()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _event(self, send: Send, event: progress.Event) -> bool:
        """Sends an event, unless the switches would have the stream end or stall here; whether it goes on."""
        switches = self._switches
        if switches.stream_cut_after and self._sent >= switches.stream_cut_after:
            return False
        if switches.stream_stall_after and self._sent >= switches.stream_stall_after:
            await _forever()
        await asyncio.sleep(switches.stream_delay)
        if switches.stream_junk:
            for piece in _junk(event):
                await self._write(send, piece)
        for _ in range(1 + switches.stream_repeats):
            if not await self._write(send, _encoded(event, switches.stream_padding)):
                return False
        self._last, self._sent = event.id, self._sent + 1
        return True

    async def _wait(self, send: Send, changed: asyncio.Event) -> None:
        """Until something may have happened; says with a comment now and then that the stream lives."""
        beat = self._switches.stream_heartbeat or None
        due = progress.until_next(self._run, self._house.world.clock())
        waits = [wait for wait in (beat, due) if wait is not None]
        try:
            await asyncio.wait_for(changed.wait(), min(waits, default=None))
        except TimeoutError:
            if beat is not None and (due is None or beat < due):
                await self._write(send, b": heartbeat\n\n")

    async def _write(self, send: Send, piece: bytes) -> bool:
        """False where the reader did not take it in time: who reads too slowly is cut off."""
        try:
            async with asyncio.timeout(self._switches.stream_slow_reader or None):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except TimeoutError:
            return False
        return True


async def _forever() -> None:
    """Until the client or the sandbox goes."""
    await asyncio.Event().wait()


async def _hung_up(receive: Receive) -> None:
    message: Message = {"type": "http.request"}
    while message["type"] != "http.disconnect":
        message = await receive()


def _encoded(event: progress.Event, padding: int) -> bytes:
    data = {**event.data, "padding": "x" * padding} if padding else event.data
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, event.type.encode(), answers.encoded(data))


def _junk(event: progress.Event) -> Iterator[bytes]:
    """What no reader can use, some of it under the id of the good event that follows."""
    yield b": \xff\xfe no UTF-8\nnonsense\nretry: soon\n\n"
    yield b'id: eleven\nevent: message.updated\ndata: {"type":"message.updated"}\n\n'
    yield b'id: -%d\nevent: message.updated\ndata: {"type":"message.updated"}\n\n' % event.id
    yield b'id: %d\nevent: message.updated\ndata: {"type":"message.upd\n\n' % event.id
    yield b'id: %d\nevent: \x07bell\ndata: {"type":"bell"}\n\n' % event.id
    yield b"id: %d\nevent: message.updated\n\n" % event.id
