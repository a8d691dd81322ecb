"""The stream of a run's events: from the database where it was captured, else through us from the upstream."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator

from receiver import access, endpoint, errors, shapes
from receiver.api import naming
from storage import events, runs

#: Events that are read from the database at once: what each reader of a replay holds in memory.
PAGE = 32
#: The least seconds between two looks at a run.
LOOK = 0.1

Streaming = endpoint.Call[shapes.EventQuery, None]

_ID = re.compile(r"[0-9]{1,15}")


async def stream_events(call: Streaming) -> endpoint.Answer:
    """The events behind an id, up to the end of the run."""
    after = _after(call)
    run = await _known(call)
    return endpoint.Answer(200, events=await _source(call, run, after))


def _after(call: Streaming) -> int:
    """The header wins: a client that connects again keeps the query of its first call."""
    given = call.headers.getlist("last-event-id")
    if not given:
        return call.query.lastEventId or 0
    if len(given) > 1 or _ID.fullmatch(given[0]) is None:
        raise errors.BadHeader("Last-Event-ID", "is the number of the last event that was received")
    return int(given[0])


async def _known(call: Streaming) -> runs.Run:
    """The run, as soon as the upstream knows it: a stream that is asked for early begins with its run."""
    loop = asyncio.get_running_loop()
    until = loop.time() + call.timing.call
    while True:
        commit = call.database.next_commit()
        run = naming.itself(await call.database.read(runs.find, call.ids["id"]), call.ids["id"])
        left = until - loop.time()
        if run.upstream_id is not None or run.is_terminal:
            return run
        if left <= 0 or call.context.stopping.is_set() or await call.request.is_disconnected():
            raise errors.NotCreatedYet(run.id)
        # Another process commits unheard, so there is a look now and then in any case.
        await asyncio.wait([commit], timeout=min(left, call.timing.poll))
        await asyncio.sleep(min(left, LOOK))


async def _source(call: Streaming, run: runs.Run, after: int) -> endpoint.Events:
    if run.pruned_at is not None:
        raise errors.Pruned(run.id)
    if run.captured_at is not None or run.upstream_id is None:
        return _stored(call, run, after)
    if call.context.listen is None:
        raise errors.NotFollowed
    return await call.context.listen(run.upstream_id, after)


async def _stored(call: Streaming, run: runs.Run, after: int) -> AsyncGenerator[events.Event | str, None]:
    """What was captured; with a word where that is not all."""
    while page := await call.database.read(events.read, run.id, after, PAGE):
        if call.context.stopping.is_set():
            raise errors.Interrupted("the server stops: connect again")
        for event in page:
            yield event
        after = page[-1].id
    if run.capture_note is not None:
        yield f"not captured whole: {run.capture_note}"


_LAST = endpoint.Header("Last-Event-ID", "As the parameter; it wins.", r"^\d{1,15}$")

OPERATIONS = (
    endpoint.Operation(
        "GET",
        "/v1/runs/{id}/events",
        "The events of a run as they happen, or again",
        stream_events,
        {200: "text/event-stream"},
        access.Scope.READ,
        query=shapes.EventQuery,
        headers=(_LAST,),
        problems=(409, 410, 502),
    ),
)
