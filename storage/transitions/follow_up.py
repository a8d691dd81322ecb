"""The jobs after the end of a run: notification of the backend, capture of the event stream.

The id and the body of a notification are committed before the first attempt, and its outcome after each one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from storage.repositories import jobs, notifications, runs, stream_events
from storage.tables.runs import RUNS


def prepare_notification(
    connection: Connection, claim: jobs.Claim, new: notifications.Notification
) -> notifications.Notification:
    """Commit id and body before the first attempt; return the stored ones, maybe of an earlier claim."""
    jobs.require_lease(connection, claim)
    notifications.insert(connection, new)
    stored = notifications.find(connection, claim.run_id)
    assert stored is not None
    return stored


def complete_notification(connection: Connection, claim: jobs.Claim, attempt: notifications.Attempt) -> None:
    """Record that the backend accepted the notification. Raise LeaseLost."""
    jobs.complete(connection, claim)
    notifications.record_attempt(connection, claim.run_id, attempt, delivered=True)


def fail_notification(
    connection: Connection, claim: jobs.Claim, attempt: notifications.Attempt, error: str, due_at: datetime
) -> None:
    """Record a failed attempt; the next one is due at `due_at`. Raise LeaseLost."""
    jobs.fail(connection, claim, due_at, error=error, now=attempt.at, refused=True)
    notifications.record_attempt(connection, claim.run_id, attempt)


def stop_notification(
    connection: Connection, claim: jobs.Claim, attempt: notifications.Attempt, error: str
) -> None:
    """Record a failed attempt and bury the job until an operator retries it. Raise LeaseLost."""
    jobs.bury(connection, claim, error=error, now=attempt.at)
    notifications.record_attempt(connection, claim.run_id, attempt, stopped=True)


def store_events(
    connection: Connection, claim: jobs.Claim, found: Sequence[stream_events.Event], now: datetime
) -> None:
    """Store a part of the stream without completing the job. Raise LeaseLost."""
    jobs.require_lease(connection, claim)
    stream_events.add(connection, claim.run_id, found, now)


def complete_capture(connection: Connection, claim: jobs.Claim, note: str | None, now: datetime) -> None:
    """Mark the stream as captured; `note` says what is missing. Raise LeaseLost."""
    jobs.complete(connection, claim)
    runs.update(connection, RUNS.c.id == claim.run_id, {"captured_at": now, "capture_note": note})
