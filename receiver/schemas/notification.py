"""The answer about the notification of the backend."""

from __future__ import annotations

from typing import Literal

import msgspec
from pydantic import Field

from receiver.schemas import json_rows
from receiver.schemas.responses import Answer, Instant, Run
from storage.repositories import notifications, runs

State = Literal["pending", "delivered", "stopped"]


class Notification(Answer):
    """The notification of a run's end to the backend. `webhookId` is the same in every attempt."""

    state: State
    webhook_id: str
    attempts: int
    last_attempt_at: Instant | None
    delivered_at: Instant | None
    last_status: int | None = Field(
        description="The status that the backend last answered; null where it did not answer."
    )
    last_error: str | None


class FullRun(Run):
    """A run with the notification of its end; null where none was due."""

    notification: Notification | None


def state(sent: notifications.Notification) -> State:
    """Return the state of a row of `notifications`."""
    if sent.delivered_at:
        return "delivered"
    return "stopped" if sent.stopped_at else "pending"


def notification_object(sent: notifications.Notification | None) -> msgspec.Raw | None:
    """Return a row of `notifications` as an object."""
    if sent is None:
        return None
    return _NOTIFICATIONS.one(_NOTIFICATIONS.values(sent, state=state(sent), webhook_id=sent.event_id))


def run_object(run: runs.Run, sent: notifications.Notification | None) -> bytes:
    """Return a run and its notification as an object."""
    return bytes(RUNS.one(RUNS.values(run, notification=notification_object(sent))))


RUNS = json_rows.JsonRows(FullRun)
_NOTIFICATIONS = json_rows.JsonRows(Notification, "webhook_id")
