"""Read the stream of a run's events. An unusable event is skipped and counted, never raised."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncGenerator, Callable
from typing import cast

import httpx2 as httpx

from receiver import errors
from receiver.upstream import routes
from storage import states
from storage.repositories import stream_events

#: Bytes of an event's data; larger data is left out.
DATA_LIMIT = 256 * 1024
#: Bytes of an event that are read; a larger event breaks the stream.
EVENT_LIMIT = 8 * 1024 * 1024
#: The types that report a run's end, and the one that ends a replay.
ENDS = frozenset(f"run.{status}" for status in states.REPORTED)
CLOSE = "close"

_ID = re.compile(r"[0-9]{1,15}", re.ASCII)
_TYPE = re.compile(r"[\x21-\x7e]{1,100}")


async def read(
    response: httpx.Response, after: int, skipped: Callable[[str], None]
) -> AsyncGenerator[stream_events.Event, None]:
    """Yield the events of an answer after the id `after`, up to the run's end.

    `skipped` is called with the reason of each event that is left out. Ids grow; an event whose id does not is a
    "repeat". Raises UpstreamUnreachable where the stream ends before the run does, and the client's errors where
    it breaks.
    """
    response.encoding = "utf-8"  # an event stream is always UTF-8, whatever its header says
    source = httpx.EventSource(response, max_event_size=EVENT_LIMIT)
    # The library's type is an iterator, but the object is a generator that must be closed.
    every = cast("AsyncGenerator[httpx.ServerSentEvent, None]", aiter(source))
    async with contextlib.aclosing(every) as found:
        async for each in found:
            if each.event == CLOSE:
                return
            data = _bounded(each)
            fault = _fault(each, data)
            if fault is not None:
                skipped(fault)
                continue
            if int(each.id) > after:
                after = int(each.id)
                yield stream_events.Event(after, each.event, data)
            else:
                skipped("repeat")
            if each.event in ENDS:
                return
    raise errors.UpstreamUnreachable(routes.EVENTS, "the stream ended before its run")


def _fault(each: httpx.ServerSentEvent, data: str) -> str | None:
    """Return why an event cannot be used, in a word.

    Its data is bounded before: parsing megabytes would block the event loop.
    """
    if _ID.fullmatch(each.id) is None:
        return "id"
    if _TYPE.fullmatch(each.event) is None:
        return "type"
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return "data"
    return None


def _bounded(each: httpx.ServerSentEvent) -> str:
    """Return the data; of data that is too large only its type and size."""
    size = len(each.data.encode())
    return each.data if size <= DATA_LIMIT else json.dumps({"type": each.event, "cutOut": True, "bytes": size})
