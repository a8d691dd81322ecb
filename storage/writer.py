"""One writer: a thread that owns one write connection and commits what waits for it in batches.

It is handed everything that is waiting, runs it in one transaction, commits once, and all are answered. A
transaction that loses a race is begun anew; a batch that fails is rolled back and replayed one by one, so that a
failing member is answered alone.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection, Engine, RootTransaction, exc

from storage import dialect, errors, queues


class Keyed(Protocol):
    """A value that knows the id under which its answer is found, and its weight in bytes."""

    @property
    def id(self) -> str: ...
    @property
    def weight(self) -> int: ...


#: How often a transaction is begun that the database takes back before its commit.
TRIES = 4

R = TypeVar("R")
A = TypeVar("A", bound=Keyed)


class Batch(Generic[A, R]):
    """A list function: it is given all waiting members of a batch at once and answers by their ids."""

    def __init__(self, function: Callable[[Connection, Sequence[A]], Mapping[str, R]]) -> None:
        self._function = function
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__

    def __call__(self, connection: Connection, members: Sequence[A]) -> Mapping[str, R]:
        # Sorted, so that two writers lock rows in the same order.
        return self._function(connection, sorted(members, key=lambda member: member.id))


@dataclass(frozen=True, slots=True)
class Group:
    """One transaction, for who observes: `phase` is `before` or `after` its commit, `seconds` since its start.

    `names` and `results` are those of its functions, in order of arrival.
    """

    phase: str
    names: tuple[str, ...]
    seconds: float
    results: tuple[Any, ...] = ()


class Writer:
    """The calls that wait for one write connection; used from one event loop.

    `observe` is called in the writer's thread before and after each commit, `committed` on the loop after it.
    """

    def __init__(
        self,
        engine: Engine,
        waiting: queues.Waiting,
        observe: Callable[[Group], None],
        committed: Callable[[], None],
    ) -> None:
        self._engine, self._waiting = engine, waiting
        self._observe, self._committed = observe, committed
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._replays: deque[queues.Member] = deque()
        self._behind: tuple[int, ...] = ()
        self._was_locked = False
        self._busy = False
        self._closing = self._hurrying = False
        self._idle = asyncio.Event()

    async def close(self) -> None:
        """Commit what is waiting, take nothing more, and end the thread."""
        self._closing = True
        while self._busy:  # each batch that ends hands over the next one
            await self._idle.wait()
        self._thread.shutdown()

    def hurry(self) -> None:
        """Answer all who wait as soon as the database takes no write, since the process is about to end."""
        self._hurrying = True

    async def write(self, member: queues.Member) -> Any:
        """Run the member's function in the next batch, and return its result after the commit. Raises Busy."""
        if self._closing or not self._waiting.append(member):
            raise errors.Busy("the queue in front of the database is full")
        self._hand_over()
        return await member.answer

    def _hand_over(self) -> None:
        """Gives the writer its next batch, unless it still has one."""
        if self._busy or not (self._replays or self._waiting):
            return
        self._busy = True
        self._idle.clear()
        batch = [self._replays.popleft()] if self._replays else self._waiting.take()
        self._behind = self._waiting.marked()
        done = self._thread.submit(self._commit, batch)
        done.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._finish, batch, done))

    def _commit(self, batch: list[queues.Member]) -> None:
        """One transaction, in the writer's thread, begun anew where the database takes it back before its end."""
        for _ in range(TRIES - 1):
            try:
                return self._transact(batch)
            except exc.DBAPIError as error:
                if not dialect.is_taken_back(error):
                    raise
        return self._transact(batch)

    def _transact(self, batch: list[queues.Member]) -> None:
        """Trouble at its edges is Unavailable: no replay mends it."""
        names = tuple(member.function.__name__ for member in batch)
        started = time.perf_counter()
        with self._writing() as (connection, transaction):
            connection.info.pop("news", None)  # of a try that was taken back
            _run(connection, batch)
            dialect.announce(connection)
            results = tuple(member.result for member in batch)
            self._observe(Group("before", names, time.perf_counter() - started, results))
            with translated():
                transaction.commit()
        self._observe(Group("after", names, time.perf_counter() - started, results))

    @contextmanager
    def _writing(self) -> Iterator[tuple[Connection, RootTransaction]]:
        """A transaction of the write connection, rolled back unless the block commits it."""
        with translated():
            connection = self._engine.connect()
        with connection:
            with translated():
                transaction = connection.begin()
            with transaction:
                yield connection, transaction

    def _finish(self, batch: list[queues.Member], done: Future[None]) -> None:
        """Answers a batch, or has its members replayed one by one. Back on the loop."""
        error = done.exception()
        if self._hurrying and isinstance(_ours(error), errors.Unavailable):
            self._give_up([*batch, *self._replays, *self._waiting.pop_all()], error)
        elif len(batch) == 1 and dialect.is_locked(error):
            # A row may be locked, or all of a table: once that is so, each would wait as long again.
            _answer(
                [*batch, *self._replays, *(self._waiting.pop_marked(self._behind) if self._was_locked else ())],
                error,
            )
            self._replays.clear()
        elif error is None or isinstance(error, errors.Unavailable) or len(batch) == 1:
            _answer(batch, error)
        else:
            self._replays.extend(batch)
        self._was_locked = dialect.is_locked(error)
        if error is None:
            self._committed()
        self._busy = False
        self._idle.set()
        self._hand_over()

    def _give_up(self, members: list[queues.Member], error: BaseException | None) -> None:
        """Takes nothing more, and says so to all who wait."""
        self._closing = True
        self._replays.clear()
        _answer(members, error)


@contextmanager
def translated() -> Iterator[None]:
    """Turns the database's own errors into ours."""
    try:
        yield
    except exc.SQLAlchemyError as error:
        raise dialect.translate(error) from error


def _run(connection: Connection, batch: list[queues.Member]) -> None:
    """Every member once, the members of a list function together."""
    batches: dict[int, list[queues.Member]] = {}
    for member in batch:
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


def _answer(batch: list[queues.Member], error: BaseException | None) -> None:
    """Wakes the callers; one who has gone away is passed over."""
    error = _ours(error)
    for member in batch:
        if member.answer.done():
            continue
        if error is None:
            member.answer.set_result(member.result)
        else:
            member.answer.set_exception(error)
