"""The indexer: has the texts of runs found by their words, some time after they were stored.

What it does costs more than storing them, so nobody waits for it. Every server has one; where several share a
database, what two of them took up at once counts once.
"""

from __future__ import annotations

from receiver import rounds, telemetry
from storage import database, search

#: Passages that are indexed in one transaction, roughly: others want to write as well.
GROUP = 400
#: Seconds between two rounds, in which runs gather.
PACE = 0.2


async def run(store: database.Database, told: telemetry.Telemetry, poll: float) -> None:
    """Indexes what waits, as soon as it does, until cancelled. `poll`: looked for this often in any case."""

    def waits(reason: str) -> None:
        told.log.warning("indexer_waits", reason=reason)

    await rounds.run(store, lambda: catch_up(store), waits, pace=PACE, poll=poll)


async def catch_up(store: database.Database) -> None:
    """Indexes all that waits, unless somebody else does."""
    while batch := await store.read(search.waiting, GROUP):
        if not await store.write(search.index, batch):
            return
