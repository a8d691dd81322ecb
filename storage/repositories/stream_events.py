"""Statements about captured events of runs' streams, from which a stream is replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from storage.engine import dialect
from storage.tables.runs import RUN_EVENTS

#: Limits per run: the number of stored events, and the characters of their data.
MAX_EVENTS = 50_000
MAX_DATA = 64 << 20
#: The comment that a stream sends when nothing has happened for a while.
HEARTBEAT = "heartbeat"


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a run's stream. `id` is the upstream's number within the run: it grows, with gaps."""

    id: int
    type: str
    data: str


@dataclass(frozen=True, slots=True)
class StoredStream:
    """The stored part of a stream: the last id (0 for none), the number of events, the characters of data."""

    last: int
    count: int
    size: int

    def with_events(self, more: Sequence[Event]) -> StoredStream:
        """Return the sums after `more` events, of which there is at least one."""
        return StoredStream(more[-1].id, self.count + len(more), self.size + sum(len(each.data) for each in more))

    @property
    def is_full(self) -> bool:
        """Return whether a limit is reached, so that no further events are stored."""
        return self.count >= MAX_EVENTS or self.size >= MAX_DATA


def resume_point(number: int) -> Event:
    """Return an empty event that only carries an id, from which a client resumes."""
    return Event(number, "", "")


def stored_stream(connection: Connection, run_id: str) -> StoredStream:
    """Return how much of a run's stream is stored."""
    row = RUN_EVENTS.c
    totals = select(func.max(row.event_id), func.count(), func.sum(func.length(row.data)))
    last, count, size = connection.execute(totals.where(row.run_id == run_id)).one()
    return StoredStream(last or 0, count, int(size or 0))


def add(connection: Connection, run_id: str, found: Sequence[Event], now: datetime) -> None:
    """Store events that arrived at `now`; an event whose id is stored already stays unchanged."""
    rows = [
        {"run_id": run_id, "event_id": each.id, "type": each.type, "received_at": now, "data": each.data}
        for each in found
    ]
    if rows:
        connection.execute(dialect.insert(connection, RUN_EVENTS).on_conflict_do_nothing(), rows)


def read(connection: Connection, run_id: str, after: int, limit: int) -> list[Event]:
    """Return up to `limit` events behind the id `after`, in order."""
    row = RUN_EVENTS.c
    selected = select(row.event_id, row.type, row.data).where(row.run_id == run_id, row.event_id > after)
    return [Event(*each) for each in connection.execute(selected.order_by(row.event_id).limit(limit))]
