"""Reading the stream of a run's events. What cannot be used is passed over and counted, never raised."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncGenerator, Callable
from typing import cast

import httpx2 as httpx

from receiver import errors
from receiver.upstream import routes
from storage import events, states

#: Bytes of an event's data; a larger one is passed on without it.
DATA_LIMIT = 256 * 1024
#: Bytes of an event that are read at all: one that is larger breaks the stream.
EVENT_LIMIT = 8 * 1024 * 1024
#: The types that tell a run's end, and the one that ends a replay.
ENDS = frozenset(f"run.{status}" for status in states.REPORTED)
CLOSE = "close"

_ID = re.compile(r"[0-9]{1,15}", re.ASCII)
_TYPE = re.compile(r"[\x21-\x7e]{1,100}")


async def read(
    response: httpx.Response, after: int, skipped: Callable[[str], None]
) -> AsyncGenerator[events.Event, None]:
    """The events of an answer behind the id `after`, up to the run's end; `skipped` hears why one was passed over.

    Their ids grow: one that does not is a "repeat".
    Raises NoAnswer where the stream ends before the run does, and what the client raises where it breaks.
    """
    response.encoding = "utf-8"  # a stream of events is nothing else, whatever its header says
    source = httpx.EventSource(response, max_event_size=EVENT_LIMIT)
    # It is a generator, whatever the library calls it, and left open at the end.
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
                yield events.Event(after, each.event, data)
            else:
                skipped("repeat")
            if each.event in ENDS:
                return
    raise errors.NoAnswer(routes.EVENTS, "the stream ended before its run")


def _fault(each: httpx.ServerSentEvent, data: str) -> str | None:
    """Why an event cannot be used, in a word. Data comes bounded: to parse megabytes would hold up the house."""
    if _ID.fullmatch(each.id) is None:
        return "id"
    if _TYPE.fullmatch(each.event) is None:
        return "type"
    return None if _is_json(data) else "data"


def _is_json(data: str) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _bounded(each: httpx.ServerSentEvent) -> str:
    """The data as it came; of one that is too large what it was and how large."""
    size = len(each.data.encode())
    return each.data if size <= DATA_LIMIT else json.dumps({"type": each.event, "cutOut": True, "bytes": size})
