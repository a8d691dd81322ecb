"""Who follows the feed: what comes is looked for once for all who stand at the same place and want the same.

A follower holds a page at most, which is replaced once it has been taken: nothing waits for who does not take it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from receiver import backoff, errors, shapes
from storage import database, events, following
from storage import errors as storage_errors

#: Changes that are sent at once, and followers at most.
PAGE = 100
FOLLOWERS = 512
#: Seconds after a commit in which its entries get their numbers.
PACE = 0.1
#: What each event is called; its data tells the kind.
TYPE = "change"


@dataclass(frozen=True, slots=True)
class Question:
    """What is wished for, as it is at the moment of a look: ages go on. Who has the same `key` wishes the same."""

    key: Hashable
    wish: Callable[[], following.Wish]


@dataclass(frozen=True, slots=True)
class Heard:
    """A look, and what it shows as events."""

    look: following.Look
    told: Sequence[events.Event]


class Feed:
    """All followers of a server, a bounded number."""

    def __init__(self, bound: int = FOLLOWERS) -> None:
        self.followers = 0
        self._bound = bound
        self._looks: dict[Hashable, asyncio.Task[Heard]] = {}

    async def follow(
        self,
        store: database.Database,
        number: int,
        question: Question,
        timing: backoff.Timing,
        stopping: asyncio.Event,
    ) -> Follower:
        """The changes behind a number, without end.

        Raises TooManyStreams, BeyondTheEnd, and what a first look raises.
        """
        if self.followers >= self._bound:
            raise errors.TooManyStreams(f"{self._bound} follow already: try again in a moment")
        first = await self.look(store, number, question)
        if first.look.last is not None and first.look.last < number:
            raise errors.BeyondTheEnd(number, first.look.last)
        return Follower(self, store, number, question, timing, stopping)

    async def look(self, store: database.Database, number: int, question: Question) -> Heard:
        """What stands behind a number now."""
        # Who waits for the same commit may share a look that was begun after the one before it.
        key = (store.next_commit(), number, question.key)
        if key not in self._looks:
            self._looks[key] = asyncio.create_task(_look(store, number, question))
            self._looks[key].add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(self._looks[key])

    def _forget(self, key: Hashable, done: asyncio.Task[Heard]) -> None:
        del self._looks[key]
        if not done.cancelled():
            done.exception()  # who asked may have gone away


async def _look(store: database.Database, number: int, question: Question) -> Heard:
    wish = question.wish()
    # What anybody asks for may be hard to tell; the feed itself is not.
    reading = store.ask if wish.is_of_runs else store.read
    look = await reading(following.look, number, wish, PAGE)
    return Heard(look, [_event(shapes.Change.of(each)) for each in look.shown])


def _event(change: shapes.Change) -> events.Event:
    return events.Event(change.number, TYPE, change.model_dump_json(by_alias=True))


class Follower:
    """What one follower hears, as events; `aclose` lets go of its place."""

    def __init__(
        self,
        feed: Feed,
        store: database.Database,
        number: int,
        question: Question,
        timing: backoff.Timing,
        stopping: asyncio.Event,
    ) -> None:
        feed.followers += 1
        self._feed: Feed | None = feed
        self._looking = feed.look
        self._store = store
        self._number = number
        self._question = question
        self._timing = timing
        self._stopping = stopping
        # Where it begins is told at once: who is cut off before the first change comes back to the same place.
        self._page: deque[events.Event | str] = deque([events.place(number)])
        self._told = number

    def __aiter__(self) -> Follower:
        return self

    async def __anext__(self) -> events.Event | str:
        """Raises Interrupted at the stop of the server, and where the feed was begun anew."""
        if not self._page:
            self._page.extend(await self._next())
        event = self._page.popleft()
        self._told = event.id if isinstance(event, events.Event) else self._told
        return event

    async def aclose(self) -> None:
        """Follows no more."""
        if self._feed is not None:
            feed, self._feed = self._feed, None
            feed.followers -= 1

    async def _next(self) -> Sequence[events.Event | str]:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timing.stream_heartbeat
        while True:
            if self._stopping.is_set():
                raise errors.Interrupted("the server stops: connect again")
            commit = self._store.next_commit()  # taken before the look: what comes after it is not missed
            try:
                heard = await self._looking(self._store, self._number, self._question)
            except storage_errors.Busy:  # others ask too much: who follows already waits
                if loop.time() >= until:
                    return [events.HEARTBEAT]
                await self._wait(commit, until - loop.time())
                continue
            look = heard.look
            if look.last is not None and look.last < self._number:
                raise errors.Interrupted("the feed ends before this: connect again")
            self._number = look.number
            if heard.told:
                return heard.told
            if look.has_more or loop.time() >= until:
                return [self._sign(look)]
            await self._wait(commit, until - loop.time())

    def _sign(self, look: following.Look) -> events.Event | str:
        """How far it has come without finding anything, or a comment."""
        if look.number != self._told:
            return events.place(look.number)
        return (
            events.HEARTBEAT
            if look.waits_for is None
            else f"the words of run {look.waits_for} are not indexed yet"
        )

    async def _wait(self, commit: asyncio.Future[None], left: float) -> None:
        """Until there may be something new. Whoever waits in vain looks at the same moments as everybody else."""
        poll = self._timing.poll or PACE
        tick = poll - asyncio.get_running_loop().time() % poll
        stop = asyncio.ensure_future(self._stopping.wait())
        either: list[asyncio.Future[Any]] = [commit, stop]
        try:
            await asyncio.wait(either, timeout=min(tick, left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
        if not self._stopping.is_set():
            await asyncio.sleep(PACE)
