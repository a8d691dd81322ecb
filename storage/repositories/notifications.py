"""Statements about notifications: the backend's message about a run's end, and its delivery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from storage.engine import dialect, prepared
from storage.tables import declare
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
    row = declare.row(NOTIFICATIONS, new)
    connection.execute(dialect.insert(connection, NOTIFICATIONS).values(row).on_conflict_do_nothing())


def find(connection: Connection, run_id: str) -> Notification | None:
    """Return the notification of a run; None before it is prepared."""
    row = _BY_RUN.first(connection, {"run_id": run_id})
    return None if row is None else Notification(*row)


def is_erased(connection: Connection, run_id: str) -> bool:
    """Return whether the body of a run's notification was erased: it cannot be sent again."""
    found = find(connection, run_id)
    return found is not None and not found.body


def remove(connection: Connection, run_id: str) -> None:
    """Delete the notification of an adoption that was reopened; the next end gets a new one."""
    connection.execute(delete(NOTIFICATIONS).where(NOTIFICATIONS.c.run_id == run_id))


def record_attempt(
    connection: Connection, run_id: str, attempt: Attempt, *, delivered: bool = False, stopped: bool = False
) -> None:
    """Record an attempt: the backend accepted it (`delivered`), or it was the last until a retry (`stopped`)."""
    outcome = {"last_attempt_at": attempt.at, "last_status": attempt.status, "last_error": attempt.error}
    values: dict[str, Any] = {**outcome, "attempts": NOTIFICATIONS.c.attempts + 1}
    values["stopped_at"] = attempt.at if stopped else None
    if delivered:
        values["delivered_at"] = attempt.at
    connection.execute(update(NOTIFICATIONS).where(NOTIFICATIONS.c.run_id == run_id).values(values))


def resume(connection: Connection, run_ids: Sequence[str]) -> None:
    """Make stopped notifications eligible for another try."""
    connection.execute(update(NOTIFICATIONS).where(NOTIFICATIONS.c.run_id.in_(run_ids)).values(stopped_at=None))


def reset(connection: Connection, run_id: str) -> None:
    """Make the notification of a run eligible for another try, also one that was delivered."""
    eligible = {"stopped_at": None, "delivered_at": None}
    connection.execute(update(NOTIFICATIONS).where(NOTIFICATIONS.c.run_id == run_id).values(eligible))


_ALL = select(*(NOTIFICATIONS.c[each.name] for each in fields(Notification)))
_BY_RUN = prepared.Prepared(lambda _: _ALL.where(NOTIFICATIONS.c.run_id == bindparam("run_id")))
