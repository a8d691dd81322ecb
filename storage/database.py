"""The door: synchronous statements behind two asynchronous calls, `read` and `write`.

One thread owns the one write connection. It is handed everything that is waiting, runs it in one transaction,
commits once, wakes the loop once and all are answered: a commit costs the same for one and for sixty-four. Where
other processes write as well, as on PostgreSQL, only the calls of a list function are joined like that.
Functions given to `write` may be run several times (a transaction that loses a race is begun anew; a group that
fails is rolled back and replayed one by one, so that a failing member is answered alone), so they touch nothing
but the connection.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from sqlalchemy import Connection, RootTransaction, exc

from storage import dialect, errors, queues


class Keyed(Protocol):
    """A value that knows the id under which its answer is found, and its weight in bytes."""

    @property
    def id(self) -> str: ...
    @property
    def weight(self) -> int: ...


#: How often a transaction is begun that the database takes back before its commit.
TRIES = 4

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A", bound=Keyed)


class Batch(Generic[A, R]):
    """A list function: it is given all waiting members of a group at once and answers by their ids."""

    def __init__(self, function: Callable[[Connection, Sequence[A]], Mapping[str, R]]) -> None:
        self._function = function
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__

    def __call__(self, connection: Connection, members: Sequence[A]) -> Mapping[str, R]:
        # Sorted, so that two writers lock rows in the same order.
        return self._function(connection, sorted(members, key=lambda member: member.id))


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


@dataclass(frozen=True, slots=True)
class Group:
    """One transaction, for who observes: `phase` is `before` or `after` its commit, `seconds` since its start.

    `names` and `results` are those of its functions, in order of arrival.
    """

    phase: str
    names: tuple[str, ...]
    seconds: float
    results: tuple[Any, ...] = ()


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
        self._replays: deque[queues.Member] = deque()
        self._behind = (0, 0)
        self._was_locked = False
        self._busy = False
        self._closing = self._hurrying = False
        self._waiting = _queues(self._limits, is_sole_writer=dialect.file_of(url) is not None)
        self._idle = asyncio.Event()
        self._commits: asyncio.Future[None] | None = None
        engine = partial(
            dialect.engine,
            url,
            busy_seconds=self._limits.busy_seconds,
            silence_seconds=self._limits.silence_seconds,
            pooler=pooler,
        )
        self._write_engine = engine(readonly=False, connections=1)
        self._read_engine = engine(readonly=True, connections=readers + askers)
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="reader")
        self._askers = ThreadPoolExecutor(askers, thread_name_prefix="asker")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")

    async def __aenter__(self) -> Database:
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Commits what is waiting, takes nothing more, and lets go of all connections."""
        self._closing = True
        while self._busy:  # each group that ends hands over the next one
            await self._idle.wait()
        self._writer.shutdown()
        self._readers.shutdown()
        self._askers.shutdown()
        self._write_engine.dispose()
        self._read_engine.dispose()

    def hurry(self) -> None:
        """The process is about to end: once the database takes no writes, nobody waits for his own time-out."""
        self._hurrying = True

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
        with _translated(), self._read_engine.connect() as connection, connection.begin():
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
        if self._closing or not self._waiting.append(member):
            raise errors.Busy("the queue in front of the database is full")
        self._hand_over()
        return await member.answer

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

    def _hand_over(self) -> None:
        """Gives the writer its next group, unless it still has one."""
        if self._busy or not (self._replays or self._waiting):
            return
        self._busy = True
        self._idle.clear()
        group = [self._replays.popleft()] if self._replays else self._waiting.take()
        self._behind = self._waiting.marked()
        done = self._writer.submit(self._commit, group)
        done.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._finish, group, done))

    def _commit(self, group: list[queues.Member]) -> None:
        """One transaction, in the writer's thread, begun anew where the database takes it back before its end."""
        for _ in range(TRIES - 1):
            try:
                return self._transact(group)
            except exc.DBAPIError as error:
                if not dialect.is_taken_back(error):
                    raise
        return self._transact(group)

    def _transact(self, group: list[queues.Member]) -> None:
        """Trouble at its edges is Unavailable: no replay mends it."""
        names = tuple(member.function.__name__ for member in group)
        started = time.perf_counter()
        with self._writing() as (connection, transaction):
            connection.info.pop("news", None)  # of a try that was taken back
            _run(connection, group)
            dialect.announce(connection)
            results = tuple(member.result for member in group)
            self._observe(Group("before", names, time.perf_counter() - started, results))
            with _translated():
                transaction.commit()
        self._observe(Group("after", names, time.perf_counter() - started, results))

    @contextmanager
    def _writing(self) -> Iterator[tuple[Connection, RootTransaction]]:
        """A transaction of the write connection, rolled back unless the block commits it."""
        with _translated():
            connection = self._write_engine.connect()
        with connection:
            with _translated():
                transaction = connection.begin()
            with transaction:
                yield connection, transaction

    def _finish(self, group: list[queues.Member], done: Future[None]) -> None:
        """Answers a group, or has its members replayed one by one. Back on the loop."""
        error = done.exception()
        if self._hurrying and isinstance(_ours(error), errors.Unavailable):
            self._give_up([*group, *self._replays, *self._waiting.pop_all()], error)
        elif len(group) == 1 and dialect.is_locked(error):
            # A row may be locked, or all of a table: once that is so, each would wait as long again.
            _answer(
                [*group, *self._replays, *(self._waiting.pop_marked(self._behind) if self._was_locked else ())],
                error,
            )
            self._replays.clear()
        elif error is None or isinstance(error, errors.Unavailable) or len(group) == 1:
            _answer(group, error)
        else:
            self._replays.extend(group)
        self._was_locked = dialect.is_locked(error)
        if error is None:
            self.heard()
        self._busy = False
        self._idle.set()
        self._hand_over()

    def _give_up(self, members: list[queues.Member], error: BaseException | None) -> None:
        """Takes nothing more, and says so to all who wait."""
        self._closing = True
        self._replays.clear()
        _answer(members, error)


def _queues(limits: Limits, *, is_sole_writer: bool) -> queues.Waiting:
    documents = queues.Queue(limits.documents, limits.documents_bytes)
    others = queues.Queue(limits.waiting, limits.waiting_bytes)
    return queues.Waiting(documents, others, limits.group, limits.group_bytes, is_sole_writer=is_sole_writer)


@contextmanager
def _translated() -> Iterator[None]:
    """Turns the database's own errors into ours."""
    try:
        yield
    except exc.SQLAlchemyError as error:
        raise dialect.translate(error) from error


def _run(connection: Connection, group: list[queues.Member]) -> None:
    """Every member once, the members of a list function together."""
    batches: dict[int, list[queues.Member]] = {}
    for member in group:
        if isinstance(member.function, Batch):
            batches.setdefault(id(member.function), []).append(member)
        else:
            member.result = member.function(connection, *member.arguments, **member.keywords)
    for members in batches.values():
        answers = members[0].function(connection, [member.arguments[0] for member in members])
        for member in members:
            member.result = answers[member.arguments[0].id]


def _ours(error: BaseException | None) -> BaseException | None:
    return dialect.translate(error) if isinstance(error, exc.SQLAlchemyError) else error


def _answer(group: list[queues.Member], error: BaseException | None) -> None:
    """Wakes the callers; one who has gone away is passed over."""
    error = _ours(error)
    for member in group:
        if member.answer.done():
            continue
        if error is None:
            member.answer.set_result(member.result)
        else:
            member.answer.set_exception(error)
