"""Statements about queued upstream runs that are not ours; they may become ours once they run.

The list shows the newest runs first, so a run that has waited long is far down. Each such run is asked about by
its id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from storage.engine import dialect
from storage.tables.jobs import UNKNOWN_RUNS


@dataclass(frozen=True, slots=True)
class UnknownRun:
    """A row of `unknown_runs`."""

    upstream_id: str
    listed_at: datetime
    missing_since: datetime | None


def record(connection: Connection, upstream_ids: Sequence[str], now: datetime, ask_at: datetime) -> None:
    """Record runs that are queued at `now` and not ours; they are asked about at `ask_at`."""
    statement = dialect.insert(connection, UNKNOWN_RUNS)
    seen_again = {"ask_at": statement.excluded.ask_at, "missing_since": None}
    rows = [{"upstream_id": each, "listed_at": now, "ask_at": ask_at} for each in sorted(set(upstream_ids))]
    if rows:
        connection.execute(statement.on_conflict_do_update(index_elements=["upstream_id"], set_=seen_again), rows)


def postpone(connection: Connection, upstream_id: str, ask_at: datetime, missing_since: datetime | None) -> None:
    """Record that the upstream was asked about a run, which is asked about again at `ask_at`."""
    which = UNKNOWN_RUNS.c.upstream_id == upstream_id
    connection.execute(update(UNKNOWN_RUNS).where(which).values(ask_at=ask_at, missing_since=missing_since))


def remove(connection: Connection, upstream_ids: Sequence[str]) -> None:
    """Delete runs that have become ours or are gone."""
    connection.execute(delete(UNKNOWN_RUNS).where(UNKNOWN_RUNS.c.upstream_id.in_(upstream_ids)))


def due(connection: Connection, now: datetime, limit: int) -> list[UnknownRun]:
    """Return the runs to be asked about at `now`, the longest waiting first."""
    columns = UNKNOWN_RUNS.c
    oldest = select(columns.upstream_id, columns.listed_at, columns.missing_since).where(columns.ask_at <= now)
    return [UnknownRun(*row) for row in connection.execute(oldest.order_by(columns.ask_at).limit(limit))]
