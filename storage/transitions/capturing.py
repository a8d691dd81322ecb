"""Storing the stream of a run that has ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from storage import events, jobs, runs
from storage.tables import RUNS


def keep(connection: Connection, claim: jobs.Claim, found: Sequence[events.Event], now: datetime) -> None:
    """Stores a piece of the stream; the job goes on. Raises Fenced."""
    jobs.hold(connection, claim)
    events.add(connection, claim.run_id, found, now)


def captured(connection: Connection, claim: jobs.Claim, note: str | None, now: datetime) -> None:
    """All of the stream is stored that will ever be; `note` says what is missing. Raises Fenced."""
    jobs.done(connection, claim)
    runs.change(connection, RUNS.c.id == claim.run_id, {"captured_at": now, "capture_note": note})
