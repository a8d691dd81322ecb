"""The buffer of rejected requests, so that no answer to one waits for the database.

Rejected requests go into a bounded buffer that is flushed in batches. A limited number an hour of each cause is
stored as rows; the others are only counted. The counts go into the ledger when their hour is over.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime

import structlog

from receiver import poll_loop
from storage import errors
from storage.engine import database
from storage.repositories import deliveries
from storage.transitions import receiving

#: The requests that can wait to be flushed, and the rows that are stored of one cause in an hour.
CAPACITY = 256
ROWS_PER_CAUSE = 100
#: The bytes that are stored in an hour, and the rows of one transaction.
BYTES_PER_HOUR = 16 << 20
BATCH = 32


class RejectionBuffer:
    """The rejection buffer of a process. `add` never waits and never fails."""

    def __init__(self, store: database.Database, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._waiting: deque[deliveries.RejectedRequest] = deque()
        self._counts: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        self._bytes = 0
        self._hour = _hour(clock())

    def add(self, rejected: deliveries.RejectedRequest) -> None:
        """Count a rejected request, and keep it where the limits of its cause allow it."""
        self._counts[rejected.reason] += 1
        fits = len(self._waiting) < CAPACITY and self._bytes + rejected.weight <= BYTES_PER_HOUR
        if fits and self._rows[rejected.reason] < ROWS_PER_CAUSE:
            self._rows[rejected.reason] += 1
            self._bytes += rejected.weight
            self._waiting.append(rejected)

    def count(self, cause: str) -> None:
        """Count a rejected request of which nothing is kept."""
        self._counts[cause] += 1

    async def flush(self) -> None:
        """Write all waiting requests. While the database is unavailable they stay in the buffer."""
        try:
            while self._waiting:
                rows = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                await self._write_rows(rows)
            await self._write_counts(_hour(self._clock()))
        except errors.Unavailable:
            return

    async def _write_rows(self, rows: list[deliveries.RejectedRequest]) -> None:
        failure = await poll_loop.outcome_of(self._store.write(receiving.store_rejected, rows))
        if isinstance(failure, errors.Unavailable):
            self._waiting.extendleft(reversed(rows))
            raise failure
        if isinstance(failure, Exception):
            await self._write_singly(rows, failure)

    async def _write_singly(self, rows: list[deliveries.RejectedRequest], failure: Exception) -> None:
        """Write rows one by one. A row that cannot be stored was counted and is dropped; the others are stored."""
        if len(rows) == 1:
            log = structlog.get_logger("runledger")
            log.error("rejection_store_failed", cause=rows[0].reason, error=poll_loop.log_reason(failure))
            return
        for at, row in enumerate(rows):
            try:
                await self._write_rows([row])
            except errors.Unavailable:
                self._waiting.extend(rows[at + 1 :])
                raise

    async def _write_counts(self, hour: datetime) -> None:
        """Add the counts to their hour. A new hour resets the limits."""
        counts = dict(self._counts)
        if counts or hour != self._hour:
            await self._store.write(receiving.count_rejections, hour, counts)
            self._counts.subtract(counts)
            self._counts += Counter()  # removes the counts that are zero
        if hour != self._hour:
            self._hour, self._bytes = hour, 0
            self._rows.clear()

    async def run(self, seconds: float) -> None:
        """Flush every `seconds`, and once more when cancelled."""
        try:
            while True:
                await asyncio.sleep(seconds)
                await self.flush()
        finally:
            await asyncio.shield(self.flush())


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
