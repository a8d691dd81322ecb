"""Statements about notifications: what the backend is told of a run's end, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from storage import dialect
from storage.tables import NOTIFICATIONS


@dataclass(frozen=True, slots=True)
class Notification:
    """A row of `notifications`. `event_id` and `body` are the same in every attempt."""

    run_id: str
    event_id: str
    body: bytes
    created_at: datetime
    attempts: int = 0
    last_attempt_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None
    delivered_at: datetime | None = None
    stopped_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try. `status` is None where no answer came; `error` says why it was none, or what was odd about it."""

    at: datetime
    status: int | None
    error: str | None = None


def insert(connection: Connection, new: Notification) -> None:
    """A new one, unless the run has one."""
    row = {each.name: getattr(new, each.name) for each in fields(new)}
    connection.execute(dialect.insert(connection, NOTIFICATIONS).values(row).on_conflict_do_nothing())


def find(connection: Connection, run_id: str) -> Notification | None:
    """The notification of a run; None while none was prepared."""
    row = connection.execute(_BY_RUN, {"run_id": run_id}).first()
    return None if row is None else Notification(*row)


def forget(connection: Connection, run_id: str) -> None:
    """The end that was told is none any more: the next one has a notification of its own."""
    connection.execute(delete(NOTIFICATIONS).where(NOTIFICATIONS.c.run_id == run_id))


def delivered(connection: Connection, run_id: str, attempt: Attempt) -> None:
    """The backend took it."""
    _tried(connection, run_id, attempt, {"delivered_at": attempt.at, "stopped_at": None})


def missed(connection: Connection, run_id: str, attempt: Attempt) -> None:
    """The backend did not take it; it is tried again."""
    _tried(connection, run_id, attempt, {"stopped_at": None})


def stopped(connection: Connection, run_id: str, attempt: Attempt) -> None:
    """The backend did not take it, and is not asked again until somebody wishes so."""
    _tried(connection, run_id, attempt, {"stopped_at": attempt.at})


def _tried(connection: Connection, run_id: str, attempt: Attempt, changes: dict[str, Any]) -> None:
    told = {"last_attempt_at": attempt.at, "last_status": attempt.status, "last_error": attempt.error}
    tried = {**told, "attempts": NOTIFICATIONS.c.attempts + 1, **changes}
    connection.execute(update(NOTIFICATIONS).where(NOTIFICATIONS.c.run_id == run_id).values(tried))


def resume(connection: Connection, run_ids: Sequence[str]) -> None:
    """Those that were stopped are tried again."""
    connection.execute(update(NOTIFICATIONS).where(NOTIFICATIONS.c.run_id.in_(run_ids)).values(stopped_at=None))


_BY_RUN = select(*(NOTIFICATIONS.c[each.name] for each in fields(Notification))).where(
    NOTIFICATIONS.c.run_id == bindparam("run_id")
)
