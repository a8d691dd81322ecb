"""The indexer: has the texts of runs found by their words, some time after they were stored.

What it does costs more than storing them, so nobody waits for it. Every server has one; where several share a
database, what two of them took up at once counts once.
"""

from __future__ import annotations

import asyncio

from receiver import telemetry
from storage import database, errors, search

#: Passages that are indexed in one transaction, roughly: others want to write as well.
GROUP = 400
#: Seconds between two rounds, in which runs gather.
PACE = 0.2


async def run(store: database.Database, told: telemetry.Telemetry, poll: float) -> None:
    """Indexes what waits, as soon as it does, until cancelled. `poll`: looked for this often in any case."""
    while True:
        wake = store.next_commit()
        try:
            await catch_up(store)
        except errors.Unavailable as trouble:
            told.log.warning("indexer_waits", reason=str(trouble))
        await asyncio.sleep(PACE)
        await asyncio.wait([wake], timeout=poll)


async def catch_up(store: database.Database) -> None:
    """Indexes all that waits, unless somebody else does."""
    while batch := await store.read(search.waiting, GROUP):
        if not await store.write(search.index, batch):
            return
