"""The changes of a list of runs as a stream: rows that changed, and how many runs are new."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from receiver.streams import subscribers
from storage.engine.database import Database, Snapshot
from storage.query import grammar, run_lines, run_pages
from storage.repositories import stream_events

#: Up to how many new runs are counted.
MAX_NEW = 1000
#: The least time between two messages, as a part of that between two heartbeats: a browser needs ten milliseconds
#: for each of them, however little it changes, and nobody reads a list that changes every second.
PACE = 0.2


@dataclass(frozen=True, slots=True)
class Shown:
    """The runs that a page shows: their least and greatest key, and whether newer runs belong above them."""

    low: int
    high: int
    is_first: bool


@dataclass(eq=False)
class Rows:
    """The source of a stream: what `subscriber` reports, as markup. `aclose` ends the subscription.

    `expression` is made anew for each change, since ages count from then. `render` makes the markup of lines and
    the number of new runs, which is None where it did not change.
    """

    subscriber: subscribers.Subscriber
    database: Database
    shown: Shown
    expression: Callable[[], grammar.Expression]
    render: Callable[[Sequence[run_lines.Line], int | None], str]
    _new: int = 0
    _earliest: float = 0.0
    _waiting: list[stream_events.Event | str] = field(default_factory=list)

    def __aiter__(self) -> Rows:
        return self

    async def __anext__(self) -> stream_events.Event | str:
        """Return the next message, which has several changes where they came together."""
        if not self._waiting:
            self._waiting = await self._next()
        return self._waiting.pop(0)

    async def aclose(self) -> None:
        await self.subscriber.aclose()

    async def _next(self) -> list[stream_events.Event | str]:
        await self._pause()
        events = await self.subscriber.batch()
        changes = [each for each in events if isinstance(each, stream_events.Event) and each.data]
        if not changes:
            return events
        run_ids = sorted({run_id for each in changes if (run_id := json.loads(each.data).get("run"))})
        lines, new = await self.database.timed_read(lambda connection: self._read(Snapshot(connection), run_ids))
        number = changes[-1].id
        if not lines and new == self._new:
            return [stream_events.resume_point(number)]
        markup = self.render(lines, None if new == self._new else new)
        self._new = new
        self._earliest = asyncio.get_running_loop().time() + PACE * self.subscriber.timing.stream_heartbeat
        return [stream_events.Event(number, "", markup)]

    async def _pause(self) -> None:
        """Wait until the next message may be sent, or the server stops."""
        seconds = self._earliest - asyncio.get_running_loop().time()
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.subscriber.stopping.wait(), seconds)

    def _read(self, store: Snapshot, run_ids: Sequence[str]) -> tuple[Sequence[run_lines.Line], int]:
        lines = store.read(run_lines.changed, run_ids, self.shown.low, self.shown.high)
        if not self.shown.is_first:
            return lines, 0
        return lines, store.read(run_pages.count_newer, self.expression(), self.shown.high, MAX_NEW)
