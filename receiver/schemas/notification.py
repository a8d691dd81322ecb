"""The answer about the notification of the backend."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

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

    @classmethod
    def of(cls, notification: notifications.Notification) -> Self:
        """Return a row of `notifications` as an answer."""
        undelivered: State = "stopped" if notification.stopped_at else "pending"
        state: State = "delivered" if notification.delivered_at else undelivered
        names = cls.model_fields.keys() - {"state", "webhook_id"}
        fields = {name: getattr(notification, name) for name in names}
        return cls(state=state, webhook_id=notification.event_id, **fields)


class FullRun(Run):
    """A run with the notification of its end; null where none was due."""

    notification: Notification | None

    @classmethod
    def of(cls, run: runs.Run, sent: notifications.Notification | None) -> Self:
        """Return a row of `runs` and its notification as an answer."""
        line = Run.model_validate(run).model_dump()
        return cls(**line, notification=None if sent is None else Notification.of(sent))
