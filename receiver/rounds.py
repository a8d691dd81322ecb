"""What is done again whenever something was committed, for as long as a server runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from storage import database, errors


async def outcome(work: Awaitable[object]) -> Exception | None:
    """The boundary of a task: whatever it raises is a value from here on, None where all went well.

    For who goes on with other things, whatever one of them contains.
    """
    try:
        await work
    except Exception as failure:  # noqa: BLE001 - handed on whole, as a value
        return failure
    return None


def reason(failure: Exception) -> str:
    """What a log says of a failure: trouble in its own words, a bug by its kind alone, which holds no contents."""
    return str(failure) if isinstance(failure, errors.StorageError) else type(failure).__name__


async def run(
    store: database.Database,
    work: Callable[[], Awaitable[None]],
    waits: Callable[[str], None],
    *,
    pace: float,
    poll: float,
) -> None:
    """Does it until cancelled: at the earliest `pace` seconds after the last time, after `poll` in any case.

    While the database is away, or the work fails otherwise, `waits` gets the reason.
    """
    while True:
        wake = store.next_commit()
        failure = await outcome(work())
        if failure is not None:
            waits(reason(failure))
        await asyncio.sleep(pace)
        await asyncio.wait([wake], timeout=poll)
