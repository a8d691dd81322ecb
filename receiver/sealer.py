"""The sealer: gives ledger entries their numbers, without gaps, after they are committed.

Every server has one; of those that share a database one at a time does the work, and when it is gone the next one
does. What it numbers it also tells: a log line for each fact, which is safe since facts hold no contents.
"""

from __future__ import annotations

import asyncio

from receiver import telemetry
from storage import changes, database, errors, ledger

#: Entries numbered in one transaction.
GROUP = 500
#: Seconds between two rounds: many commits are numbered at once, rather than each by a commit of its own.
PACE = 0.05


async def run(store: database.Database, told: telemetry.Telemetry, poll: float) -> None:
    """Numbers what is committed, as soon as it is, until cancelled. `poll`: looked for this often in any case."""
    while True:
        wake = store.next_commit()
        try:
            await _round(store, told)
        except errors.Unavailable as trouble:
            told.log.warning("sealer_waits", reason=str(trouble))
        await asyncio.sleep(PACE)
        await asyncio.wait([wake], timeout=poll)


async def _round(store: database.Database, told: telemetry.Telemetry) -> None:
    """Numbers all that waits and tells it, unless another sealer does so just now."""
    while await store.read(ledger.has_unnumbered):
        numbers = await store.write(ledger.number, GROUP)
        for entry in await store.read(changes.after, numbers.start - 1, len(numbers)):
            told.fact(entry)
        if not numbers:
            return
