"""The door: synchronous statements behind two asynchronous calls, `read` and `write`.

A writer owns a write connection and its thread. It runs everything that is waiting in one transaction, commits
once, and answers all: a commit costs the same for one and for sixty-four. A file has one writer. Where other
processes write as well, as on PostgreSQL, documents have a writer of their own, and only the calls of a list
function share a transaction.
Functions given to `write` may be run several times (a transaction that loses a race is begun anew; a group that
fails is rolled back and replayed one by one, so that a failing member is answered alone), so they touch nothing
but the connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from sqlalchemy import Connection

from storage import dialect, errors, queues, writer
from storage.writer import Batch, Group

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A", bound=writer.Keyed)


def batch(function: Callable[[Connection, Sequence[A]], Mapping[str, R]]) -> Batch[A, R]:
    """Marks a list function, whose calls the door joins."""
    return Batch(function)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the door: members and bytes of one group, and of what waits in front of it.

    Documents wait by themselves, within `documents` and `documents_bytes`.

    `busy_seconds` is how long a statement waits for another program's lock before it is Unavailable, and
    `silence_seconds` for a database server that says nothing at all; None where it may take all the time it needs.
    `ask_seconds` is what a question of anybody's may take, and `queue_seconds` how long it may wait for others.
    """

    group: int = 64
    group_bytes: int = 8 << 20
    waiting: int = 4096
    waiting_bytes: int = 64 << 20
    documents: int = 1024
    documents_bytes: int = 128 << 20
    busy_seconds: float = 5.0
    silence_seconds: float | None = None
    ask_seconds: float = 2.0
    queue_seconds: float = 5.0


def _silent(_group: Group) -> None:
    """Nobody observes."""


class Database:
    """One database, open from `open()` to `close()`. Used from one event loop."""

    def __init__(
        self,
        url: str,
        *,
        readers: int = 2,
        askers: int = 2,
        limits: Limits | None = None,
        observe: Callable[[Group], None] = _silent,
        pooler: bool = False,
    ) -> None:
        self.url = url
        self._limits = limits or Limits()
        self._observe = observe
        self._commits: asyncio.Future[None] | None = None
        engine = partial(
            dialect.engine,
            url,
            busy_seconds=self._limits.busy_seconds,
            silence_seconds=self._limits.silence_seconds,
            pooler=pooler,
        )
        self._waiting = _waiting(self._limits, is_sole_writer=dialect.file_of(url) is not None)
        self._write_engine = engine(readonly=False, connections=len(self._waiting))
        self._read_engine = engine(readonly=True, connections=readers + askers)
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="reader")
        self._askers = ThreadPoolExecutor(askers, thread_name_prefix="asker")

    async def __aenter__(self) -> Database:
        self._loop = asyncio.get_running_loop()
        self._writers = [
            writer.Writer(self._write_engine, each, self._observe, self.heard) for each in self._waiting
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Commits what is waiting, takes nothing more, and lets go of all connections."""
        await asyncio.gather(*(each.close() for each in self._writers))
        self._readers.shutdown()
        self._askers.shutdown()
        self._write_engine.dispose()
        self._read_engine.dispose()

    def hurry(self) -> None:
        """The process is about to end: once the database takes no writes, nobody waits for his own time-out."""
        for each in self._writers:
            each.hurry()

    async def read(self, function: Callable[Concatenate[Connection, P], R], *args: P.args, **kw: P.kwargs) -> R:
        """`function(connection, …)` in one snapshot. Raises Unavailable."""
        return await self._loop.run_in_executor(self._readers, partial(self._look, None, function, *args, **kw))

    async def ask(self, function: Callable[Concatenate[Connection, P], R], *args: P.args, **kw: P.kwargs) -> R:
        """The same for a question that may be a hard one: it keeps nobody else waiting, nor its caller for ever.

        Raises TooSlow as well, and Busy where those before it took so long that it was not begun.
        """
        until = time.monotonic() + self._limits.queue_seconds

        def answer() -> R:
            if time.monotonic() > until:
                raise errors.Busy("too many questions are being answered at once")
            return self._look(self._limits.ask_seconds, function, *args, **kw)

        return await self._loop.run_in_executor(self._askers, answer)

    def _look(self, seconds: float | None, function: Callable[..., R], /, *args: Any, **kw: Any) -> R:
        with writer.translated(), self._read_engine.connect() as connection, connection.begin():
            if seconds is None:
                return function(connection, *args, **kw)
            with dialect.deadline(connection, seconds):
                return function(connection, *args, **kw)

    @overload
    async def write(self, function: Batch[A, R], member: A, /) -> R: ...

    @overload
    async def write(
        self, function: Callable[Concatenate[Connection, P], R], /, *args: P.args, **kw: P.kwargs
    ) -> R: ...

    async def write(self, function: Callable[..., Any], /, *args: Any, **kw: Any) -> Any:
        """Runs `function` in the next group and answers after its commit.

        Raises Busy where the queue is full, Unavailable where the group was not committed, and whatever the
        function itself raises.
        """
        member = queues.Member(function, args, kw, self._loop.create_future(), isinstance(function, Batch))
        return await self._writers[0 if member.is_document else -1].write(member)

    def next_commit(self) -> asyncio.Future[None]:
        """What is done once something is committed through this door from now on.

        Taken before a look at the database, it misses nothing that is committed after the look.
        """
        if self._commits is None:
            self._commits = self._loop.create_future()
        return self._commits

    def heard(self) -> None:
        """Something was committed, here or by another process: wakes who waits for that."""
        if self._commits is not None:
            self._commits.set_result(None)
            self._commits = None

    async def committed(self, seconds: float) -> None:
        """Waits until something is committed through this door, `seconds` at most."""
        await asyncio.wait([self.next_commit()], timeout=seconds)


def _waiting(limits: Limits, *, is_sole_writer: bool) -> list[queues.Waiting]:
    """Return what each writer takes its calls from, the one of documents first."""
    documents = queues.Queue(limits.documents, limits.documents_bytes)
    others = queues.Queue(limits.waiting, limits.waiting_bytes)
    if is_sole_writer:
        return [queues.InTurn(documents, others, limits.group, limits.group_bytes)]
    return [queues.Single(each, limits.group, limits.group_bytes) for each in (documents, others)]
