"""Statements about notifications: the backend's message about a run's end, and its delivery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from storage.engine import dialect
from storage.tables.integrations import NOTIFICATIONS


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
    """One try. `status` is None where no answer came; `error` says why, or what was wrong with the answer."""

    at: datetime
    status: int | None
    error: str | None = None


def insert(connection: Connection, new: Notification) -> None:
    """Insert a notification unless the run has one."""
    row = {each.name: getattr(new, each.name) for each in fields(new)}
    connection.execute(dialect.insert(connection, NOTIFICATIONS).values(row).on_conflict_do_nothing())


def find(connection: Connection, run_id: str) -> Notification | None:
    """Return the notification of a run; None before it is prepared."""
    row = connection.execute(_BY_RUN, {"run_id": run_id}).first()
    return None if row is None else Notification(*row)


def remove(connection: Connection, run_id: str) -> None:
    """Delete the notification of an end that was left; the next end gets one of its own."""
    connection.execute(delete(NOTIFICATIONS).where(NOTIFICATIONS.c.run_id == run_id))


def mark_delivered(connection: Connection, run_id: str, attempt: Attempt) -> None:
    """Record that the backend accepted the notification."""
    _record_attempt(connection, run_id, attempt, {"delivered_at": attempt.at, "stopped_at": None})


def mark_failed(connection: Connection, run_id: str, attempt: Attempt) -> None:
    """Record that the backend did not accept the notification, which is tried again."""
    _record_attempt(connection, run_id, attempt, {"stopped_at": None})


def mark_stopped(connection: Connection, run_id: str, attempt: Attempt) -> None:
    """Record that the notification failed and is not tried again until an operator retries it."""
    _record_attempt(connection, run_id, attempt, {"stopped_at": attempt.at})


def _record_attempt(connection: Connection, run_id: str, attempt: Attempt, changes: dict[str, Any]) -> None:
    outcome = {"last_attempt_at": attempt.at, "last_status": attempt.status, "last_error": attempt.error}
    values = {**outcome, "attempts": NOTIFICATIONS.c.attempts + 1, **changes}
    connection.execute(update(NOTIFICATIONS).where(NOTIFICATIONS.c.run_id == run_id).values(values))


def resume(connection: Connection, run_ids: Sequence[str]) -> None:
    """Make stopped notifications eligible for another try."""
    connection.execute(update(NOTIFICATIONS).where(NOTIFICATIONS.c.run_id.in_(run_ids)).values(stopped_at=None))


_BY_RUN = select(*(NOTIFICATIONS.c[each.name] for each in fields(Notification))).where(
    NOTIFICATIONS.c.run_id == bindparam("run_id")
)
