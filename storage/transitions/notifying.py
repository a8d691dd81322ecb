"""Telling the backend: what is committed before the first send, and after each."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from storage import jobs, notifications


def prepare(
    connection: Connection, claim: jobs.Claim, new: notifications.Notification
) -> notifications.Notification:
    """Commits id and body before anything is sent; answers those that hold, maybe of an earlier claim."""
    jobs.hold(connection, claim)
    notifications.insert(connection, new)
    held = notifications.find(connection, claim.run_id)
    assert held is not None
    return held


def notified(connection: Connection, claim: jobs.Claim, attempt: notifications.Attempt) -> None:
    """The backend took it. Raises Fenced."""
    jobs.done(connection, claim)
    notifications.delivered(connection, claim.run_id, attempt)


def not_notified(
    connection: Connection, claim: jobs.Claim, attempt: notifications.Attempt, error: str, due_at: datetime
) -> None:
    """The backend did not take it, and is told again at `due_at`. Raises Fenced."""
    jobs.failed(connection, claim, due_at, error=error, now=attempt.at, refused=True)
    notifications.missed(connection, claim.run_id, attempt)


def stop_notifying(connection: Connection, claim: jobs.Claim, attempt: notifications.Attempt, error: str) -> None:
    """The backend is not told any more, until somebody has the job tried again. Raises Fenced."""
    jobs.die(connection, claim, error=error, now=attempt.at)
    notifications.stopped(connection, claim.run_id, attempt)
