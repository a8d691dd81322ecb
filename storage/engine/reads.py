"""Reads in snapshots of the database, and the threads that run them."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, exc

from storage import errors
from storage.engine import connections, deadlines, writer

R = TypeVar("R")
Read = Callable[[Connection], R]


def in_snapshot(connection: Connection, seconds: float | None, read: Read[R]) -> R:
    """Run a read in a transaction of its own, within `seconds` where there is a limit.

    Where a text of a file is not UTF-8, it runs again and reads texts one by one.
    """
    try:
        return _in_transaction(connection, seconds, read)
    except exc.OperationalError as error:
        if not connections.is_undecodable(error):
            raise
    with connections.lenient_texts(connection):
        return _in_transaction(connection, seconds, read)


def _in_transaction(connection: Connection, seconds: float | None, read: Read[R]) -> R:
    with connection.begin():
        if seconds is None:
            return read(connection)
        with deadlines.deadline(connection, seconds):
            return read(connection)


class ReaderThreads:
    """Threads that run reads in the order in which they were requested.

    Passing one to them costs less than an executor does. With `keeps_connections` each thread keeps its
    connection: one to a file cannot be lost.
    """

    def __init__(self, engine: Engine, count: int, name: str, *, keeps_connections: bool) -> None:
        self._engine = engine
        self._keeps_connections = keeps_connections
        self._waiting: SimpleQueue[_Request | None] = SimpleQueue()
        self._is_closed = False
        self._threads = [threading.Thread(target=self._run, name=name, daemon=True) for _ in range(count)]

    def start(self) -> None:
        """Start the threads."""
        for each in self._threads:
            each.start()

    async def run(self, read: Read[R], seconds: float | None = None, queue_seconds: float = math.inf) -> R:
        """Run a read in a snapshot of its own, within `seconds` where there is a limit.

        Raises Unavailable once the threads are closed, StatementTimeout, and Busy where it waited longer than
        `queue_seconds` for others.
        """
        if self._is_closed:
            raise errors.Unavailable("the database is closed")
        loop = asyncio.get_running_loop()
        answer = _Answer(loop, loop.create_future())
        self._waiting.put(_Request(read, seconds, time.monotonic() + queue_seconds, answer))
        found: R = await answer.future
        return found

    def close(self) -> None:
        """End the threads once they have run what waits."""
        self._is_closed = True
        for _ in self._threads:
            self._waiting.put(None)
        for each in self._threads:
            each.join()

    def _run(self) -> None:
        with ExitStack() as kept:
            connection: Connection | None = None
            while (request := self._waiting.get()) is not None:
                with request.answer, writer.translated_errors(), ExitStack() as once:
                    request.require_wanted()
                    if connection is None or not self._keeps_connections:
                        stack = kept if self._keeps_connections else once
                        connection = stack.enter_context(self._engine.connect())
                    request.answer.give(in_snapshot(connection, request.seconds, request.read))


class LookupRefused(Exception):
    """A look-up failed: the file is locked or closed, or has an error that a reader will report."""


class Lookups:
    """Run reads of one row of a file in the calling thread. Each is one statement, and so its own snapshot.

    They never wait for a lock, not even to open the file, so `engine` has to have a `busy_seconds` of 0. The
    connection stays open, as those of reader threads do.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._is_closed = False

    def run(self, read: Read[R]) -> R:
        """Run a read. Raises LookupRefused."""
        if self._is_closed:
            raise LookupRefused
        try:
            self._connection = self._connection or self._engine.connect()
            return read(self._connection)
        except exc.SQLAlchemyError as error:
            raise LookupRefused from error

    def close(self) -> None:
        """Close the connection, and refuse each further read."""
        self._is_closed = True
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()


@dataclass(frozen=True, slots=True)
class _Request:
    """A read that waits for a thread until an instant of the monotonic clock."""

    read: Read[Any]
    seconds: float | None
    until: float
    answer: _Answer

    def require_wanted(self) -> None:
        """Raise Busy where it has waited too long, CancelledError where its caller has left."""
        if self.answer.future.cancelled():
            raise asyncio.CancelledError
        if time.monotonic() > self.until:
            raise errors.Busy("too many queries are running at once: try again later")


@dataclass(frozen=True, slots=True)
class _Answer:
    """A block that passes the result of a read, or its error, to the event loop that waits for it."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]

    def give(self, result: object) -> None:
        self.loop.call_soon_threadsafe(_settle, self.future, result, None)

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if error is not None:
            self.loop.call_soon_threadsafe(_settle, self.future, None, error)
        return True


def _settle(future: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
    if future.done():  # the caller no longer waits
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
