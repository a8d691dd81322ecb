"""An export on its way: chunk by chunk out of the store, each made into bytes, and a digest over all of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from receiver import errors
from receiver.exporting import forms
from storage import errors as storage_errors
from storage import export, filters, search

#: Keys in the window that is looked at: at first, at least, at most; how many times more after one that was poor.
WINDOW, NARROWEST, WIDEST, GROWTH = 4096, 16, 1 << 18, 4
#: Seconds until it is asked again where too many ask, and how many times that in a row.
PAUSE, TRIES = 0.5, 30
#: Exports at once: each keeps a reader of the database busy for as long as it is read.
AT_ONCE = 3


class Digest(Protocol):
    """One of `hashlib`."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class Places:
    """How many exports there may be at once."""

    def __init__(self, most: int = AT_ONCE) -> None:
        self._most = most
        self._taken = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """One of them, for the length of the block. Raises TooManyStreams."""
        if self._taken >= self._most:
            raise errors.TooManyStreams(f"{self._taken} exports are under way; more of them would only be slower")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class Export:
    """The wanted runs that there are when it begins, behind the run `after`. Iterate `pieces` once.

    `ask` is the door's.

    Between pieces `share` says how much of the way is done; behind the last one `end` is what it amounts to.
    """

    def __init__(
        self,
        ask: Callable[..., Awaitable[Any]],
        wanted: filters.Expression,
        form: forms.Form,
        parts: export.Parts | None = None,
        after: str | None = None,
        stopping: asyncio.Event | None = None,
    ) -> None:
        self._ask, self._wanted, self.form = ask, wanted, form
        self._parts = parts or export.Parts()
        self._after = after
        self._stopping = stopping
        self._window = WINDOW
        self._span: export.Span | None = None
        self._place = 0
        self._digest: Digest = hashlib.sha256()
        self._records = 0
        self._unwritten: list[str] = []
        self._is_whole = after is None
        self.end: forms.End | None = None

    def go_on(self, digest: Digest, records: int) -> None:
        """What was told before, up to the run `after`, counts as a part of this: the trailer covers both."""
        self._digest, self._records, self._is_whole = digest, records, True

    @property
    def share(self) -> float:
        """How much of the keys has been looked at, from 0 to 1."""
        if self._span is None:
            return 0.0
        whole = self._span.until - self._span.place
        return (self._place - self._span.place) / whole if whole else 1.0

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The bytes, in order. Raises NotFound before the first one; TooSlow, Unavailable, Interrupted."""
        span: export.Span | None = await self._ask(export.begin, self._wanted, self._after)
        if span is None:
            raise errors.NotFound("there is no run here of the id in `after`, which the last whole line tells")
        self._span, self._place = span, span.place
        yield self._told(self.form.head())
        while self._place < span.until:
            chunk = await self._chunk(span)
            yield await asyncio.to_thread(self._rows, chunk)
            self._place = chunk.place
        yield self._told(await asyncio.to_thread(self.form.foot))
        after = None if self._is_whole else self._after
        missing = (len(self._unwritten), tuple(self._unwritten[: forms.NAMED]))
        self.end = forms.End(self._records, self._digest.hexdigest(), after, span.unindexed, *missing)
        yield self.form.trailer(self.end)

    def _rows(self, chunk: export.Chunk) -> bytes:
        self._unwritten += chunk.unread
        return self._told(self._written(chunk.records))

    def _written(self, records: Sequence[export.Record]) -> bytes:
        """Some records as bytes; one that has no bytes is noted, and the others are written."""
        try:
            piece = self.form.rows(records)
        except export.UNREADABLE:
            if len(records) > 1:
                return b"".join(self._written([each]) for each in records)
            self._unwritten.append(records[0].run.id)
            return b""
        self._records += len(records)
        return piece

    def _told(self, piece: bytes) -> bytes:
        self._digest.update(piece)
        return piece

    async def _chunk(self, span: export.Span) -> export.Chunk:
        """The next one. What takes too long is asked again for less at once, before it is given up."""
        tries = TRIES
        while True:
            if self._stopping is not None and self._stopping.is_set():
                raise errors.Interrupted("the server stops: go on behind the last run that came")
            low = self._place + 1
            window = search.Window(low, min(low + self._window, span.until + 1))
            try:
                chunk: export.Chunk = await self._ask(export.chunk, self._wanted, window, self._parts)
            except storage_errors.Busy:  # who has begun waits a while
                tries -= 1
                if not tries:
                    raise
                await asyncio.sleep(PAUSE)
                continue
            except storage_errors.TooSlow:
                if self._window <= NARROWEST:
                    raise
                self._window = max(NARROWEST, self._window // (2 * GROWTH))
                continue
            if chunk.place == window.high - 1:
                self._window = min(WIDEST, self._window * GROWTH)
            return chunk
