"""The queues of waiting writes: one for documents, one for everything else.

Each queue has its own limits, so waiting documents never make the database reject a callback. A sole writer
alternates between both, and writes a heavy document alone, so that no other call waits for two of them. Where
other processes write as well, each queue has a writer of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(eq=False, slots=True)
class Member:
    """One waiting call. Calls whose `joins` is true run together with the other calls of the same function."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    answer: asyncio.Future[Any]
    is_batched: bool = False
    result: Any = None

    @property
    def weight(self) -> int:
        """The size of the arguments in bytes, of those that have a `weight`."""
        return sum(getattr(argument, "weight", 0) for argument in self.arguments)

    @property
    def is_document(self) -> bool:
        """Whether the call waits in the queue of documents."""
        return getattr(self.function, "is_document", False)


def with_documents(function: F) -> F:
    """Mark a function whose calls wait in the queue of documents: it stores one, or locks rows that one locks."""
    function.is_document = True  # type: ignore[attr-defined]
    return function


class Queue:
    """Members in order of arrival: at most `most` of them, with `most_bytes` together."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._members: deque[Member] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._members)

    @property
    def is_full(self) -> bool:
        """Whether the queue accepts no more. A single member may have any size."""
        return len(self._members) >= self._most or self._bytes >= self._most_bytes

    def first(self) -> Member | None:
        """Return the oldest member, or None."""
        return self._members[0] if self._members else None

    def append(self, member: Member) -> bool:
        """Add a member at the end; return False where the queue is full."""
        if self.is_full:
            return False
        self._members.append(member)
        self._bytes += member.weight
        return True

    def pop(self) -> Member:
        """Remove and return the oldest member."""
        member = self._members.popleft()
        self._bytes -= member.weight
        return member

    def take(self, most: int, most_bytes: int, fits: Callable[[Member], bool]) -> list[Member]:
        """Remove and return the oldest members that fit, at least one of them; the others keep their order."""
        group, passed, weight = list[Member](), list[Member](), 0
        while self._members and len(group) < most:
            member = self._members[0]
            if not fits(member):
                passed.append(self._members.popleft())
                continue
            if group and weight + member.weight > most_bytes:
                break
            weight += member.weight
            group.append(self.pop())
        self._members.extendleft(reversed(passed))
        return group

    def pop_all(self) -> list[Member]:
        """Remove and return all members."""
        return [self.pop() for _ in range(len(self._members))]


class BatchSource(Protocol):
    """The source from which one writer takes its commit batches."""

    def __len__(self) -> int: ...
    def append(self, member: Member) -> bool:
        """Add a member; return False where its queue is full."""

    def take(self) -> list[Member]:
        """Remove and return the next commit batch: within the limits, and never empty."""

    def marked(self) -> tuple[int, ...]:
        """Return the numbers of waiting members, for `pop_marked`."""

    def pop_marked(self, marked: tuple[int, ...]) -> list[Member]:
        """Remove and return the members that waited at the mark; valid only while none was taken since."""

    def pop_all(self) -> list[Member]:
        """Remove and return all members."""


class SingleQueue:
    """A batch source of one queue, for a database in which other processes write too.

    Functions lock rows in different orders, which could deadlock, so only the calls of one batch function share a
    transaction.
    """

    def __init__(self, queue: Queue, batch: int, batch_bytes: int) -> None:
        self._queue, self._batch, self._batch_bytes = queue, batch, batch_bytes

    def __len__(self) -> int:
        return len(self._queue)

    def append(self, member: Member) -> bool:
        """Add a member; return False where the queue is full."""
        return self._queue.append(member)

    def take(self) -> list[Member]:
        """Remove and return the oldest member, with the other calls of its batch function."""
        first = self._queue.first()
        if first is None:
            return []
        most = self._batch if first.is_batched else 1
        return self._queue.take(most, self._batch_bytes, lambda each: each.function is first.function)

    def marked(self) -> tuple[int, ...]:
        """Return how many members wait now, for `pop_marked`."""
        return (len(self._queue),)

    def pop_marked(self, marked: tuple[int, ...]) -> list[Member]:
        """Remove and return the members that waited then, where none was taken since."""
        return [self._queue.pop() for _ in range(marked[0])]

    def pop_all(self) -> list[Member]:
        """Remove and return all members."""
        return self._queue.pop_all()


class AlternatingQueues:
    """A batch source that alternates between two queues, for a sole writer.

    `batch` and `batch_bytes` limit a transaction.
    """

    def __init__(self, documents: Queue, others: Queue, batch: int, batch_bytes: int) -> None:
        self._documents, self._others = documents, others
        self._batch, self._batch_bytes = batch, batch_bytes
        self._heavy = batch_bytes // 8
        self._is_turn_of_heavy = False

    def __len__(self) -> int:
        return len(self._documents) + len(self._others)

    def append(self, member: Member) -> bool:
        """Add a member; return False where its queue is full."""
        return (self._documents if member.is_document else self._others).append(member)

    def take(self) -> list[Member]:
        """Return the next commit batch: other calls, and at least one document where one waits.

        A heavy document is a batch of its own, in every second turn.
        """
        first = self._documents.first()
        is_heavy = first is not None and first.weight > self._heavy
        if is_heavy and (self._is_turn_of_heavy or not self._others):
            self._is_turn_of_heavy = False
            return [self._documents.pop()]
        self._is_turn_of_heavy = True
        members = [] if first is None or is_heavy else [self._documents.pop()]
        members += self._others.take(
            self._batch - len(members), self._batch_bytes - _weight(members), lambda _: True
        )
        while more := self._light(members):
            members.append(more)
        return members

    def _light(self, members: list[Member]) -> Member | None:
        """Remove and return a document that still fits into the batch, or None."""
        first = self._documents.first()
        if first is None or first.weight > self._heavy or len(members) >= self._batch:
            return None
        if members and _weight(members) + first.weight > self._batch_bytes:
            return None
        return self._documents.pop()

    def marked(self) -> tuple[int, ...]:
        """Return how many members wait now, for `pop_marked`."""
        return len(self._documents), len(self._others)

    def pop_marked(self, marked: tuple[int, ...]) -> list[Member]:
        """Remove and return the members that waited then, where none was taken since."""
        queues = zip((self._documents, self._others), marked, strict=True)
        return [queue.pop() for queue, count in queues for _ in range(count)]

    def pop_all(self) -> list[Member]:
        """Remove and return all members."""
        return [*self._documents.pop_all(), *self._others.pop_all()]


def _weight(group: list[Member]) -> int:
    return sum(each.weight for each in group)
