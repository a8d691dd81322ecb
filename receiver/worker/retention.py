"""Remove deliveries that belong to no run: after some days, and beyond a bound of bytes.

Every worker does this now and then. Where several share a database, rows that one has locked are left alone by the
others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from receiver import telemetry
from storage import errors
from storage.engine import database
from storage.query import grammar
from storage.retention import erasing, unmatched

#: Bytes of rejected requests in the database. Within an hour it may be exceeded by the bytes that each process
#: stores in one (`rejection_buffer.BYTES_PER_HOUR`).
MAX_REJECTED_BYTES = 256 << 20
#: Least seconds between two batches, in which others can use the database.
PAUSE = 0.01


async def run(
    store: database.Database,
    telemetry: telemetry.Telemetry,
    clock: Callable[[], datetime],
    days: int,
    seconds: float,
    *,
    most: int = MAX_REJECTED_BYTES,
) -> None:
    """Remove deliveries older than `days`, every `seconds` seconds, until cancelled."""
    while True:
        try:
            await remove_expired(store, clock, days=days, most=most)
        except errors.Unavailable as trouble:
            telemetry.log.warning("retention_paused", reason=str(trouble))
        await asyncio.sleep(seconds)


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
