"""The ring of rejected requests: the answer never waits for the database.

Rejected requests go to a bounded ring that is flushed in batches. Of each cause so many an hour are kept as
rows; the others are only counted, and the counts go to the ledger when their hour is over.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime

import structlog

from receiver import rounds
from storage import database, deliveries, errors, transitions

#: Requests that wait to be flushed, and rows that are kept of one cause in an hour.
WAITING = 256
ROWS_PER_CAUSE = 100
#: Bytes that are kept in an hour, and rows of one transaction.
BYTES = 16 << 20
GROUP = 32


class Ring:
    """One per process. `add` never waits and never fails."""

    def __init__(self, store: database.Database, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._waiting: deque[deliveries.Rejected] = deque()
        self._counts: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        self._bytes = 0
        self._hour = _hour(clock())

    def add(self, rejected: deliveries.Rejected) -> None:
        """Keeps a rejected request if there is room for its cause, and counts it in any case."""
        self._counts[rejected.reason] += 1
        has_room = len(self._waiting) < WAITING and self._bytes + rejected.weight <= BYTES
        if has_room and self._rows[rejected.reason] < ROWS_PER_CAUSE:
            self._rows[rejected.reason] += 1
            self._bytes += rejected.weight
            self._waiting.append(rejected)

    def count(self, cause: str) -> None:
        """Counts a rejected request of which nothing is kept."""
        self._counts[cause] += 1

    async def flush(self) -> None:
        """Writes what waits. Where the database is away it waits on, within its bounds."""
        try:
            while self._waiting:
                rows = [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]
                await self._write_rows(rows)
            await self._write_counts(_hour(self._clock()))
        except errors.Unavailable:
            return

    async def _write_rows(self, rows: list[deliveries.Rejected]) -> None:
        failure = await rounds.outcome(self._store.write(transitions.reject, rows))
        if isinstance(failure, errors.Unavailable):
            self._waiting.extendleft(reversed(rows))
            raise failure
        if failure is not None:
            await self._write_singly(rows, failure)

    async def _write_singly(self, rows: list[deliveries.Rejected], failure: Exception) -> None:
        """One of them cannot be stored: it was counted and goes, the others are kept."""
        if len(rows) == 1:
            log = structlog.get_logger("runledger")
            log.error("rejection_not_kept", cause=rows[0].reason, error=rounds.reason(failure))
            return
        for at, row in enumerate(rows):
            try:
                await self._write_rows([row])
            except errors.Unavailable:
                self._waiting.extend(rows[at + 1 :])
                raise

    async def _write_counts(self, hour: datetime) -> None:
        """Adds the counts to their hour; a new hour begins with room for rows again."""
        counts = dict(self._counts)
        if counts or hour != self._hour:
            await self._store.write(transitions.count_rejections, hour, counts)
            self._counts.subtract(counts)
            self._counts += Counter()  # drops what has come to nothing
        if hour != self._hour:
            self._hour, self._bytes = hour, 0
            self._rows.clear()

    async def run(self, seconds: float) -> None:
        """Flushes every so many seconds, and once more when it is cancelled."""
        try:
            while True:
                await asyncio.sleep(seconds)
                await self.flush()
        finally:
            await asyncio.shield(self.flush())


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
