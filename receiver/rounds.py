"""What is done again whenever something was committed, for as long as a server runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from storage import database, errors


async def run(
    store: database.Database,
    work: Callable[[], Awaitable[None]],
    waits: Callable[[str], None],
    *,
    pace: float,
    poll: float,
) -> None:
    """Does it until cancelled: at the earliest `pace` seconds after the last time, after `poll` in any case.

    While the database is away `waits` is told the reason.
    """
    while True:
        wake = store.next_commit()
        try:
            await work()
        except errors.Unavailable as trouble:
            waits(str(trouble))
        await asyncio.sleep(pace)
        await asyncio.wait([wake], timeout=poll)
