"""The asynchronous facade of a database: synchronous functions behind `read` and `write`.

A writer owns a write connection and its thread. It runs all waiting calls in one transaction, commits once, and
answers all of them: a commit costs the same for one call and for sixty-four. A SQLite file has one writer. Where
other processes write as well, as on PostgreSQL, documents have a writer of their own, and only the calls of one
batch function share a transaction.
Functions given to `write` may run several times: a transaction that loses a race is begun again, and a batch that
fails is rolled back and replayed call by call, so that only the failing call fails. Therefore these functions use
nothing but the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from sqlalchemy import Connection

from storage.engine import connections, deadlines, queues, reads, urls, writer
from storage.engine.writer import BatchFunction, CommitBatch

#: How many times longer the waits between two reads are while commits of other processes are announced.
WATCHED = 5

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A", bound=writer.Keyed)


#: The decorator of a batch function: the writer passes it all its waiting calls at once.
batch = BatchFunction


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a database: members and bytes of a commit batch and of the queues, and timeouts in seconds.

    Documents have a queue of their own, which `documents` and `documents_bytes` limit.

    `batch_seconds` is after how long a commit batch begins no further call. Those that are left wait for the next
    one, so that the write lock is held for this long and one more call.
    `busy_seconds` is how long a statement waits for a lock of another program before it raises Unavailable.
    `response_seconds` is how long it waits for a database server that does not respond; None means without limit.
    `timed_read_seconds` is how long a timed read may take, and `queue_seconds` how long it may wait for others.
    """

    batch: int = 64
    batch_bytes: int = 8 << 20
    batch_seconds: float = 0.01
    waiting: int = 4096
    waiting_bytes: int = 64 << 20
    documents: int = 1024
    documents_bytes: int = 128 << 20
    busy_seconds: float = 5.0
    response_seconds: float | None = None
    timed_read_seconds: float = 2.0
    queue_seconds: float = 5.0


class Reader(StrEnum):
    """What runs a read: a thread of short reads, one of any reads, or one of reads with a time limit."""

    QUICK = "quick"
    PLAIN = "plain"
    TIMED = "timed"


class Snapshot:
    """One read transaction, as readers get it that know no SQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self, function: Callable[Concatenate[Connection, P], R], *args: P.args, **kw: P.kwargs) -> R:
        """Run `function(connection, …)` in the transaction and return its result."""
        return function(self._connection, *args, **kw)


class Database:
    """One database, open while the context manager is. Used from one event loop."""

    def __init__(
        self,
        url: str,
        *,
        readers: int = 2,
        timed_readers: int = 2,
        limits: Limits | None = None,
        observe: Callable[[CommitBatch], None] = lambda _batch: None,
        pooler: bool = False,
    ) -> None:
        self.url = url
        self._limits = limits or Limits()
        self._observe = observe
        self._commits: asyncio.Future[None] | None = None
        self._work: asyncio.Future[None] | None = None
        self._is_watched = False
        engine = partial(
            connections.engine,
            url,
            busy_seconds=self._limits.busy_seconds,
            response_seconds=self._limits.response_seconds,
            pooler=pooler,
        )
        is_embedded = urls.file_path(url) is not None
        self._sources = _batch_sources(self._limits, is_sole_writer=is_embedded)
        self._write_engine = engine(readonly=False, connections=len(self._sources))
        self._read_engine = engine(readonly=True, connections=readers + timed_readers + is_embedded)
        deadlines.watch(self._read_engine)
        threads = partial(reads.ReaderThreads, self._read_engine, keeps_connections=is_embedded)
        self._readers = threads(readers, "reader")
        self._timed_readers = threads(timed_readers, "timed-reader")
        # A server takes longer for any query: there the plain readers do it.
        self._quick_reader = threads(1, "quick-reader") if is_embedded else self._readers
        self._reader_threads = {self._readers, self._timed_readers, self._quick_reader}
        self._lookups = (
            reads.Lookups(engine(readonly=True, connections=1, busy_seconds=0)) if is_embedded else None
        )

    async def __aenter__(self) -> Database:
        self._loop = asyncio.get_running_loop()
        for each in self._reader_threads:
            each.start()
        self._writers = [
            writer.Writer(self._write_engine, each, self._observe, self.notify_commit, self._limits.batch_seconds)
            for each in self._sources
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Commit the waiting calls, accept no more, and close all connections."""
        await asyncio.gather(*(each.close() for each in self._writers))
        for threads in self._reader_threads:
            threads.close()
        if self._lookups is not None:
            self._lookups.close()
        self._write_engine.dispose()
        self._read_engine.dispose()

    def fail_fast(self) -> None:
        """Fail all waiting writes as soon as the database accepts none, since the process is about to end.

        Without this each call would wait for its own timeout.
        """
        for each in self._writers:
            each.fail_fast()

    async def read(self, function: Callable[Concatenate[Connection, P], R], *args: P.args, **kw: P.kwargs) -> R:
        """Run `function(connection, …)` in one snapshot and return its result. Raises Unavailable."""
        return await self._readers.run(lambda opened: function(opened, *args, **kw))

    async def timed_read(
        self, function: Callable[Concatenate[Connection, P], R], *args: P.args, **kw: P.kwargs
    ) -> R:
        """Run a read that may be expensive: in threads of its own, and for a limited time.

        Raises Unavailable, StatementTimeout, and Busy where it waited too long for other reads to be begun.
        """
        limits = self._limits.timed_read_seconds, self._limits.queue_seconds
        return await self._timed_readers.run(lambda opened: function(opened, *args, **kw), *limits)

    async def read_by(self, reader: Reader, function: Callable[[Snapshot], R]) -> R:
        """Run `function(snapshot)` by a reader. Raises what the read of that kind raises."""
        run = {Reader.QUICK: self.quick_read, Reader.PLAIN: self.read, Reader.TIMED: self.timed_read}[reader]
        return await run(lambda connection: function(Snapshot(connection)))

    async def quick_read(
        self, function: Callable[Concatenate[Connection, P], R], *args: P.args, **kw: P.kwargs
    ) -> R:
        """Run a read that is known to take less than a millisecond, on a file in a thread of its own."""
        return await self._quick_reader.run(lambda opened: function(opened, *args, **kw))

    async def look_up(self, function: Callable[Concatenate[Connection, P], R], *args: P.args, **kw: P.kwargs) -> R:
        """Run a read of one row by a prepared statement: on a file in the calling thread, in microseconds."""
        if self._lookups is not None:
            with contextlib.suppress(reads.LookupRefused):
                return self._lookups.run(lambda opened: function(opened, *args, **kw))
        return await self.quick_read(function, *args, **kw)

    @overload
    async def write(self, function: BatchFunction[A, R], member: A, /) -> R: ...

    @overload
    async def write(
        self, function: Callable[Concatenate[Connection, P], R], /, *args: P.args, **kw: P.kwargs
    ) -> R: ...

    async def write(self, function: Callable[..., Any], /, *args: Any, **kw: Any) -> Any:
        """Run `function` in the next commit batch and return its result after the commit.

        Raises Busy where the queue is full, Unavailable where the batch was not committed, and the errors of the
        function itself.
        """
        member = queues.Member(function, args, kw, self._loop.create_future(), isinstance(function, BatchFunction))
        return await self._writers[0 if member.is_document else -1].write(member)

    def next_commit(self) -> asyncio.Future[None]:
        """Return a future that is done at the next commit.

        A caller that takes it before it reads the database misses no commit that comes after the read.
        """
        if self._commits is None:
            self._commits = self._loop.create_future()
        return self._commits

    def next_work(self) -> asyncio.Future[None]:
        """Return a future that is done at the next commit that may have work for a worker."""
        if self._work is None:
            self._work = self._loop.create_future()
        return self._work

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Mark the block in which `notify_commit` is called for the commits of other processes too."""
        self._is_watched = True
        try:
            yield
        finally:
            self._is_watched = False

    def longest_wait(self, poll: float) -> float:
        """Return how long to wait for a commit before the database is read anyway, for an unannounced one.

        That is `poll` seconds, and longer while other processes' commits are announced.
        """
        return poll * WATCHED if self._is_watched else poll

    def notify_commit(self, has_work: bool = True) -> None:
        """Wake the callers that wait for a commit, be it of this process or of another one.

        Those that wait for work are woken only by a commit that may have some.
        """
        if self._commits is not None:
            self._commits.set_result(None)
            self._commits = None
        if has_work and self._work is not None:
            self._work.set_result(None)
            self._work = None


def _batch_sources(limits: Limits, *, is_sole_writer: bool) -> list[queues.BatchSource]:
    """Return the batch source of each writer, the writer of documents first."""
    documents = queues.Queue(limits.documents, limits.documents_bytes)
    others = queues.Queue(limits.waiting, limits.waiting_bytes)
    if is_sole_writer:
        return [queues.AlternatingQueues(documents, others, limits.batch, limits.batch_bytes)]
    return [queues.SingleQueue([each], limits.batch, limits.batch_bytes) for each in (documents, others)]
