"""Subscribers of the change feed. Equal subscriptions at the same position share one query.

A subscriber holds at most one page, which is replaced once it has been read. A slow subscriber delays no other.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from receiver import errors, timeouts
from receiver.schemas import changes
from storage import errors as storage_errors
from storage.engine import database
from storage.query import change_feed
from storage.repositories import stream_events

#: Changes of one page, and subscribers at most.
PAGE = 100
MAX_SUBSCRIBERS = 512
#: Seconds after a commit within which its entries get their numbers.
NUMBERING_SECONDS = 0.1
#: The type of each event; its data contains the kind of change.
EVENT_TYPE = "change"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A filter, rebuilt for each query because ages change. Filters with equal keys are the same."""

    key: Hashable
    build: Callable[[], change_feed.ChangeSelection]


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The result of one query, with its changes as events."""

    look: change_feed.FeedPage
    page: Sequence[stream_events.Event]


class Feed:
    """All subscribers of a server, a bounded number."""

    def __init__(self, bound: int = MAX_SUBSCRIBERS) -> None:
        self.subscribers = 0
        self._bound = bound
        self._looks: dict[Hashable, asyncio.Task[QueryResult]] = {}

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Occupy the place of a subscriber in the block. Raises TooManyStreams."""
        if self.subscribers >= self._bound:
            raise errors.TooManyStreams(f"{self._bound} subscribers are connected already: try again in a moment")
        self.subscribers += 1
        try:
            yield
        finally:
            self.subscribers -= 1

    async def subscribe(
        self,
        store: database.Database,
        number: int,
        question: Subscription,
        timing: timeouts.Timing,
        stopping: asyncio.Event,
    ) -> Subscriber:
        """Subscribe to the changes after a number, without end.

        Raises TooManyStreams, CursorBeyondEnd, and the errors of the first query.
        """
        if self.subscribers >= self._bound:
            raise errors.TooManyStreams(f"{self._bound} subscribers are connected already: try again in a moment")
        first = await self.query(store, number, question)
        if first.look.last is not None and first.look.last < number:
            raise errors.CursorBeyondEnd(number, first.look.last)
        return Subscriber(self, store, number, question, timing, stopping)

    async def query(self, store: database.Database, number: int, question: Subscription) -> QueryResult:
        # Subscribers that wait for the same commit may share a query that began after the commit before it.
        key = (store.next_commit(), number, question.key)
        if key not in self._looks:
            self._looks[key] = asyncio.create_task(_look(store, number, question))
            self._looks[key].add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(self._looks[key])

    def _forget(self, key: Hashable, done: asyncio.Task[QueryResult]) -> None:
        del self._looks[key]
        if not done.cancelled():
            done.exception()  # no subscriber may be left to read it


async def _look(store: database.Database, number: int, question: Subscription) -> QueryResult:
    request = question.build()
    # Filters of users may be expensive, so they run with a time limit; the plain feed is cheap.
    reading = store.timed_read if request.excludes_deployment else store.read
    look = await reading(change_feed.read_page, number, request, PAGE)
    entries = map(changes.values, look.changes)
    found = ((each.number, bytes(changes.CHANGES.one(each)).decode()) for each in entries)
    return QueryResult(look, [stream_events.Event(number, EVENT_TYPE, data) for number, data in found])


@dataclass(eq=False)
class Subscriber:
    """The events of one subscriber; `aclose` releases its slot."""

    feed: Feed
    store: database.Database
    number: int
    question: Subscription
    timing: timeouts.Timing
    stopping: asyncio.Event

    def __post_init__(self) -> None:
        self.feed.subscribers += 1
        self._is_open = True
        # The start position is sent at once, so a subscriber that is cut off before the first change resumes
        # there.
        self._page: deque[stream_events.Event | str] = deque([stream_events.resume_point(self.number)])
        self._sent = self.number

    def __aiter__(self) -> Subscriber:
        return self

    async def __anext__(self) -> stream_events.Event | str:
        """Return the next event. Raises StreamInterrupted when the server stops or the feed was restarted."""
        if not self._page:
            self._page.extend(await self._next())
        event = self._page.popleft()
        self._sent = event.id if isinstance(event, stream_events.Event) else self._sent
        return event

    async def batch(self) -> list[stream_events.Event | str]:
        """Return all events that are there, or the next ones. Raises as the iteration does."""
        first = await anext(self)
        rest = list(self._page)
        self._page.clear()
        self._sent = next((each.id for each in rest[::-1] if isinstance(each, stream_events.Event)), self._sent)
        return [first, *rest]

    async def aclose(self) -> None:
        if self._is_open:
            self._is_open = False
            self.feed.subscribers -= 1

    async def _next(self) -> Sequence[stream_events.Event | str]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timing.stream_heartbeat
        while True:
            if self.stopping.is_set():
                raise errors.StreamInterrupted("the server stops: connect again")
            commit = self.store.next_commit()  # taken before the query, so that no later commit is missed
            try:
                result = await self.feed.query(self.store, self.number, self.question)
            except storage_errors.Busy:  # too many queries are running; a subscriber can wait
                if loop.time() >= deadline:
                    return [stream_events.HEARTBEAT]
                await self._wait(commit, deadline - loop.time())
                continue
            look = result.look
            if look.last is not None and look.last < self.number:
                raise errors.StreamInterrupted("the feed ends before this: connect again")
            self.number = look.number
            if result.page:
                return result.page
            if look.has_more or loop.time() >= deadline:
                return [self._progress(look)]
            await self._wait(commit, deadline - loop.time())

    def _progress(self, look: change_feed.FeedPage) -> stream_events.Event | str:
        """Return the position that was reached without a match, or a comment."""
        if look.number != self._sent:
            return stream_events.resume_point(look.number)
        return (
            stream_events.HEARTBEAT
            if look.waiting_for_run is None
            else f"the texts of run {look.waiting_for_run} are not indexed yet"
        )

    async def _wait(self, commit: asyncio.Future[None], left: float) -> None:
        """Wait until there may be something new. Polls happen at the same moments for all subscribers."""
        poll = self.timing.poll or NUMBERING_SECONDS
        tick = poll - asyncio.get_running_loop().time() % poll
        stop = asyncio.ensure_future(self.stopping.wait())
        either: list[asyncio.Future[Any]] = [commit, stop]
        try:
            await asyncio.wait(either, timeout=min(tick, left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
        if not self.stopping.is_set():
            await asyncio.sleep(NUMBERING_SECONDS)
