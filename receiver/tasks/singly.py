"""Work about many at once, of which one that cannot be dealt with does not cost the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from receiver import errors, rounds
from storage import errors as storage_errors

T = TypeVar("T")
R = TypeVar("R")
#: What no single member is at fault for.
OF_ALL = (errors.UpstreamError, storage_errors.Unavailable, storage_errors.Fenced)


async def done(
    work: Callable[[Sequence[T]], Awaitable[R]], members: Sequence[T], broke: Callable[[T, Exception], None]
) -> list[R]:
    """Return what `work` answers for all members, or for parts of them where that breaks.

    `broke` gets each member that breaks it alone. Raises UpstreamError, Unavailable, Fenced.
    """
    answers: list[R] = []
    failure = await rounds.outcome(_kept(work(members), answers))
    if failure is None:
        return answers
    if isinstance(failure, OF_ALL):
        raise failure
    if len(members) <= 1:
        for member in members:
            broke(member, failure)
        return []
    half = len(members) // 2
    return [*await done(work, members[:half], broke), *await done(work, members[half:], broke)]


async def _kept(work: Awaitable[R], answers: list[R]) -> None:
    answers.append(await work)
