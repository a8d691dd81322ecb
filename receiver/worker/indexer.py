"""The indexer: adds the texts of runs to the search index, some time after they were stored.

Indexing costs more than storing, so no request waits for it. Every server has an indexer. Where several share a
database, a run that two of them read at once is indexed once.
"""

from __future__ import annotations

import time
from functools import partial

from receiver import poll_loop, telemetry
from receiver.worker import isolation
from storage.engine import database
from storage.search import index, passages

#: Approximate passages that are read at once; a single run may have more.
BATCH = 400
#: Seconds before a run that failed is tried again, the first time and at most.
RETRY_FIRST, RETRY_MAX = 10.0, 3600.0
#: Seconds between two rounds, so that several runs are indexed together.
PAUSE = 0.2


class Indexer:
    """The indexer of one server. A run that fails is skipped for a while, longer each time."""

    def __init__(self, store: database.Database, telemetry: telemetry.Telemetry) -> None:
        self._store = store
        self._telemetry = telemetry
        self._failures: dict[int, int] = {}
        self._due: dict[int, float] = {}

    async def catch_up(self) -> None:
        """Index all waiting runs, unless another indexer does."""
        while True:
            now = time.monotonic()
            skipped = frozenset(seq for seq, due in self._due.items() if due > now)
            found = await isolation.attempt(self._index(BATCH, skipped))
            if isinstance(found, Exception):
                await self._singly(skipped)
            elif not found:
                return

    async def _index(self, limit: int, skipped: frozenset[int]) -> bool:
        """Index a batch and return whether any run was indexed."""
        has_indexed = False
        batch = await self._store.read(index.queued, limit, skipped=skipped)
        for piece in passages.slices(batch):  # one transaction each, so that other writes get their turn
            if not await self._store.write(index.add, piece):
                continue  # another indexer is at work, or the texts have changed
            has_indexed = True
            for each in piece:
                self._failures.pop(each.run_seq, None)
                self._due.pop(each.run_seq, None)
            self._telemetry.unindexable(len(self._due))
        return has_indexed

    async def _singly(self, skipped: frozenset[int]) -> None:
        """Index one run after another, the newest first, up to the one that fails."""
        while (run := await self._store.read(index.newest_queued, skipped)) is not None:
            found = await isolation.attempt(self._index(1, skipped))
            if isinstance(found, Exception):
                self._skip(run.seq, run.id, found)
                return
            if not found:
                return

    def _skip(self, seq: int, run_id: str, failure: Exception) -> None:
        """Skip a run that failed, for twice as long after each failure."""
        count = self._failures[seq] = self._failures.get(seq, 0) + 1
        self._due[seq] = time.monotonic() + min(RETRY_MAX, RETRY_FIRST * 2.0 ** min(count - 1, 20))
        self._telemetry.unindexable(len(self._due))
        reason = poll_loop.log_reason(failure)
        self._telemetry.log.error("run_indexing_failed", run_id=run_id, error=reason, failures=count)


async def run(store: database.Database, telemetry: telemetry.Telemetry, poll: float) -> None:
    """Index waiting runs as soon as they are stored, until cancelled, and look for them every `poll` seconds."""
    paused = partial(telemetry.log.warning, "indexer_paused")
    await poll_loop.run(store, Indexer(store, telemetry).catch_up, paused, pace=PAUSE, poll=poll)
