"""The indexer: has the texts of runs found by their words, some time after they were stored.

What it does costs more than storing them, so nobody waits for it. Every server has one; where several share a
database, what two of them took up at once counts once.
"""

from __future__ import annotations

import time

from receiver import rounds, telemetry
from storage import database, errors, passages, search

#: Passages that are read at once, roughly; of one run there may be more.
GROUP = 400
#: Seconds after which a run that cannot be indexed is tried again, the first time and at most.
FIRST, MOST = 10.0, 3600.0
#: Seconds between two rounds, in which runs gather.
PACE = 0.2


class Indexer:
    """One per server. A run that cannot be indexed is passed over for a while, longer each time it fails."""

    def __init__(self, store: database.Database, told: telemetry.Telemetry) -> None:
        self._store = store
        self._told = told
        self._failures: dict[int, int] = {}
        self._due: dict[int, float] = {}

    async def catch_up(self) -> None:
        """Indexes all that waits, unless somebody else does."""
        while True:
            now = time.monotonic()
            passed = frozenset(seq for seq, due in self._due.items() if due > now)
            found: list[int] = []
            failure = await rounds.outcome(self._index(GROUP, passed, found))
            if isinstance(failure, errors.Unavailable):
                raise failure
            if failure is not None:
                await self._singly(passed)
            elif not found:
                return

    async def _index(self, limit: int, passed: frozenset[int], found: list[int]) -> None:
        """Indexes a batch; adds the runs that were to `found`."""
        batch = await self._store.read(search.waiting, limit, passed=passed)
        for piece in passages.slices(batch):  # a transaction each: others want to write as well
            if not await self._store.write(search.index, piece):
                continue  # somebody else indexes, or the texts have changed
            found += [each.run_seq for each in piece]
            for each in piece:
                self._failures.pop(each.run_seq, None)
                self._due.pop(each.run_seq, None)
            self._told.passed_over(len(self._due))

    async def _singly(self, passed: frozenset[int]) -> None:
        """Indexes one run after the other, the newest first, up to that which cannot be."""
        while (run := await self._store.read(search.newest, passed)) is not None:
            found: list[int] = []
            failure = await rounds.outcome(self._index(1, passed, found))
            if isinstance(failure, errors.Unavailable):
                raise failure
            if failure is not None:
                self._pass_over(run.seq, run.id, failure)
            if not found:
                return

    def _pass_over(self, seq: int, run_id: str, failure: Exception) -> None:
        count = self._failures[seq] = self._failures.get(seq, 0) + 1
        self._due[seq] = time.monotonic() + min(MOST, FIRST * 2.0 ** min(count - 1, 20))
        self._told.passed_over(len(self._due))
        self._told.log.error("run_not_indexed", run_id=run_id, error=rounds.reason(failure), failures=count)


async def run(store: database.Database, told: telemetry.Telemetry, poll: float) -> None:
    """Indexes what waits, as soon as it does, until cancelled. `poll`: looked for this often in any case."""

    def waits(reason: str) -> None:
        told.log.warning("indexer_waits", reason=reason)

    await rounds.run(store, Indexer(store, told).catch_up, waits, pace=PACE, poll=poll)
