"""Repeat a piece of work after each commit, for as long as a server runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from storage import errors
from storage.engine import database

T = TypeVar("T")


async def outcome_of(work: Awaitable[T]) -> T | Exception:
    """Await the work and return its result, or the exception it raised.

    This is the boundary of a task: the caller continues after any failure of a piece of work.
    """
    try:
        return await work
    except Exception as failure:  # noqa: BLE001 - returned as a value
        return failure


def log_reason(failure: Exception) -> str:
    """Return a failure's text for a log: a storage error by its message, a bug by its type, without contents."""
    return str(failure) if isinstance(failure, errors.StorageError) else type(failure).__name__


async def run(
    store: database.Database,
    work: Callable[[], Awaitable[None]],
    on_failure: Callable[..., object],
    *,
    pace: float,
    poll: float,
) -> None:
    """Repeat `work` until cancelled: at least `pace` seconds after the last time, once something was committed.

    It is repeated without a commit after `poll` seconds, or later while commits of other processes are announced.

    While the database is unavailable, or the work fails otherwise, `on_failure` is called with the `reason`.
    """
    while True:
        wake = store.next_commit()
        failure = await outcome_of(work())
        if failure is not None:
            on_failure(reason=log_reason(failure))
        await asyncio.sleep(pace)
        await asyncio.wait([wake], timeout=store.longest_wait(poll))
