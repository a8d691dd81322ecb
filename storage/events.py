"""Statements about the events of runs' streams: those that were captured, to be replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from storage import dialect
from storage.tables import RUN_EVENTS

#: Events of one run that are kept at most, and the characters of their data.
MOST = 50_000
MOST_DATA = 64 << 20
#: The comment that whoever listens hears where nothing happened for a while.
HEARTBEAT = "heartbeat"


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a run's stream. `id` is the upstream's number within the run: it grows, with gaps."""

    id: int
    type: str
    data: str


@dataclass(frozen=True, slots=True)
class Held:
    """What is stored of a run's stream: up to which id (0 for nothing), how many events, how much data."""

    last: int
    count: int
    size: int

    def grown(self, more: Sequence[Event]) -> Held:
        """What is stored with `more` of it, which is not empty."""
        return Held(more[-1].id, self.count + len(more), self.size + sum(len(each.data) for each in more))

    @property
    def is_full(self) -> bool:
        """Whether no more is kept."""
        return self.count >= MOST or self.size >= MOST_DATA


def place(number: int) -> Event:
    """No event at all, but an id for who connects again."""
    return Event(number, "", "")


def held(connection: Connection, run_id: str) -> Held:
    """How far the stream of a run is stored."""
    row = RUN_EVENTS.c
    sums = select(func.max(row.event_id), func.count(), func.sum(func.length(row.data)))
    last, count, size = connection.execute(sums.where(row.run_id == run_id)).one()
    return Held(last or 0, count, int(size or 0))


def add(connection: Connection, run_id: str, found: Sequence[Event], now: datetime) -> None:
    """Stores events that came at `now`; an id that is there already stays as it is."""
    rows = [
        {"run_id": run_id, "event_id": each.id, "type": each.type, "received_at": now, "data": each.data}
        for each in found
    ]
    if rows:
        connection.execute(dialect.insert(connection, RUN_EVENTS).on_conflict_do_nothing(), rows)


def read(connection: Connection, run_id: str, after: int, limit: int) -> list[Event]:
    """Up to `limit` events behind the id `after`, in their order."""
    row = RUN_EVENTS.c
    wanted = select(row.event_id, row.type, row.data).where(row.run_id == run_id, row.event_id > after)
    return [Event(*each) for each in connection.execute(wanted.order_by(row.event_id).limit(limit))]
