"""Remove what is kept no longer: content of runs by state and age, and deliveries that belong to no run.

The latter are removed after some days, and beyond a bound of bytes.

Every worker does this now and then. Where several share a database, rows that one has locked are left alone by the
others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from receiver import telemetry
from storage import bounds, errors, states
from storage.engine import database
from storage.maintenance import vacuum
from storage.query import grammar, value_ranges
from storage.retention import erasing, unmatched

#: Bytes of rejected requests in the database. Within an hour it may be exceeded by the bytes that each process
#: stores in one (`rejection_buffer.BYTES_PER_HOUR`).
MAX_REJECTED_BYTES = 256 << 20
#: A final state, and the days after which the content of runs in it is erased.
Age = tuple[str, int]
Ages = Sequence[Age]
#: Least seconds between two batches, in which others can use the database.
PAUSE = 0.01


async def run(
    store: database.Database,
    telemetry: telemetry.Telemetry,
    clock: Callable[[], datetime],
    days: int,
    seconds: float,
    *,
    ages: Ages = (),
    most: int = MAX_REJECTED_BYTES,
) -> None:
    """Remove deliveries older than `days`, and content as `ages` says, every `seconds` seconds until cancelled."""
    while True:
        try:
            await remove_expired(store, clock, days=days, most=most)
            for age in ages:
                if count := await erase_old(store, clock, age):
                    telemetry.log.info("content_erased", state=age[0], days=age[1], runs=count)
        except errors.Unavailable as trouble:
            telemetry.log.warning("retention_paused", reason=str(trouble))
        await asyncio.sleep(seconds)


def old(age: Age, now: datetime) -> grammar.Expression:
    """Return the expression that the runs of an age match: in that state, and settled longer ago."""
    state, days = age
    before = value_ranges.Range(high=bounds.before(now, timedelta(days=days)), excludes_high=True)
    return grammar.all_of(grammar.Equals("status", (grammar.Value(state),)), grammar.InRange("settled", (before,)))


async def erase_old(store: database.Database, clock: Callable[[], datetime], age: Age) -> int:
    """Erase the content of the runs of an age, and return how many there were.

    On a file their bytes are overwritten, but for their words in the index: see docs/operate/retention.md.
    """
    chosen = old(age, clock())
    if not await store.read(erasing.has_erasable, chosen):
        return 0
    erasure = erasing.Erasure(f"{age[0]}={age[1]}d", "worker", states.ErasureCause.RETENTION)
    count = (await erase(store, chosen, erasure, clock)).runs
    if count:
        await asyncio.to_thread(vacuum.shrink, store.url, rewrite=False)
    return count


async def remove_expired(
    store: database.Database, clock: Callable[[], datetime], *, days: int, most: int = MAX_REJECTED_BYTES
) -> None:
    """Remove all of them, batch by batch; nothing is written where there is nothing to remove."""
    chosen = unmatched.UnmatchedFilter(clock() - timedelta(days=days))

    async def remove_old() -> bool:
        return (await store.write(unmatched.remove_unmatched, chosen, clock(), "worker")).has_more

    if await store.read(unmatched.has_unmatched, chosen):
        await repeat(remove_old)
    excess = await store.read(unmatched.rejected_size) - most

    async def remove_oldest() -> bool:
        nonlocal excess
        excess = await store.write(unmatched.trim_rejected, excess)
        return excess > 0

    if excess > 0:
        await repeat(remove_oldest)


async def erase(
    store: database.Database,
    expression: grammar.Expression,
    erasure: erasing.Erasure,
    clock: Callable[[], datetime],
    on_batch: Callable[[int], None] = lambda _: None,
) -> erasing.Erased:
    """Erase what matches, batch by batch; each batch is complete in itself. `on_batch` gets its number of runs."""
    total = erasing.Erased()

    async def batch() -> bool:
        nonlocal total
        done = await store.write(erasing.erase, expression, erasure, clock(), total.next_position)
        total += done
        on_batch(done.runs)
        return total.next_position is not None

    await repeat(batch)
    return total


async def repeat(batch: Callable[[], Awaitable[bool]]) -> None:
    """Repeat `batch` until it returns false. After each one, others get the database for as long as it took."""
    while True:
        began = time.monotonic()
        if not await batch():
            return
        await asyncio.sleep(max(PAUSE, time.monotonic() - began))
