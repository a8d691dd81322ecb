"""One upstream stream and its listeners.

A channel keeps the newest events of a stream in a ring buffer, at the pace of its fastest listener. Only a
listener that the end of the buffer overtakes is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from receiver import errors
from storage.repositories import stream_events


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits: channels and listeners of the server, events and characters of a buffer."""

    channels: int = 64
    listeners: int = 512
    events: int = 4096
    characters: int = 1 << 20
    #: Events that a listener reads from the buffer at once.
    batch: int = 64


class Channel:
    """The stream of one upstream run after the id `since`, as far as the buffer still holds it."""

    def __init__(self, upstream_id: str, since: int, bounds: Bounds) -> None:
        self.upstream_id = upstream_id
        self.since = self.last = since
        #: The id up to which the fastest listener has read.
        self.read_up_to = since
        self.listeners = 0
        self.is_over = False
        self.failure: Exception | None = None
        #: Set once the upstream has answered, whatever the answer.
        self.began = asyncio.Event()
        #: Set and replaced at each new event and at the end.
        self.changed = asyncio.Event()
        self.read = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.closing: asyncio.TimerHandle | None = None
        self._bounds = bounds
        self._buffer: deque[stream_events.Event] = deque()
        self._size = 0

    async def add(self, event: stream_events.Event, slow_after: float) -> None:
        """Append the newest event.

        Before an event that no listener has read is dropped, wait for the fastest listener, at most `slow_after`
        seconds.
        """
        self._buffer.append(event)
        self.last, self._size = event.id, self._size + len(event.data)
        self._wake()
        while len(self._buffer) > self._bounds.events or self._size > self._bounds.characters:
            await self._await_reader(slow_after)
            oldest = self._buffer.popleft()
            self.since, self._size = oldest.id, self._size - len(oldest.data)

    async def _await_reader(self, patience: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self.listeners and self.read_up_to < self._buffer[0].id:
                    await self.read.wait()

    def events_after(self, seen: int) -> list[stream_events.Event]:
        """Return the next events after the id `seen`. Raises StreamInterrupted where the buffer lost them."""
        if seen < self.since:
            raise errors.StreamInterrupted("this reader is too slow: connect again with the id of the last event")
        newest_first = list(takewhile(lambda event: event.id > seen, reversed(self._buffer)))
        return newest_first[-self._bounds.batch :][::-1]

    def mark_read(self, seen: int) -> None:
        self.read_up_to = max(self.read_up_to, seen)
        self.read.set()
        self.read = asyncio.Event()

    def finish(self, failure: Exception | None = None) -> None:
        """End the channel, because the run has ended or because of a failure. Only the first call counts."""
        if not self.is_over:
            self.is_over, self.failure = True, failure
            self.began.set()
            self._wake()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class Listener:
    """The events of one listener, with HEARTBEAT where there is none for a while; `aclose` leaves the channel."""

    def __init__(self, channel: Channel, seen: int, heartbeat: float, leave: Callable[[Channel], None]) -> None:
        self._channel = channel
        self._seen = seen
        self._heartbeat = heartbeat
        self._leave: Callable[[Channel], None] | None = leave
        self._batch: deque[stream_events.Event] = deque()

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> stream_events.Event | str:
        """Return the next event. Raises StreamInterrupted where the stream ends before its run."""
        while not self._batch:
            # Taken before the buffer is read, so that no later event is missed.
            news, is_over = self._channel.changed, self._channel.is_over
            self._batch.extend(self._channel.events_after(self._seen))
            if self._batch:
                self._channel.mark_read(self._batch[-1].id)
                break
            if is_over:
                raise _ending(self._channel.failure)
            try:
                await asyncio.wait_for(news.wait(), self._heartbeat)
            except TimeoutError:
                return stream_events.HEARTBEAT
        event = self._batch.popleft()
        self._seen = event.id
        return event

    async def aclose(self) -> None:
        if self._leave is not None:
            leave, self._leave = self._leave, None
            leave(self._channel)


def _ending(failure: Exception | None) -> Exception:
    if failure is None:
        return StopAsyncIteration()
    if isinstance(failure, errors.UpstreamError):
        return errors.StreamInterrupted(f"the upstream's stream broke off ({failure.summary}): connect again")
    return failure
