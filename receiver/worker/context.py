"""The collaborators that a task works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from receiver import telemetry, timeouts
from receiver.outbound import notification_sender
from receiver.upstream import client
from storage.engine import database


@dataclass(frozen=True)
class Context:
    """The collaborators of all tasks.

    `callback_url` returns a run's callback address, None without a public URL. `public_url` is empty where there
    is none, `notifier` is None where no backend is notified.
    """

    database: database.Database
    upstream: client.Client
    timing: timeouts.Timing
    clock: Callable[[], datetime]
    callback_url: Callable[[str], str | None]
    telemetry: telemetry.Telemetry
    sweep_seconds: float
    adopt_all: bool = False
    public_url: str = ""
    notifier: notification_sender.Notifier | None = None
