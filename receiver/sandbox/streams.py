"""The answer of /agent/v1/run/{id}/events: a run's events live or as a replay, and everything that can go wrong.

Ids grow with gaps and follow from the run alone: a live reader and a later replay see the same ids with the same
contents. The events of a run's end come only once it has ended.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import random
from collections.abc import Iterator

from starlette.types import Receive, Scope, Send

from receiver.sandbox import faults, messages, state, transcript

_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_CLOSE = b'event: close\ndata: {"type":"close"}\n\n'
#: Parts of a message that is written in several events.
_PARTS = 3


@dataclasses.dataclass(frozen=True)
class Event:
    """An event at a share of the run's duration; `id` is 0 until it has happened."""

    moment: float
    type: str
    data: messages.Object
    id: int = 0


class Stream:
    """One stream as an ASGI answer. The connection is cut where it returns before its last message."""

    def __init__(self, world: state.World, stopped: asyncio.Event, run: state.Run, after: int) -> None:
        self._world = world
        self._stopped = stopped
        self._run = run
        forgotten = _happened(run, self._now)[: -self._switches.stream_kept or None]
        self._last = max(after, forgotten[-1].id if forgotten else 0)
        self._sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the run's end, the client's disconnect or the sandbox's stop, whichever is first."""
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        async with asyncio.TaskGroup() as group:
            endings = (self._write_all(send), _disconnected(receive), self._stopped.wait())
            tasks: list[asyncio.Task[object]] = [group.create_task(ending) for ending in endings]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()

    @property
    def _switches(self) -> faults.Faults:
        return self._world.injector.faults

    @property
    def _now(self) -> float:
        return self._world.clock()

    async def _write_all(self, send: Send) -> None:
        is_replay, continues = self._run.ended, True
        while continues:
            # Read before the events: a change that comes after them is seen in the next turn.
            changed, continues = self._run.changed, not self._run.ended
            for event in _happened(self._run, self._now):
                if event.id > self._last and not await self._write_event(send, event):
                    return
            if continues:
                await self._wait(send, changed)
        if is_replay:
            await self._write(send, _CLOSE)
        if self._switches.stream_stays_open:
            await asyncio.Event().wait()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write_event(self, send: Send, event: Event) -> bool:
        """Write an event, unless the switches end or stall the stream here; return whether it continues."""
        switches = self._switches
        if switches.stream_cut_after and self._sent >= switches.stream_cut_after:
            return False
        if switches.stream_stall_after and self._sent >= switches.stream_stall_after:
            await asyncio.Event().wait()
        await asyncio.sleep(switches.stream_delay)
        for piece in _junk(event.id) if switches.stream_junk else ():
            await self._write(send, piece)
        for _ in range(1 + switches.stream_repeats):
            if not await self._write(send, self._encoded(event)):
                return False
        self._last, self._sent = event.id, self._sent + 1
        return True

    def _encoded(self, event: Event) -> bytes:
        padding = self._switches.stream_padding
        data = {"type": event.type, "runId": self._run.id, **event.data}
        data |= {"padding": "x" * padding} if padding else {}
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, event.type.encode(), messages.encoded(data))

    async def _wait(self, send: Send, changed: asyncio.Event) -> None:
        """Wait until something may have happened; write a comment where the heartbeat comes first."""
        beat, due = self._switches.stream_heartbeat or None, _until_next(self._run, self._now)
        waits = [wait for wait in (beat, due) if wait is not None]
        try:
            await asyncio.wait_for(changed.wait(), min(waits, default=None))
        except TimeoutError:
            if beat is not None and (due is None or beat < due):
                await self._write(send, b": heartbeat\n\n")

    async def _write(self, send: Send, piece: bytes) -> bool:
        """Write bytes; return False where the reader did not take them in time, which cuts the connection."""
        try:
            async with asyncio.timeout(self._switches.stream_slow_reader or None):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except TimeoutError:
            return False
        return True


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _junk(id: int) -> Iterator[bytes]:
    """Yield what no reader can use, some of it under the id of the good event that follows."""
    yield b": \xff\xfe no UTF-8\nnonsense\nretry: soon\n\n"
    yield b'id: eleven\nevent: message.updated\ndata: {"type":"message.updated"}\n\n'
    yield b'id: -%d\nevent: message.updated\ndata: {"type":"message.updated"}\n\n' % id
    yield b'id: %d\nevent: message.updated\ndata: {"type":"message.upd\n\n' % id
    yield b'id: %d\nevent: \x07bell\ndata: {"type":"bell"}\n\n' % id
    yield b"id: %d\nevent: message.updated\n\n" % id


def _happened(run: state.Run, now: float) -> list[Event]:
    """Return all events of a run until now, oldest first; none before it is started."""
    share = run.share(now)
    events = [event for event in _planned(run) if event.moment <= share] if run.started_at is not None else []
    events += _ending(run) if run.ended else []
    rng = random.Random(f"{run.id}:events")
    ids = itertools.accumulate(rng.randint(1, 9) for _ in events)
    return [dataclasses.replace(event, id=id) for event, id in zip(events, ids, strict=True)]


def _until_next(run: state.Run, now: float) -> float | None:
    """Return the seconds until the next event that comes by itself; None where only the run's end is to come."""
    if run.started_at is None or run.ended:
        return None
    moments = [event.moment for event in _planned(run) if event.moment > run.share(now)]
    return max(0.0, run.started_at + moments[0] * run.seconds - now) if moments else None


def _planned(run: state.Run) -> list[Event]:
    """Return everything but the end. The output is part of the end: a run that fails never writes it."""
    session: messages.Object = {"sessionId": run.transcript.runtime_id}
    events = [
        Event(0.0, "session.created", session),
        Event(0.0, "session.updated", {**session, "status": "busy"}),
        Event(0.0, "message.updated", {"message": {"role": "user", "text": run.prompt[:200]}}),
    ]
    for step in run.transcript.steps[:-1]:
        events += _of_step(step)
    return events


def _of_step(step: transcript.Step) -> Iterator[Event]:
    fields = step.fields
    about = {"callId": fields["id"], "tool": fields["toolName"]}
    if fields["type"] == "tool_call":
        yield Event(step.moment, "tool.started", {**about, "input": fields["toolInput"]})
    elif fields["type"] == "tool_result":
        yield Event(step.moment, "tool.completed", {**about, "output": fields["toolOutput"]})
    else:
        yield from _message(fields["id"], step.moment, fields["content"])


def _message(id: str, moment: float, text: str) -> Iterator[Event]:
    """Yield a text in parts, as it is written, and then the whole message."""
    size = len(text) // _PARTS + 1
    for start in range(0, len(text), size):
        part = {"messageId": id, "type": "text", "text": text[start : start + size]}
        yield Event(moment, "message.part.updated", {"part": part})
    yield Event(moment, "message.updated", {"message": {"id": id, "role": "assistant"}})


def _ending(run: state.Run) -> list[Event]:
    """Return the events of the run's end; the last is the synthetic event of the service itself."""
    events: list[Event] = []
    if run.status == "completed":
        events += _message(run.transcript.steps[-1].fields["id"], 1.0, run.transcript.output)
    if run.status == "failed":
        events.append(Event(1.0, "session.error", {"error": {"message": run.transcript.failure}}))
    if run.started_at is not None:
        events.append(Event(1.0, "session.idle", {"sessionId": run.transcript.runtime_id}))
    return [*events, Event(1.0, f"run.{run.status}", messages.shown(run, "status", "completed_at"))]
