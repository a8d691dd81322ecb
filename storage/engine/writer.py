"""The writer: a thread that owns one write connection and commits the waiting calls in batches.

It runs all waiting calls in one transaction, commits once, and answers all of them. A transaction that loses a
race is begun again. A batch that fails is rolled back and replayed call by call, so that only the failing call
fails.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection, Engine, RootTransaction, exc

from storage import errors
from storage.engine import dialect, error_translation, queues


class Keyed(Protocol):
    """A value with an id, under which its result is returned, and a weight in bytes."""

    @property
    def id(self) -> str: ...
    @property
    def weight(self) -> int: ...


#: The tries of a transaction that the database rolls back before its commit.
TRIES = 4
_OBSERVED = "observed"
_WITHOUT_WORK = "calls without work"

R = TypeVar("R")
A = TypeVar("A", bound=Keyed)


class BatchFunction(Generic[A, R]):
    """A function that gets all its waiting calls of a commit batch at once and returns their results by id."""

    def __init__(self, function: Callable[[Connection, Sequence[A]], Mapping[str, R]]) -> None:
        self._function = function
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__

    def __call__(self, connection: Connection, members: Sequence[A]) -> Mapping[str, R]:
        # Sorted, so that two writers lock rows in the same order.
        return self._function(connection, sorted(members, key=lambda member: member.id))


@dataclass(frozen=True, slots=True)
class CommitBatch:
    """A commit batch as the observer gets it, once `before` and once `after` the commit (`phase`).

    `seconds` counts from the start of the transaction. `names` and `results` are those of the functions, in order
    of arrival; `observed` is what they passed to `tell_observer`. `has_work` is false where none of them left a
    job for a worker.
    """

    phase: str
    names: tuple[str, ...]
    seconds: float
    results: tuple[Any, ...] = ()
    observed: tuple[Any, ...] = ()
    has_work: bool = True


#: A batch for the observer, and the calls of it that ran.
_Committed = tuple[CommitBatch, list[queues.Member]]


def tell_observer(connection: Connection, values: Iterable[Any]) -> None:
    """Pass values to the observer of this transaction's commit."""
    connection.info.setdefault(_OBSERVED, []).extend(values)


def leave_no_work(connection: Connection) -> None:
    """Mark this call as one that has enqueued no job: a commit of only such calls wakes no worker."""
    connection.info[_WITHOUT_WORK] = connection.info.get(_WITHOUT_WORK, 0) + 1


class Writer:
    """One write connection and the calls that wait for it; used from one event loop.

    `observe` is called in the writer's thread before each commit, and on the loop after it, as `committed` is,
    with whether the commit has work for a worker. A batch begins no call after `batch_seconds`.
    """

    def __init__(
        self,
        engine: Engine,
        waiting: queues.BatchSource,
        observe: Callable[[CommitBatch], None],
        committed: Callable[[bool], None],
        batch_seconds: float,
    ) -> None:
        self._engine, self._waiting, self._batch_seconds = engine, waiting, batch_seconds
        self._observe, self._committed = observe, committed
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._connection: Connection | None = None
        self._replays: deque[queues.Member] = deque()
        self._marked: tuple[int, ...] = ()
        self._was_locked = False
        self._busy = self._is_starting = False
        self._closing = self._failing_fast = False
        self._idle = asyncio.Event()

    async def close(self) -> None:
        """Commit the waiting calls, accept no more, and end the thread."""
        self._closing = True
        self._dispatch()
        while self._busy:  # the end of each batch dispatches the next one
            await self._idle.wait()
        self._thread.shutdown()
        if self._connection is not None:
            self._connection.close()

    def fail_fast(self) -> None:
        """Fail all waiting calls as soon as the database accepts no write, since the process is about to end."""
        self._failing_fast = True

    async def write(self, member: queues.Member) -> Any:
        """Run the member's function in the next batch, and return its result after the commit. Raises Busy."""
        if self._closing or not self._waiting.append(member):
            raise errors.Busy("the queue of database writes is full: try again later")
        if not (self._busy or self._is_starting):
            # Once the loop has run all that is ready now: then calls that come together share a batch.
            self._is_starting = True
            self._loop.call_soon(self._dispatch)
        return await member.answer

    def _dispatch(self) -> None:
        """Start the next batch, unless one is running."""
        self._is_starting = False
        if self._busy or not (self._replays or self._waiting):
            return
        self._busy = True
        self._idle.clear()
        batch = [self._replays.popleft()] if self._replays else self._waiting.take()
        self._marked = self._waiting.marked()
        done = self._thread.submit(self._commit, batch)
        done.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._finish, batch, done))

    def _commit(self, batch: list[queues.Member]) -> _Committed:
        """Run a batch in one transaction, in the writer's thread; try again where the database rolls it back."""
        for _ in range(TRIES - 1):
            try:
                return self._transact(batch)
            except exc.DBAPIError as error:
                if not error_translation.is_retryable(error):
                    raise
        return self._transact(batch)

    def _transact(self, batch: list[queues.Member]) -> _Committed:
        """Run a batch and commit it once; return it for the observer, and the calls that are left.

        An error of connect, begin or commit is Unavailable: a replay would not help.
        """
        started = time.perf_counter()
        with self._writing() as (connection, transaction):
            for left in ("notify", _OBSERVED, _WITHOUT_WORK):  # by a try that was rolled back
                connection.info.pop(left, None)
            ran, calls = _run(connection, batch, time.perf_counter() + self._batch_seconds)
            names = tuple(member.function.__name__ for member in ran)
            has_work = connection.info.pop(_WITHOUT_WORK, 0) < calls
            dialect.send_notify(connection, has_work)
            results = tuple(member.result for member in ran)
            self._observe(CommitBatch("before", names, time.perf_counter() - started, results))
            observed = tuple(connection.info.pop(_OBSERVED, ()))
            with translated_errors():
                transaction.commit()
        after = CommitBatch("after", names, time.perf_counter() - started, results, observed, has_work)
        return after, ran

    @contextmanager
    def _writing(self) -> Iterator[tuple[Connection, RootTransaction]]:
        """Begin a transaction on the write connection; roll it back unless the block commits it.

        The connection stays open until a block fails: taking it from the pool costs as much as a statement.
        """
        with translated_errors():
            connection, self._connection = self._connection or self._engine.connect(), None
        with ExitStack() as failing:
            failing.enter_context(connection)
            with translated_errors():
                transaction = connection.begin()
            with transaction:
                yield connection, transaction
            failing.pop_all()  # without closing the connection
            self._connection = connection

    def _finish(self, batch: list[queues.Member], done: Future[_Committed]) -> None:
        """Show a committed batch to the observer, and answer its calls. Runs on the loop."""
        error = done.exception()
        if error is not None:
            self._end(batch, error, has_work=False)
            return
        committed, ran = done.result()
        if len(ran) < len(batch):
            self._waiting.put_back([member for member in batch if member not in ran])
        try:
            self._observe(committed)
        finally:  # an error of the observer is not one of the batch
            self._end(ran, None, has_work=committed.has_work)

    def _end(self, batch: list[queues.Member], error: BaseException | None, *, has_work: bool) -> None:
        """Answer the calls of a batch, or queue them for a replay one by one; start the next batch."""
        if self._failing_fast and isinstance(_translate(error), errors.Unavailable):
            self._give_up([*batch, *self._replays, *self._waiting.pop_all()], error)
        elif len(batch) == 1 and error_translation.is_lock_timeout(error):
            # Perhaps a whole table is locked: then each of the others would wait just as long. So the replays fail
            # too, and after a second lock timeout in a row also the calls that waited meanwhile.
            _answer(
                [*batch, *self._replays, *(self._waiting.pop_marked(self._marked) if self._was_locked else ())],
                error,
            )
            self._replays.clear()
        elif error is None or isinstance(error, errors.Unavailable) or len(batch) == 1:
            _answer(batch, error)
        else:
            self._replays.extend(batch)
        self._was_locked = error_translation.is_lock_timeout(error)
        if error is None:
            self._committed(has_work)
        self._busy = False
        self._idle.set()
        self._dispatch()

    def _give_up(self, members: list[queues.Member], error: BaseException | None) -> None:
        """Accept no more calls, and fail all that wait."""
        self._closing = True
        self._replays.clear()
        _answer(members, error)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn errors of SQLAlchemy into errors of this package."""
    try:
        yield
    except exc.SQLAlchemyError as error:
        raise error_translation.translate(error) from error


def _run(connection: Connection, batch: list[queues.Member], until: float) -> tuple[list[queues.Member], int]:
    """Run the members of each batch function in one call, then single calls; none is begun after `until`.

    At least one document and one other single call are run in any case, so that neither waits for ever. Return
    the members that ran, and the number of calls.
    """
    batches: dict[int, list[queues.Member]] = {}
    for member in batch:
        if member.is_batched:
            batches.setdefault(id(member.function), []).append(member)
    for members in batches.values():
        answers = members[0].function(connection, [member.arguments[0] for member in members])
        for member in members:
            member.result = answers[member.arguments[0].id]
    singles = list[queues.Member]()
    for member in sorted((each for each in batch if not each.is_batched), key=lambda each: each.is_document):
        if time.perf_counter() < until or member.is_document not in {each.is_document for each in singles}:
            member.result = member.function(connection, *member.arguments, **member.keywords)
            singles.append(member)
    return [*chain.from_iterable(batches.values()), *singles], len(batches) + len(singles)


def _translate(error: BaseException | None) -> BaseException | None:
    return error_translation.translate(error) if isinstance(error, exc.SQLAlchemyError) else error


def _answer(batch: list[queues.Member], error: BaseException | None) -> None:
    """Give the callers their results, or the error. A caller that was cancelled gets nothing."""
    error = _translate(error)
    for member in batch:
        if member.answer.done():
            continue
        if error is None:
            member.answer.set_result(member.result)
        else:
            member.answer.set_exception(error)
