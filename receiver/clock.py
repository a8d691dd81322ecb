"""The only place that reads the time; below the edges `now` is an argument."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from storage import errors

#: Seconds between two reads of the database's clock, and the longest one that counts as precise.
SYNC_INTERVAL = 10.0
MAX_READ_SECONDS = 1.0


def now() -> datetime:
    """Return the present moment in UTC by the clock of this machine."""
    return datetime.now(UTC)  # noqa: TID251 - this is the edge


class TrackedClock:
    """A clock that remembers the latest time it returned, since a clock that was set back may return earlier ones.

    `is_shared` means that it follows the database; then the time of the database decides, not that latest time.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.latest: datetime | None = None
        self.is_shared = isinstance(clock, SharedClock)

    def __call__(self) -> datetime:
        moment = self._clock()
        self.latest = moment if self.latest is None else max(self.latest, moment)
        return moment

    def correct(self, at: datetime | None, took: float) -> None:
        """Correct the clock: it was `at` in the database within the last `took` seconds.

        `at` is None where no database clock is shared.
        """
        if at is not None and isinstance(self._clock, SharedClock):
            self._clock.correct(at, took)


class SharedClock:
    """The time of the database, which is the same for all servers that share it.

    Between two reads it advances by a monotonic clock of this machine, which cannot be set and which also counts
    sleep. Before the first read, and where the database is embedded and has no time of its own, it is the time of
    this machine, which `machine` returns.
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
        """Correct the clock: it was `at` in the database within the last `took` seconds.

        A machine that slept may have lost time.
        """
        if self._is_beyond(at, took, MAX_READ_SECONDS):
            self._seen = at, elapsed() - took / 2

    async def synchronize(self, ask: Callable[[], Awaitable[datetime | None]]) -> None:
        """Read the database's clock.

        A slow answer is imprecise, so it counts only where the clock is off by more than that.
        """
        before = elapsed()
        found = await ask()
        after = elapsed()
        if found is not None and (after - before < MAX_READ_SECONDS or self._is_beyond(found, after - before)):
            self._seen = found, (before + after) / 2

    def _is_beyond(self, found: datetime, took: float, slack: float = 0.0) -> bool:
        """Return whether the clock is wrong, whatever moment of the last `took` seconds `found` was read at."""
        least, most = found - timedelta(seconds=slack), found + timedelta(seconds=took + slack)
        return self._seen is None or not least <= self() <= most

    async def run(self, ask: Callable[[], Awaitable[datetime | None]]) -> None:
        """Read the clock again and again, until cancelled; a read that the database does not answer is skipped."""
        while True:
            await asyncio.sleep(SYNC_INTERVAL)
            try:
                await self.synchronize(ask)
            except errors.Unavailable:
                continue


def elapsed() -> float:
    """Return the seconds of a monotonic clock, which cannot be set. Sleep counts where the system allows it."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)
