"""Record which follow-ups of a run's end the servers need, at start-up and again while they run.

The needs of one server hold for all that share the database, so the order of their starts does not matter.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage import errors
from storage.engine import database, urls
from storage.repositories import system_state

#: Seconds between two records, several within the time for which they are remembered.
RECORD_INTERVAL = 3600.0


@dataclass(frozen=True)
class FollowUps:
    """The needs of this server by its settings. With an embedded database, at `url`, it is the only server."""

    store: database.Database
    clock: Callable[[], datetime]
    url: str
    notify_url: str
    captures: bool

    async def begin(self) -> Callable[[], Coroutine[Any, Any, None]]:
        """Record the needs now and return the loop that repeats it until cancelled. Raises Unavailable."""
        await self.record()
        return self.run

    async def record(self) -> None:
        """Record the needs now. Raises Unavailable."""
        needs = system_state.FollowUps(bool(self.notify_url), self.captures)
        alone = urls.file_path(self.url) is not None
        await self.store.write(system_state.request_follow_ups, needs, self.clock(), alone=alone)

    async def run(self) -> None:
        """Record the needs every hour, until cancelled."""
        while True:
            await asyncio.sleep(RECORD_INTERVAL)
            with contextlib.suppress(errors.Unavailable):
                await self.record()
