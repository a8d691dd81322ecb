"""Apply work to many members so that a faulty one does not stop the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from receiver import errors, poll_loop
from storage import errors as storage_errors

T = TypeVar("T")
R = TypeVar("R")
#: Failures that no single member causes, so that they end the whole work.
SHARED_FAILURES = (errors.UpstreamError, storage_errors.Unavailable, storage_errors.LeaseLost)


async def attempt(work: Awaitable[R]) -> R | Exception:
    """Return the result of work on one member, or its failure. Raises UpstreamError, Unavailable, LeaseLost."""
    outcome = await poll_loop.outcome_of(work)
    if isinstance(outcome, SHARED_FAILURES):
        raise outcome
    return outcome


async def apply(
    work: Callable[[Sequence[T]], Awaitable[R]], members: Sequence[T], on_failure: Callable[[T, Exception], None]
) -> list[R]:
    """Return the results of `work` for all members, or for parts of them where that fails.

    `on_failure` is called with each member that fails alone. Raises UpstreamError, Unavailable, LeaseLost.
    """
    outcome = await attempt(work(members))
    if not isinstance(outcome, Exception):
        return [outcome]
    if len(members) <= 1:
        for member in members:
            on_failure(member, outcome)
        return []
    half = len(members) // 2
    return [*await apply(work, members[:half], on_failure), *await apply(work, members[half:], on_failure)]
