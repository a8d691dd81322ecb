"""The sealer: gives ledger entries their numbers, without gaps, after they are committed. One at a time.

What it numbers it also tells: a log line for each fact, which is safe since facts hold no contents.
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
    last: int | None = None
    while True:
        wake = store.next_commit()
        try:
            last = await store.read(ledger.last_number) if last is None else last
            last = await _round(store, told, last)
        except errors.Unavailable as trouble:
            told.log.warning("sealer_waits", reason=str(trouble))
        await asyncio.sleep(PACE)
        await asyncio.wait([wake], timeout=poll)


async def _round(store: database.Database, told: telemetry.Telemetry, last: int) -> int:
    """Numbers all that waits and tells it; answers the last number."""
    while await store.read(ledger.has_unnumbered):
        await store.write(ledger.number, GROUP)
        for entry in await store.read(changes.after, last, GROUP):
            told.fact(entry)
            last = entry.number if entry.number is not None else last
    return last
