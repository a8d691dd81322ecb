"""The sequencer: numbers ledger entries without gaps, after their commit.

Every server has one. Of those that share a database one at a time does the work, and another takes over when it is
gone. Each numbered entry is also logged, which is safe because facts hold no contents.
"""

from __future__ import annotations

from functools import partial

from receiver import poll_loop, telemetry
from storage.engine import database
from storage.ledger import entries
from storage.repositories import ledger_changes

#: Entries that are numbered in one transaction.
BATCH = 500
#: Seconds between two rounds, so that one commit numbers the entries of many.
PAUSE = 0.05


async def run(store: database.Database, telemetry: telemetry.Telemetry, poll: float) -> None:
    """Give committed entries their numbers until cancelled; look for new ones every `poll` seconds."""
    paused = partial(telemetry.log.warning, "sequencer_paused")
    await poll_loop.run(store, lambda: _number_all(store, telemetry), paused, pace=PAUSE, poll=poll)


async def _number_all(store: database.Database, telemetry: telemetry.Telemetry) -> None:
    """Give numbers to all waiting entries and log them, unless another sequencer is at work."""
    while await store.read(entries.has_unnumbered):
        numbers = await store.write(entries.number, BATCH)
        for entry in await store.read(ledger_changes.after, numbers.start - 1, len(numbers)):
            telemetry.entry_numbered(entry)
        if not numbers:
            return
