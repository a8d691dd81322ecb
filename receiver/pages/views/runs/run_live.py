"""The live changes of a run: its steps as the upstream streams them, and a message when its page is outdated."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from datetime import timedelta

from starlette.responses import Response

from receiver import errors
from receiver.pages import requests, streamed
from receiver.pages.run_parts import head, live_steps
from receiver.web import streaming
from receiver.web.authentication import Scope
from storage.repositories import stream_events

router = requests.Router()
#: Seconds between two messages, and after a stream that could not be opened.
PACE, AGAIN = 0.5, 10.0
#: Events that arrive this soon after the stream was opened are a replay: they happened before.
_REPLAY = timedelta(seconds=1)


@router.page("GET", "/runs/{id}/live", Scope.READ)
async def stream(given: requests.PageRequest) -> Response:
    """Send the live changes of a run up to its end."""
    of = await given.read(lambda store: head.load(given, store), quick=True)
    return streamed.events(given, _changes(given, of), is_counted=True)


async def _changes(given: requests.PageRequest, of: head.Head) -> AsyncGenerator[bytes, None]:
    """Yield messages until the run has ended. The page reads itself again at each `changed`.

    `shown` is the mark of what it shows, since the run may have changed before it connected, or connected again.
    """
    context, shown = given.context.api, given.parameter("shown", of.mark)
    async with contextlib.aclosing(_Listening(given)) as listening:
        while not context.stopping.is_set():
            commit = given.database.next_commit()  # taken before the read, so that no later commit is missed
            of = await given.read(lambda store: head.load(given, store), quick=True)
            if of.mark != shown:
                shown = of.mark
                yield streamed.named("changed")
            if of.is_terminal:
                return
            await listening.follow(of)
            if await listening.wait(commit, given.database.longest_wait(context.timing.poll)):
                markup = given.page("run/live_message.html", live_steps=listening.steps, run=of.run).body
                yield streamed.message(bytes(markup).decode())
            await asyncio.sleep(PACE)
    raise errors.StreamInterrupted("the server stops: connect again")


class _Listening:
    """The steps of a run, read from its stream by a task that ends with `aclose`."""

    def __init__(self, given: requests.PageRequest) -> None:
        self.steps = live_steps.LiveSteps()
        self._given = given
        self._changed = asyncio.Event()
        self._last = 0
        self._task: asyncio.Task[None] | None = None

    async def follow(self, of: head.Head) -> None:
        """Begin to read the stream, once the upstream knows the run."""
        if self._task is None and of.run.upstream_id is not None and self._given.context.api.listen is not None:
            self._task = asyncio.create_task(self._read(of.run.upstream_id))

    async def wait(self, commit: asyncio.Future[None], seconds: float) -> bool:
        """Wait for a commit or a step; return whether there is a new step."""
        step = asyncio.create_task(self._changed.wait())
        either: list[asyncio.Future[object]] = [commit, step]  # type: ignore[list-item]
        try:
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            step.cancel()
        has_step = self._changed.is_set()
        self._changed.clear()
        return has_step

    async def aclose(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _read(self, upstream_id: str) -> None:
        """Read the stream to its end; where it breaks off, resume after a while behind the last event."""
        listen = self._given.context.api.listen
        assert listen is not None
        while True:
            with contextlib.suppress(errors.RequestError, errors.UpstreamError, errors.StreamInterrupted):
                await self._take(await listen(upstream_id, self._last))
                return
            await asyncio.sleep(AGAIN)

    async def _take(self, events: streaming.Events) -> None:
        clock = self._given.context.api.clock
        opened = clock()
        async with contextlib.aclosing(events):
            async for event in events:
                if isinstance(event, stream_events.Event):
                    now, self._last = clock(), event.id
                    if self.steps.add(event, now if now - opened > _REPLAY else None):
                        self._changed.set()
