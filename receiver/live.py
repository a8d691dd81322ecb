"""The streams of runs that are listened to: one upstream, however many listen.

A channel reads the stream of a run from some event on, at the pace of its fastest listener, keeps the newest of it
in a ring, and connects again where it breaks. Whoever is overtaken by the end of the ring is dropped, and nobody
else. Everything is bounded: channels, listeners, and the events and characters of each ring.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from receiver import backoff, errors, telemetry
from receiver.upstream import client
from storage import events

#: What a listener hears where nothing happened for a while: a comment in the stream.
HEARTBEAT = "heartbeat"
#: Attempts in a row that bring nothing new before a channel is given up.
TRIES = 8
#: Answers of the 4xx that may be others the next time.
_PASSING = frozenset({408, 425, 429})


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
        """The newest event. One that repeats an id is passed over.

        Waits for the fastest listener, `patience` seconds at most, before anything that nobody took is given up.
        """
        if event.id <= self.last:
            return
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
    """What one listener hears: events, and HEARTBEAT where there is none for a while; `aclose` lets go of it."""

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
                return HEARTBEAT
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


class Hub:
    """All channels of a house. They live within `run`, and as long as somebody listens, or did a moment ago."""

    def __init__(
        self,
        timing: backoff.Timing,
        told: telemetry.Telemetry,
        stopping: asyncio.Event,
        bounds: Bounds = Bounds(),
    ) -> None:
        self.bounds = bounds
        self._timing = timing
        self._told = told
        self._stopping = stopping
        self._channels: list[Channel] = []
        self._listeners = 0
        self._upstream: client.Client | None = None
        self._group: asyncio.TaskGroup | None = None

    async def run(self, upstream: client.Client) -> None:
        """Reads streams until the server stops, when all listeners are told to come back later."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group, self._upstream = group, upstream
                await self._stopping.wait()
                self._group = None
                for channel in list(self._channels):
                    channel.finish(errors.Interrupted("the server stops: connect again"))
                    self._drop(channel)
        finally:
            self._group = None

    async def listen(self, upstream_id: str, after: int) -> Listening:
        """The events of a run behind the id `after`; once the upstream has answered, or after a while in any case.

        Raises TooManyStreams, NotFollowed where nothing runs, and what the upstream's first answer raises.
        """
        if self._listeners >= self.bounds.listeners:
            raise errors.TooManyStreams(f"{self.bounds.listeners} listen already: try again in a moment")
        channel = self._find(upstream_id, after) or self._open(upstream_id, after)
        async with contextlib.AsyncExitStack() as stack:
            listening = self._join(channel, after)
            stack.push_async_callback(listening.aclose)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(channel.began.wait(), self._timing.stream_begin)
            if isinstance(channel.failure, errors.UpstreamError) and channel.last == channel.since:
                raise channel.failure
            stack.pop_all()
        return listening

    def _find(self, upstream_id: str, after: int) -> Channel | None:
        fitting = (each for each in self._channels if each.upstream_id == upstream_id and each.holds(after))
        return next(fitting, None)

    def _open(self, upstream_id: str, after: int) -> Channel:
        if self._group is None:
            raise errors.NotFollowed
        if len(self._channels) >= self.bounds.channels:
            self._make_room()
        channel = Channel(upstream_id, after, self.bounds)
        self._channels.append(channel)
        channel.task = self._group.create_task(self._follow(channel))
        return channel

    def _make_room(self) -> None:
        idle = next((each for each in self._channels if each.listeners == 0), None)
        if idle is None:
            raise errors.TooManyStreams(f"{self.bounds.channels} runs are listened to: try again in a moment")
        self._drop(idle)

    def _join(self, channel: Channel, after: int) -> Listening:
        channel.listeners += 1
        self._listeners += 1
        if channel.leaving is not None:
            channel.leaving.cancel()
            channel.leaving = None
        self._told.streaming(len(self._channels), self._listeners)
        return Listening(channel, after, self._timing.stream_heartbeat, self._leave)

    def _leave(self, channel: Channel) -> None:
        """A channel that nobody listens to stays for a moment: who was cut off comes back soon."""
        channel.listeners -= 1
        channel.take(channel.heard)  # one fewer to wait for
        self._listeners -= 1
        if channel.listeners == 0 and channel in self._channels:
            loop = asyncio.get_running_loop()
            channel.leaving = loop.call_later(self._timing.stream_linger, self._drop, channel)
        self._told.streaming(len(self._channels), self._listeners)

    def _drop(self, channel: Channel) -> None:
        if channel in self._channels:
            self._channels.remove(channel)
        if channel.task is not None:
            channel.task.cancel()
        self._told.streaming(len(self._channels), self._listeners)

    async def _follow(self, channel: Channel) -> None:
        """Reads a channel's stream to the end of the run, connecting again as long as that may help."""
        try:
            failures = 0
            while True:
                before = channel.last
                failure = await self._read(channel)
                failures = failures + 1 if channel.last == before else 1
                if failure is None or not channel.began.is_set() or failures >= TRIES or _is_final(failure):
                    channel.finish(failure)
                    return
                await asyncio.sleep(self._pause(failures, failure))
        finally:
            channel.finish(errors.Interrupted("the stream was given up here: connect again"))

    async def _read(self, channel: Channel) -> errors.UpstreamError | None:
        """Reads on until the end of the run, or until the stream breaks."""
        assert self._upstream is not None, "channels are opened while the hub runs"
        idle, skipped = self._timing.stream_idle, self._told.skipped
        try:
            async with self._upstream.events(
                channel.upstream_id, channel.last, idle=idle, skipped=skipped
            ) as found:
                channel.began.set()
                async for event in found:
                    await channel.add(event, self._timing.slow_reader)
        except errors.UpstreamError as failure:
            return failure
        return None

    def _pause(self, failures: int, failure: errors.UpstreamError) -> float:
        wished = failure.retry_after if isinstance(failure, errors.Answered) else None
        wait = backoff.delay(failures, self._timing.backoff, self._timing.pause_most)
        return max(wait.total_seconds(), wished or 0.0)


def _is_final(failure: errors.UpstreamError) -> bool:
    """Whether asking again is of no use."""
    return isinstance(failure, errors.Answered) and 400 <= failure.status < 500 and failure.status not in _PASSING
