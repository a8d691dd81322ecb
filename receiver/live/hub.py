"""All streams of a house that are listened to: opened once, connected again where they break, let go in time."""

from __future__ import annotations

import asyncio
import contextlib

from receiver import backoff, errors, telemetry
from receiver.live import channels
from receiver.upstream import client

#: Attempts in a row that bring nothing new before a channel is given up.
TRIES = 8
#: Answers of the 4xx that may be others the next time.
_PASSING = frozenset({408, 425, 429})


class Hub:
    """All channels of a house. They live within `run`, and as long as somebody listens, or did a moment ago."""

    def __init__(
        self,
        timing: backoff.Timing,
        told: telemetry.Telemetry,
        stopping: asyncio.Event,
        bounds: channels.Bounds | None = None,
    ) -> None:
        self.bounds = bounds or channels.Bounds()
        self._timing = timing
        self._told = told
        self._stopping = stopping
        self._channels: list[channels.Channel] = []
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

    async def listen(self, upstream_id: str, after: int) -> channels.Listening:
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

    def _find(self, upstream_id: str, after: int) -> channels.Channel | None:
        fitting = (each for each in self._channels if each.upstream_id == upstream_id and each.holds(after))
        return next(fitting, None)

    def _open(self, upstream_id: str, after: int) -> channels.Channel:
        if self._group is None:
            raise errors.NotFollowed
        if len(self._channels) >= self.bounds.channels:
            self._make_room()
        channel = channels.Channel(upstream_id, after, self.bounds)
        self._channels.append(channel)
        channel.task = self._group.create_task(self._follow(channel))
        return channel

    def _make_room(self) -> None:
        idle = next((each for each in self._channels if each.listeners == 0), None)
        if idle is None:
            raise errors.TooManyStreams(f"{self.bounds.channels} runs are listened to: try again in a moment")
        self._drop(idle)

    def _join(self, channel: channels.Channel, after: int) -> channels.Listening:
        channel.listeners += 1
        self._listeners += 1
        if channel.leaving is not None:
            channel.leaving.cancel()
            channel.leaving = None
        self._told.streaming(len(self._channels), self._listeners)
        return channels.Listening(channel, after, self._timing.stream_heartbeat, self._leave)

    def _leave(self, channel: channels.Channel) -> None:
        """A channel that nobody listens to stays for a moment: who was cut off comes back soon."""
        channel.listeners -= 1
        channel.take(channel.heard)  # one fewer to wait for
        self._listeners -= 1
        if channel.listeners == 0 and channel in self._channels:
            loop = asyncio.get_running_loop()
            channel.leaving = loop.call_later(self._timing.stream_linger, self._drop, channel)
        self._told.streaming(len(self._channels), self._listeners)

    def _drop(self, channel: channels.Channel) -> None:
        if channel in self._channels:
            self._channels.remove(channel)
        if channel.task is not None:
            channel.task.cancel()
        self._told.streaming(len(self._channels), self._listeners)

    async def _follow(self, channel: channels.Channel) -> None:
        """Reads a channel's stream to the end of the run, connecting again as long as that may help."""
        try:
            failures = 0
            while True:
                before = channel.last
                failure = await self._read(channel)
                failures = failures + 1 if channel.last == before else 1
                if failure is None or not channel.began.is_set() or failures >= TRIES or self._is_final(failure):
                    channel.finish(failure)
                    return
                await asyncio.sleep(self._pause(failures, failure))
        finally:
            channel.finish(errors.Interrupted("the stream was given up here: connect again"))

    async def _read(self, channel: channels.Channel) -> errors.UpstreamError | None:
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
        wait = backoff.delay(failures, self._timing.backoff, self._timing.pause_most)
        return max(wait.total_seconds(), _wished(failure))

    def _is_final(self, failure: errors.UpstreamError) -> bool:
        """Whether asking again is of no use, or not for so long that listeners had better come back."""
        status = failure.status if isinstance(failure, errors.Answered) else 500
        return (400 <= status < 500 and status not in _PASSING) or _wished(failure) > self._timing.pause_most


def _wished(failure: errors.UpstreamError) -> float:
    """Seconds that the upstream wants to be left alone."""
    return (failure.retry_after or 0.0) if isinstance(failure, errors.Answered) else 0.0
