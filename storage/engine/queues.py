"""The queues of waiting writes: one for documents, one for everything else.

Each queue has its own limits, so waiting documents never make the database reject a callback. A sole writer
alternates between both, and writes a heavy document alone, so that no other call waits for two of them. Where
other processes write as well, each queue has a writer of its own.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(eq=False, slots=True)
class Member:
    """One waiting call. Where `is_batched` is true, it runs with the other calls of the same function."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    answer: asyncio.Future[Any]
    is_batched: bool = False
    result: Any = None
    #: The bytes of the arguments that have a `weight`.
    weight: int = field(init=False)

    def __post_init__(self) -> None:
        self.weight = sum([getattr(argument, "weight", 0) for argument in self.arguments])

    @property
    def is_document(self) -> bool:
        """Return whether the call waits in the queue of documents."""
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
        """Return whether the queue accepts no more. A single member may have any size."""
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

    def put_back(self, member: Member) -> None:
        """Make a member the oldest again, even where the queue is full."""
        self._members.appendleft(member)
        self._bytes += member.weight

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


class BatchSource(ABC):
    """The queues from which one writer takes its commit batches; `batch` and `batch_bytes` limit a transaction."""

    def __init__(self, queues: Sequence[Queue], batch: int, batch_bytes: int) -> None:
        self._queues, self._batch, self._batch_bytes = queues, batch, batch_bytes

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues)

    def append(self, member: Member) -> bool:
        """Add a member, a document to the first queue, others to the last; return False where it is full."""
        return self._of(member).append(member)

    def put_back(self, members: Sequence[Member]) -> None:
        """Add members of the last batch at the front again, in the order in which they were."""
        for member in reversed(members):
            self._of(member).put_back(member)

    def _of(self, member: Member) -> Queue:
        return self._queues[0 if member.is_document else -1]

    @abstractmethod
    def take(self) -> list[Member]:
        """Remove and return the next commit batch: within the limits, and never empty where a member waits."""

    def marked(self) -> tuple[int, ...]:
        """Return how many members wait now, for `pop_marked`."""
        return tuple(len(queue) for queue in self._queues)

    def pop_marked(self, marked: tuple[int, ...]) -> list[Member]:
        """Remove and return the members that waited at the mark; valid only while none was taken since."""
        return [queue.pop() for queue, count in zip(self._queues, marked, strict=True) for _ in range(count)]

    def pop_all(self) -> list[Member]:
        """Remove and return all members."""
        return self.pop_marked(self.marked())


class SingleQueue(BatchSource):
    """A batch source of one queue, for a database in which other processes write too.

    Functions lock rows in different orders, which could deadlock, so only the calls of one batch function share a
    transaction.
    """

    def take(self) -> list[Member]:
        """Remove and return the oldest member, with the other calls of its batch function."""
        (queue,) = self._queues
        first = queue.first()
        if first is None:
            return []
        most = self._batch if first.is_batched else 1
        return queue.take(most, self._batch_bytes, lambda each: each.function is first.function)


class AlternatingQueues(BatchSource):
    """A batch source that alternates between two queues, documents and others, for a sole writer."""

    def __init__(self, documents: Queue, others: Queue, batch: int, batch_bytes: int) -> None:
        super().__init__((documents, others), batch, batch_bytes)
        self._documents, self._others = documents, others
        self._heavy = batch_bytes // 8
        self._is_turn_of_heavy = False

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


def _weight(group: list[Member]) -> int:
    return sum(each.weight for each in group)
