"""The stream of a run's events: from the database where it was captured, else from the upstream."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator

from receiver import errors
from receiver.api import run_ids
from receiver.schemas import query_parameters
from receiver.web import authentication, operations, streaming
from storage.repositories import runs
from storage.repositories import stream_events as storage_stream_events

#: Events that are read from the database at once; each replay holds so many in memory.
PAGE = 32
#: The least seconds between two queries of a run's state.
LOOK = 0.1

Streaming = operations.Call[query_parameters.EventQuery, None]

_ID = re.compile(r"[0-9]{1,15}")


async def stream_events(call: Streaming) -> operations.Answer:
    """Answer with the events after an id, up to the end of the run."""
    after = _after(call)
    run = await _created(call)
    return operations.Answer(200, events=await _source(call, run, after))


def _after(call: Streaming) -> int:
    """Return the id to start after. The header wins: a client that connects again repeats its first query."""
    given = call.headers.getlist("last-event-id")
    if not given:
        return call.query.lastEventId or 0
    if len(given) > 1 or _ID.fullmatch(given[0]) is None:
        raise errors.BadHeader("Last-Event-ID", "must be the number of the last event that was received")
    return int(given[0])


async def _created(call: Streaming) -> runs.Run:
    """Return the run once the upstream knows it, so that a stream that is requested early starts with its run."""
    loop = asyncio.get_running_loop()
    until = loop.time() + call.timing.call
    while True:
        commit = call.database.next_commit()
        run = run_ids.require_exact_run(await call.database.read(runs.find, call.ids["id"]), call.ids["id"])
        left = until - loop.time()
        if run.upstream_id is not None or run.is_terminal:
            return run
        if left <= 0 or call.context.stopping.is_set() or await call.request.is_disconnected():
            raise errors.NotCreatedYet(run.id)
        # Commits of other processes are not announced here, so the state is polled as well.
        await asyncio.wait([commit], timeout=min(left, call.timing.poll))
        await asyncio.sleep(min(left, LOOK))


async def _source(call: Streaming, run: runs.Run, after: int) -> streaming.Events:
    if run.pruned_at is not None:
        raise errors.RunPruned(run.id)
    if run.captured_at is not None or run.upstream_id is None:
        return _stored(call, run, after)
    if call.context.listen is None:
        raise errors.StreamsUnavailable
    return await call.context.listen(run.upstream_id, after)


async def _stored(
    call: Streaming, run: runs.Run, after: int
) -> AsyncGenerator[storage_stream_events.Event | str, None]:
    """Yield the captured events, and a comment where some are missing."""
    while page := await call.database.read(storage_stream_events.read, run.id, after, PAGE):
        if call.context.stopping.is_set():
            raise errors.StreamInterrupted("the server stops: connect again")
        for event in page:
            yield event
        after = page[-1].id
    if run.capture_note is not None:
        yield f"not captured whole: {run.capture_note}"


_LAST_EVENT_ID = operations.Header(
    "Last-Event-ID", "The same as the parameter, which it overrides.", r"^\d{1,15}$"
)

OPERATIONS = (
    operations.Operation(
        "GET",
        "/v1/runs/{id}/events",
        "The events of a run, live or replayed",
        stream_events,
        {200: "text/event-stream"},
        authentication.Scope.READ,
        query=query_parameters.EventQuery,
        headers=(_LAST_EVENT_ID,),
        problems=(409, 410, 502),
    ),
)
