"""The stream of a run's events: from the database where it was captured, else from the upstream."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from receiver import errors
from receiver.schemas import query_parameters
from receiver.web import operations, run_ids, streaming
from receiver.web.authentication import Scope
from storage.repositories import runs
from storage.repositories import stream_events as storage_stream_events

#: Events that are read from the database at once, which each replay holds in memory.
PAGE = 32

Streaming = operations.Call[query_parameters.EventQuery, None]

router = operations.Router("runs")
_LAST_EVENT_ID = operations.Header(
    "Last-Event-ID", "The same as the parameter, which it overrides.", r"^\d{1,15}$"
)


@router.operation(
    "GET",
    "/v1/runs/{id}/events",
    "Stream the events of a run, live or replayed",
    {200: "text/event-stream"},
    Scope.READ,
    headers=(_LAST_EVENT_ID,),
    problems=(409, 410, 502),
)
async def stream_events(call: Streaming) -> operations.Answer:
    """Answer with the events after an id, up to the end of the run."""
    rule = "must be the number of the last event that was received"
    given = call.header(_LAST_EVENT_ID.name, _LAST_EVENT_ID.pattern, rule)
    # The header wins: a client that connects again repeats its first query.
    after = int(given) if given is not None else call.query.lastEventId or 0
    run = await _created(call)
    return operations.Answer(200, events=await _source(call, run, after))


async def _created(call: Streaming) -> runs.Run:
    """Return the run once the upstream knows it, so that a stream that is requested early starts with its run."""

    async def find() -> runs.Run:
        return run_ids.require_exact_run(await call.database.read(runs.find, call.ids["id"]), call.ids["id"])

    run = await call.until(find, lambda run: run.upstream_id is not None or run.is_terminal, call.timing.call)
    if run.upstream_id is None and not run.is_terminal:
        raise errors.NotCreatedYet(run.id)
    return run


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
