"""The one place that asks what time it is; below the edges `now` is an argument."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from storage import errors

#: Seconds between two looks at the database's clock, and how long one may take to be believed.
LOOK = 10.0
SLOW = 1.0


def now() -> datetime:
    """This moment, in UTC, as this machine has it."""
    return datetime.now(UTC)  # noqa: TID251 - the edge itself


class Watched:
    """A clock that knows the latest moment it told: what was written by it may lie ahead of what it tells now."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.latest: datetime | None = None

    def __call__(self) -> datetime:
        told = self._clock()
        self.latest = told if self.latest is None else max(self.latest, told)
        return told


class Shared:
    """The time of the database, which all who share it share too, whatever their machines say.

    Between two looks it goes on by a clock of this machine that nobody sets. Where the database tells no time,
    since it is embedded, and before the first look it is the machine's own, which `machine` tells.
    """

    def __init__(self, machine: Callable[[], datetime] = now) -> None:
        self._machine = machine
        self._seen: tuple[datetime, float] | None = None

    def __call__(self) -> datetime:
        if self._seen is None:
            return self._machine()
        at, since = self._seen
        return at + timedelta(seconds=time.monotonic() - since)

    async def look(self, ask: Callable[[], Awaitable[datetime | None]]) -> None:
        """Asks the database. An answer that took long tells little: it is taken for want of a better one."""
        before = time.monotonic()
        found = await ask()
        after = time.monotonic()
        if found is not None and (after - before < SLOW or self._seen is None):
            self._seen = found, (before + after) / 2

    async def run(self, ask: Callable[[], Awaitable[datetime | None]]) -> None:
        """Looks again and again, until cancelled; passes over what the database does not answer."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self.look(ask)
            except errors.Unavailable:
                continue
