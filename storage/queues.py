"""What waits in front of the database: documents in one queue, everything else in another.

Each has its own bounds, so however many documents wait, a callback is not turned away for them. A heavy document
is written alone, in turn with the others, so that nobody waits for two of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(eq=False, slots=True)
class Member:
    """One waiting call; `joins` says that the calls of its function are carried out together."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    answer: asyncio.Future[Any]
    joins: bool = False
    result: Any = None

    @property
    def weight(self) -> int:
        """Bytes that its arguments hold, as far as they tell."""
        return sum(getattr(argument, "weight", 0) for argument in self.arguments)

    @property
    def is_document(self) -> bool:
        """Whether it writes a document of the upstream's."""
        return any(getattr(argument, "is_document", False) for argument in self.arguments)


class Queue:
    """Members in order of arrival, up to `most` of them and `most_bytes`."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._members: deque[Member] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._members)

    @property
    def is_full(self) -> bool:
        """Whether nothing more is taken; one member may be of any size."""
        return len(self._members) >= self._most or self._bytes >= self._most_bytes

    def first(self) -> Member | None:
        """The one that has waited for the longest."""
        return self._members[0] if self._members else None

    def append(self, member: Member) -> None:
        """Has it wait behind all others."""
        self._members.append(member)
        self._bytes += member.weight

    def pop(self) -> Member:
        """Takes the first one out."""
        member = self._members.popleft()
        self._bytes -= member.weight
        return member

    def take(self, most: int, most_bytes: int, fits: Callable[[Member], bool]) -> list[Member]:
        """Takes out the first ones that fit, at least one of them; the others keep their places."""
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
        """Takes all of them out."""
        return [self.pop() for _ in range(len(self._members))]


class Waiting:
    """Both queues, and whose turn it is. `group` and `group_bytes` bound what is written together.

    Calls that lock rows wait for those of other processes, and each does so in an order of its own: where there
    are other writers a list function's calls go together, and any other one alone.
    """

    def __init__(
        self, documents: Queue, others: Queue, group: int, group_bytes: int, *, is_sole_writer: bool
    ) -> None:
        self._documents, self._others = documents, others
        self._group, self._group_bytes = group, group_bytes
        self._is_sole_writer = is_sole_writer
        self._heavy = group_bytes // 8 if is_sole_writer else 0
        self._is_turn_of_heavy = False

    def __len__(self) -> int:
        return len(self._documents) + len(self._others)

    def append(self, member: Member) -> bool:
        """Has it wait; False where its queue is full."""
        queue = self._documents if member.is_document else self._others
        if queue.is_full:
            return False
        queue.append(member)
        return True

    def take(self) -> list[Member]:
        """Return the next group, within the limits but never empty: others, and at least one document that waits.

        Where a heavy document waits, or there are other writers, it is a group of its own in every second turn.
        """
        first = self._documents.first()
        is_alone = first is not None and (not self._is_sole_writer or first.weight > self._heavy)
        if is_alone and (self._is_turn_of_heavy or not self._others):
            self._is_turn_of_heavy = False
            return [self._documents.pop()]
        self._is_turn_of_heavy = True
        group = [] if first is None or is_alone else [self._documents.pop()]
        group += self._of_others(self._group - len(group), self._group_bytes - _weight(group))
        while self._is_sole_writer and (more := self._light(group)):
            group.append(more)
        return group

    def _of_others(self, most: int, most_bytes: int) -> list[Member]:
        first = self._others.first()
        if first is None:
            return []
        if self._is_sole_writer:
            return self._others.take(most, most_bytes, lambda _: True)
        most = most if first.joins else 1
        return self._others.take(most, most_bytes, lambda each: each.function is first.function)

    def _light(self, group: list[Member]) -> Member | None:
        """One more document for a group that has room for it."""
        first = self._documents.first()
        if first is None or first.weight > self._heavy or len(group) >= self._group:
            return None
        if group and _weight(group) + first.weight > self._group_bytes:
            return None
        return self._documents.pop()

    def marked(self) -> tuple[int, int]:
        """How many wait now, for `pop_marked`."""
        return len(self._documents), len(self._others)

    def pop_marked(self, marked: tuple[int, int]) -> list[Member]:
        """Takes out those that waited then, of whom none was taken since."""
        queues = zip((self._documents, self._others), marked, strict=True)
        return [queue.pop() for queue, count in queues for _ in range(count)]

    def pop_all(self) -> list[Member]:
        """Takes all of them out."""
        return [*self._documents.pop_all(), *self._others.pop_all()]


def _weight(group: list[Member]) -> int:
    return sum(each.weight for each in group)
