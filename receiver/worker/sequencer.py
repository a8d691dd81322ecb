"""The sequencer: numbers the ledger entries of a database server without gaps, after their commit.

Every server has one. Of those that share a database one at a time does the work, and another takes over when it is
gone. An embedded database has one writer, which numbers an entry when it writes it.
"""

from __future__ import annotations

from functools import partial

from receiver import poll_loop, telemetry
from storage.engine import database
from storage.ledger import entries

#: Entries that are numbered in one transaction.
BATCH = 500
#: Seconds between two rounds, so that one commit numbers the entries of many.
PAUSE = 0.05


async def run(store: database.Database, telemetry: telemetry.Telemetry, poll: float) -> None:
    """Give committed entries their numbers until cancelled; look for new ones every `poll` seconds."""
    paused = partial(telemetry.log.warning, "sequencer_paused")
    await poll_loop.run(store, partial(_number_all, store), paused, pace=PAUSE, poll=poll)


async def _number_all(store: database.Database) -> None:
    """Give numbers to all waiting entries, unless another sequencer is at work."""
    while await store.read(entries.has_unnumbered):
        if not await store.write(entries.number, BATCH):
            return
