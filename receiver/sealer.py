"""The sealer: gives ledger entries their numbers, without gaps, after they are committed.

Every server has one; of those that share a database one at a time does the work, and when it is gone the next one
does. What it numbers it also tells: a log line for each fact, which is safe since facts hold no contents.
"""

from __future__ import annotations

from receiver import rounds, telemetry
from storage import changes, database, ledger

#: Entries numbered in one transaction.
GROUP = 500
#: Seconds between two rounds: many commits are numbered at once, rather than each by a commit of its own.
PACE = 0.05


async def run(store: database.Database, told: telemetry.Telemetry, poll: float) -> None:
    """Numbers what is committed, as soon as it is, until cancelled. `poll`: looked for this often in any case."""

    def waits(reason: str) -> None:
        told.log.warning("sealer_waits", reason=reason)

    await rounds.run(store, lambda: _round(store, told), waits, pace=PACE, poll=poll)


async def _round(store: database.Database, told: telemetry.Telemetry) -> None:
    """Numbers all that waits and tells it, unless another sealer does so just now."""
    while await store.read(ledger.has_unnumbered):
        numbers = await store.write(ledger.number, GROUP)
        for entry in await store.read(changes.after, numbers.start - 1, len(numbers)):
            told.fact(entry)
        if not numbers:
            return
