"""Reads in snapshots of the database, and the threads that run the short ones."""

from __future__ import annotations

import asyncio
import threading
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

    It runs again where a text of a file is not UTF-8, with texts that are read one by one.
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


class QuickReader:
    """A thread for reads of a file that take less than a millisecond: handing one over costs little.

    Its connection stays open: that of a file cannot be lost.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: SimpleQueue[tuple[Read[Any], _Answer] | None] = SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="quick-reader", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def run(self, read: Read[R]) -> R:
        """Run a read in the thread. Raises Unavailable once it is closed."""
        if self._is_closed:
            raise errors.Unavailable("the database is closed")
        loop = asyncio.get_running_loop()
        answer = _Answer(loop, loop.create_future())
        self._waiting.put((read, answer))
        found: R = await answer.future
        return found

    def close(self) -> None:
        """End the thread once it has run what waits."""
        self._is_closed = True
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        with ExitStack() as kept:
            connection: Connection | None = None
            while (waiting := self._waiting.get()) is not None:
                read, answer = waiting
                with answer, writer.translated_errors():
                    connection = connection or kept.enter_context(self._engine.connect())
                    answer.give(in_snapshot(connection, None, read))


class LookupRefused(Exception):
    """A look-up failed: the file is locked or closed, or has an error that a reader will report."""


class Lookups:
    """Run reads of one row of a file in the calling thread. Each is one statement, and so its own snapshot.

    They never wait for a lock, not even to open the file, so `engine` has to have a `busy_seconds` of 0. The
    connection stays open, as that of a quick reader does.
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
class _Answer:
    """Takes the result of a read, or the error that ends its block, to the loop that waits for it."""

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
