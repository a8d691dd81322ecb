"""What a server wants to follow the end of a run: recorded at its start, and again while it runs.

What one server wants holds for all that share the database, so that the order of starts decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage import database, dialect, errors, house

#: Seconds between two records: many within the time for which they are remembered.
AGAIN = 3600.0


@dataclass(frozen=True)
class Wanted:
    """What the settings of this server say. With an embedded database, at `url`, it is alone."""

    store: database.Database
    clock: Callable[[], datetime]
    url: str
    notify_url: str
    captures: bool

    async def begin(self) -> Callable[[], Coroutine[Any, Any, None]]:
        """Record it now; return what records it from then on, until cancelled. Raises Unavailable."""
        await self.record()
        return self.run

    async def record(self) -> None:
        """Record it now. Raises Unavailable."""
        wanted = house.Follows(bool(self.notify_url), self.captures)
        alone = dialect.file_of(self.url) is not None
        await self.store.write(house.follow, wanted, self.clock(), alone=alone)

    async def run(self) -> None:
        """Record it every hour, until cancelled."""
        while True:
            await asyncio.sleep(AGAIN)
            with contextlib.suppress(errors.Unavailable):
                await self.record()
