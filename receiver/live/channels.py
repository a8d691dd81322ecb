"""One upstream stream, and who listens to it.

A channel keeps the newest of a stream in a ring, at the pace of its fastest listener. Whoever is overtaken by the
end of the ring is dropped, and nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from receiver import errors
from storage import events


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much there is at most: channels and listeners of the house, events and characters of a ring."""

    channels: int = 64
    listeners: int = 512
    events: int = 4096
    size: int = 1 << 20
    #: Events that a listener takes out of the ring at once.
    batch: int = 64


class Channel:
    """The stream of one upstream run from behind the id `since` on, as far as the ring still holds it."""

    def __init__(self, upstream_id: str, since: int, bounds: Bounds) -> None:
        self.upstream_id = upstream_id
        self.since = self.last = since
        #: How far the fastest listener has come.
        self.heard = since
        self.listeners = 0
        self.is_over = False
        self.failure: Exception | None = None
        #: Set once the upstream has answered, in whatever way.
        self.began = asyncio.Event()
        #: Set and replaced whenever there is something new.
        self.news = asyncio.Event()
        self.taken = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.leaving: asyncio.TimerHandle | None = None
        self._bounds = bounds
        self._ring: deque[events.Event] = deque()
        self._size = 0

    def holds(self, after: int) -> bool:
        """Whether who has everything up to `after` can go on here."""
        return self.failure is None and self.since <= after

    async def add(self, event: events.Event, patience: float) -> None:
        """The newest event.

        Waits for the fastest listener, `patience` seconds at most, before anything that nobody took is given up.
        """
        self._ring.append(event)
        self.last, self._size = event.id, self._size + len(event.data)
        self._tell()
        while len(self._ring) > self._bounds.events or self._size > self._bounds.size:
            await self._await_taker(patience)
            oldest = self._ring.popleft()
            self.since, self._size = oldest.id, self._size - len(oldest.data)

    async def _await_taker(self, patience: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self.listeners and self.heard < self._ring[0].id:
                    await self.taken.wait()

    def behind(self, seen: int) -> list[events.Event]:
        """The next events behind the id `seen`. Raises Interrupted where the ring does not hold them any more."""
        if seen < self.since:
            raise errors.Interrupted("this reader is too slow: connect again with the id of the last event")
        newest_first = list(takewhile(lambda event: event.id > seen, reversed(self._ring)))
        return newest_first[-self._bounds.batch :][::-1]

    def take(self, seen: int) -> None:
        """A listener has everything up to this id."""
        self.heard = max(self.heard, seen)
        self.taken.set()
        self.taken = asyncio.Event()

    def finish(self, failure: Exception | None = None) -> None:
        """Nothing more comes, because the run has ended or because of a failure. The first word counts."""
        if not self.is_over:
            self.is_over, self.failure = True, failure
            self.began.set()
            self._tell()

    def _tell(self) -> None:
        self.news.set()
        self.news = asyncio.Event()


class Listening:
    """What one listener hears: events, or HEARTBEAT where there is none for a while; `aclose` lets go of it."""

    def __init__(self, channel: Channel, seen: int, heartbeat: float, leave: Callable[[Channel], None]) -> None:
        self._channel = channel
        self._seen = seen
        self._heartbeat = heartbeat
        self._leave: Callable[[Channel], None] | None = leave
        self._batch: deque[events.Event] = deque()

    def __aiter__(self) -> Listening:
        return self

    async def __anext__(self) -> events.Event | str:
        """Raises Interrupted where the stream ends before its run."""
        while not self._batch:
            # Taken before the look: what comes after it is not missed.
            news, is_over = self._channel.news, self._channel.is_over
            self._batch.extend(self._channel.behind(self._seen))
            if self._batch:
                self._channel.take(self._batch[-1].id)
                break
            if is_over:
                raise _ending(self._channel.failure)
            try:
                await asyncio.wait_for(news.wait(), self._heartbeat)
            except TimeoutError:
                return events.HEARTBEAT
        event = self._batch.popleft()
        self._seen = event.id
        return event

    async def aclose(self) -> None:
        """Listens no more."""
        if self._leave is not None:
            leave, self._leave = self._leave, None
            leave(self._channel)


def _ending(failure: Exception | None) -> Exception:
    if failure is None:
        return StopAsyncIteration()
    if isinstance(failure, errors.UpstreamError):
        return errors.Interrupted(f"the upstream's stream broke off ({failure.summary}): connect again")
    return failure
