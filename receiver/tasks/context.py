"""What a task works with, handed down from the top."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from receiver import backoff, notify, telemetry
from receiver.upstream import client
from storage import database


@dataclass(frozen=True)
class Context:
    """The collaborators of all tasks. `callback_url` gives a run's callback address, None without a public URL.

    `public_url` is empty where there is none, `notifier` None where no backend is told.
    """

    database: database.Database
    upstream: client.Client
    timing: backoff.Timing
    clock: Callable[[], datetime]
    callback_url: Callable[[str], str | None]
    telemetry: telemetry.Telemetry
    sweep_seconds: float
    adopt_all: bool = False
    public_url: str = ""
    notifier: notify.Notifier | None = None
