"""All open event streams of a server: opened once per run, reconnected where they break, closed in time."""

from __future__ import annotations

import asyncio
import contextlib

from receiver import errors, telemetry, timeouts
from receiver.streams import channels
from receiver.upstream import client

#: Attempts in a row without a new event after which a channel is given up.
TRIES = 8
#: 4xx statuses that may be temporary.
_PASSING = frozenset({408, 425, 429})


class Broker:
    """All channels of a server. They exist within `run`, while they have a listener and for a moment after."""

    def __init__(
        self,
        timing: timeouts.Timing,
        telemetry: telemetry.Telemetry,
        stopping: asyncio.Event,
        bounds: channels.Bounds | None = None,
    ) -> None:
        self.bounds = bounds or channels.Bounds()
        self._timing = timing
        self._telemetry = telemetry
        self._stopping = stopping
        self._channels: list[channels.Channel] = []
        self._listeners = 0
        self._upstream: client.Client | None = None
        self._group: asyncio.TaskGroup | None = None

    async def run(self, upstream: client.Client) -> None:
        """Read streams until the server stops; then all listeners are asked to connect again."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group, self._upstream = group, upstream
                await self._stopping.wait()
                self._group = None
                for channel in list(self._channels):
                    channel.finish(errors.StreamInterrupted("the server stops: connect again"))
                    self._drop(channel)
        finally:
            self._group = None

    async def listen(self, upstream_id: str, after: int) -> channels.Listener:
        """Return the events of a run after the id `after`, once the upstream has answered or a while has passed.

        Raises TooManyStreams, StreamsUnavailable where nothing runs, and the error of the upstream's first answer.
        """
        if self._listeners >= self.bounds.listeners:
            raise errors.TooManyStreams(
                f"{self.bounds.listeners} listeners are connected already: try again in a moment"
            )
        # A channel can be joined where everything after the id is in its buffer, or still to come.
        fitting = (
            each
            for each in self._channels
            if each.upstream_id == upstream_id and each.failure is None and each.since <= after
        )
        channel = next(fitting, None) or self._open(upstream_id, after)
        async with contextlib.AsyncExitStack() as stack:
            listening = self._join(channel, after)
            stack.push_async_callback(listening.aclose)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(channel.began.wait(), self._timing.stream_begin)
            if isinstance(channel.failure, errors.UpstreamError) and channel.last == channel.since:
                raise channel.failure
            stack.pop_all()
        return listening

    def _open(self, upstream_id: str, after: int) -> channels.Channel:
        if self._group is None:
            raise errors.StreamsUnavailable
        if len(self._channels) >= self.bounds.channels:
            idle = next((each for each in self._channels if each.listeners == 0), None)
            if idle is None:
                raise errors.TooManyStreams(
                    f"{self.bounds.channels} runs have listeners already: try again in a moment"
                )
            self._drop(idle)
        channel = channels.Channel(upstream_id, after, self.bounds)
        self._channels.append(channel)
        channel.task = self._group.create_task(self._keep_reading(channel))
        return channel

    def _join(self, channel: channels.Channel, after: int) -> channels.Listener:
        channel.listeners += 1
        self._listeners += 1
        if channel.closing is not None:
            channel.closing.cancel()
            channel.closing = None
        self._telemetry.streaming(len(self._channels), self._listeners)
        return channels.Listener(channel, after, self._timing.stream_heartbeat, self._leave)

    def _leave(self, channel: channels.Channel) -> None:
        """Leave a channel. Without listeners it stays for a moment, since a listener that lost it soon returns."""
        channel.listeners -= 1
        channel.mark_read(channel.read_up_to)  # wakes the channel, which waits for one listener less
        self._listeners -= 1
        if channel.listeners == 0 and channel in self._channels:
            loop = asyncio.get_running_loop()
            channel.closing = loop.call_later(self._timing.stream_linger, self._drop, channel)
        self._telemetry.streaming(len(self._channels), self._listeners)

    def _drop(self, channel: channels.Channel) -> None:
        if channel in self._channels:
            self._channels.remove(channel)
        if channel.task is not None:
            channel.task.cancel()
        self._telemetry.streaming(len(self._channels), self._listeners)

    async def _keep_reading(self, channel: channels.Channel) -> None:
        """Read a channel's stream to the end of the run, and reconnect as long as that may help."""
        try:
            failures = 0
            while True:
                before = channel.last
                failure = await self._read(channel)
                failures = failures + 1 if channel.last == before else 1
                if failure is None or not channel.began.is_set() or failures >= TRIES or self._is_final(failure):
                    channel.finish(failure)
                    return
                wait = timeouts.delay(failures, self._timing.backoff, self._timing.pause_most)
                await asyncio.sleep(max(wait.total_seconds(), failure.retry_after or 0.0))
        finally:
            channel.finish(errors.StreamInterrupted("the stream was closed here: connect again"))

    async def _read(self, channel: channels.Channel) -> errors.UpstreamError | None:
        """Read on until the end of the run, or until the stream breaks."""
        assert self._upstream is not None, "channels are opened while the broker runs"
        idle, skipped = self._timing.stream_idle, self._telemetry.skipped
        try:
            async with self._upstream.events(
                channel.upstream_id, channel.last, idle=idle, skipped=skipped
            ) as found:
                channel.began.set()
                async for event in found:
                    await channel.add(event, self._timing.slow_listener)
        except errors.UpstreamError as failure:
            return failure
        return None

    def _is_final(self, failure: errors.UpstreamError) -> bool:
        """Return whether another try is useless, or due so late that listeners should connect again instead."""
        is_refused = failure.status in range(400, 500) and failure.status not in _PASSING
        return is_refused or (failure.retry_after or 0.0) > self._timing.pause_most
