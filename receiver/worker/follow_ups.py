"""Record which follow-ups of a run's end the servers need, at start-up and again while they run.

The needs of one server hold for all that share the database, so the order of their starts does not matter.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime

from storage import errors
from storage.engine import database
from storage.repositories import system_state

#: Seconds between two records, several within the time for which they are remembered.
RECORD_INTERVAL = 3600.0


async def record(
    store: database.Database, clock: Callable[[], datetime], needs: system_state.FollowUps, *, alone: bool
) -> None:
    """Record the needs now; `alone` means that no other server shares the database. Raises Unavailable."""
    await store.write(system_state.request_follow_ups, needs, clock(), alone=alone)


async def run(record: Callable[[], Awaitable[None]]) -> None:
    """Record the needs every hour, until cancelled."""
    while True:
        await asyncio.sleep(RECORD_INTERVAL)
        with contextlib.suppress(errors.Unavailable):
            await record()
