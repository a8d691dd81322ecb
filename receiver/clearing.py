"""Removing what came from outside and belongs to no run: after some days, and beyond a bound of bytes.

Every worker has a turn now and then. Where several share a database, what one holds the others leave alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from receiver import telemetry
from storage import database, errors, transitions

#: Bytes of requests that did not verify, of all processes together. Within an hour it may be exceeded by as much
#: as each of them keeps in one (`rejections.BYTES`).
MOST = 256 << 20
#: The least seconds between two batches, in which others get at the database.
PAUSE = 0.01


async def run(
    store: database.Database,
    told: telemetry.Telemetry,
    clock: Callable[[], datetime],
    days: int,
    seconds: float,
    *,
    most: int = MOST,
) -> None:
    """Remove what is older than `days`, every so many seconds, until cancelled."""
    while True:
        try:
            await clear(store, clock, days=days, most=most)
        except errors.Unavailable as trouble:
            told.log.warning("clearing_waits", reason=str(trouble))
        await asyncio.sleep(seconds)


async def clear(store: database.Database, clock: Callable[[], datetime], *, days: int, most: int = MOST) -> None:
    """Remove it all, batch by batch; nothing is written where there is nothing."""
    chosen = transitions.Chosen(clock() - timedelta(days=days))

    async def aged() -> bool:
        return (await store.write(transitions.clear, chosen, clock(), "worker")).goes_on

    if await store.read(transitions.has_loose, chosen):
        await batches(aged)
    excess = await store.read(transitions.rejected_size) - most

    async def oldest() -> bool:
        nonlocal excess
        excess = await store.write(transitions.trim, excess)
        return excess > 0

    if excess > 0:
        await batches(oldest)


async def batches(batch: Callable[[], Awaitable[bool]]) -> None:
    """Do it until there is no more. After each one others have as long at the database as it took."""
    while True:
        began = time.monotonic()
        if not await batch():
            return
        await asyncio.sleep(max(PAUSE, time.monotonic() - began))
