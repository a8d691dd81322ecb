"""Apply work to many members so that a faulty one does not stop the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from receiver import errors, poll_loop
from storage import errors as storage_errors

T = TypeVar("T")
R = TypeVar("R")
#: Failures that no single member causes.
SHARED_FAILURES = (errors.UpstreamError, storage_errors.Unavailable, storage_errors.LeaseLost)


async def apply(
    work: Callable[[Sequence[T]], Awaitable[R]], members: Sequence[T], on_failure: Callable[[T, Exception], None]
) -> list[R]:
    """Return the results of `work` for all members, or for parts of them where that fails.

    `on_failure` is called with each member that fails alone. Raises UpstreamError, Unavailable, LeaseLost.
    """
    results: list[R] = []
    failure = await poll_loop.failure_of(_append_result(work(members), results))
    if failure is None:
        return results
    if isinstance(failure, SHARED_FAILURES):
        raise failure
    if len(members) <= 1:
        for member in members:
            on_failure(member, failure)
        return []
    half = len(members) // 2
    return [*await apply(work, members[:half], on_failure), *await apply(work, members[half:], on_failure)]


async def _append_result(work: Awaitable[R], results: list[R]) -> None:
    results.append(await work)
