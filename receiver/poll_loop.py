"""Repeat a piece of work after each commit, for as long as a server runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from storage import errors
from storage.engine import database


async def failure_of(work: Awaitable[object]) -> Exception | None:
    """Await the work and return the exception it raised, None where it succeeded.

    This is the boundary of a task, for callers that continue whatever one piece of work contains.
    """
    try:
        await work
    except Exception as failure:  # noqa: BLE001 - returned as a value
        return failure
    return None


def log_reason(failure: Exception) -> str:
    """Return a failure's text for a log: a storage error by its message, a bug by its type, without contents."""
    return str(failure) if isinstance(failure, errors.StorageError) else type(failure).__name__


async def run(
    store: database.Database,
    work: Callable[[], Awaitable[None]],
    on_failure: Callable[[str], None],
    *,
    pace: float,
    poll: float,
) -> None:
    """Repeat `work` until cancelled, at least `pace` seconds after the last time and at most `poll` seconds later.

    While the database is away, or the work fails otherwise, `on_failure` is called with the reason.
    """
    while True:
        wake = store.next_commit()
        failure = await failure_of(work())
        if failure is not None:
            on_failure(log_reason(failure))
        await asyncio.sleep(pace)
        await asyncio.wait([wake], timeout=poll)
