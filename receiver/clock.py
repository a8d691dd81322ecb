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
    """A clock that knows the latest moment it told: what was written by it may lie ahead of what it tells now.

    `is_shared` says that it follows the database, whose own time then decides in place of that moment.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.latest: datetime | None = None
        self.is_shared = isinstance(clock, Shared)

    def __call__(self) -> datetime:
        told = self._clock()
        self.latest = told if self.latest is None else max(self.latest, told)
        return told

    def correct(self, at: datetime | None, took: float) -> None:
        """It was `at` for all who share the database, within the last `took` seconds; None where nobody does."""
        if at is not None and isinstance(self._clock, Shared):
            self._clock.correct(at, took)


class Shared:
    """The time of the database, which all who share it share too, whatever their machines say.

    Between two looks it goes on by a clock of this machine that nobody sets, and that goes on while it sleeps.
    Where the database tells no time, since it is embedded, and before the first look it is the machine's own,
    which `machine` tells.
    """

    def __init__(self, machine: Callable[[], datetime] = now) -> None:
        self._machine = machine
        self._seen: tuple[datetime, float] | None = None

    def __call__(self) -> datetime:
        if self._seen is None:
            return self._machine()
        at, since = self._seen
        return at + timedelta(seconds=elapsed() - since)

    def correct(self, at: datetime, took: float) -> None:
        """It was `at` by the database within the last `took` seconds. A machine that slept has lost time."""
        if self._is_beyond(at, took, SLOW):
            self._seen = at, elapsed() - took / 2

    async def look(self, ask: Callable[[], Awaitable[datetime | None]]) -> None:
        """Asks the database. An answer that took long tells little: it is taken for want of a better one."""
        before = elapsed()
        found = await ask()
        after = elapsed()
        if found is not None and (after - before < SLOW or self._is_beyond(found, after - before)):
            self._seen = found, (before + after) / 2

    def _is_beyond(self, found: datetime, took: float, slack: float = 0.0) -> bool:
        """Whether what is told now is wrong, at whatever moment of the last `took` seconds it was `found`."""
        least, most = found - timedelta(seconds=slack), found + timedelta(seconds=took + slack)
        return self._seen is None or not least <= self() <= most

    async def run(self, ask: Callable[[], Awaitable[datetime | None]]) -> None:
        """Looks again and again, until cancelled; passes over what the database does not answer."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self.look(ask)
            except errors.Unavailable:
                continue


def elapsed() -> float:
    """Seconds that nobody sets; a machine that sleeps is counted where it can be."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)
