"""What we answer of the end of a run that the backend was told."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field

from receiver.shapes.answers import Answer, Instant, Run
from storage import notifications, runs


class Notification(Answer):
    """What the backend was told of a run's end. `webhookId` is the same in every attempt."""

    state: Literal["pending", "delivered", "stopped"]
    webhook_id: str
    attempts: int
    last_attempt_at: Instant | None
    delivered_at: Instant | None
    last_status: int | None = Field(description="What the backend answered; null where it did not.")
    last_error: str | None

    @classmethod
    def of(cls, told: notifications.Notification) -> Self:
        """A row of `notifications`."""
        over = "stopped" if told.stopped_at else "pending"
        state: Any = "delivered" if told.delivered_at else over
        kept = {name: getattr(told, name) for name in cls.model_fields if name not in ("state", "webhook_id")}
        return cls(state=state, webhook_id=told.event_id, **kept)


class FullRun(Run):
    """The same with what the backend was told of its end; null where it was told nothing."""

    notification: Notification | None

    @classmethod
    def of(cls, run: runs.Run, told: notifications.Notification | None) -> Self:
        """A row of `runs`."""
        line = Run.model_validate(run).model_dump()
        return cls(**line, notification=None if told is None else Notification.of(told))
