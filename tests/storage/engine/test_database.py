"""The writer: waiting writes share a commit, each failure is answered alone, nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, exc, func, select

from storage import errors
from storage.engine import database, queues, writer
from storage.engine.database import Database, Limits
from storage.engine.writer import CommitBatch
from storage.repositories import api_keys
from storage.tables.integrations import API_KEYS
from tests import life, other_client

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Note:
    """A member of a batch function: stored as a row of the simplest table."""

    id: str
    weight: int = 1


def keep(connection: Connection, note_id: str) -> str:
    row = {"id": note_id, "name": "note", "scopes": [], "secret_sha256": "", "created_at": life.NOW}
    connection.execute(API_KEYS.insert(), row)
    return f"kept {note_id}"


def keep_then_fail(connection: Connection, note_id: str) -> str:
    keep(connection, note_id)
    raise LookupError(note_id)


def kept(connection: Connection) -> list[str]:
    return list(connection.execute(select(API_KEYS.c.id).order_by(API_KEYS.c.id)).scalars())


CALLS: list[list[str]] = []


@database.batch
def keep_all(connection: Connection, notes: Sequence[Note]) -> Mapping[str, str]:
    """Answer in another order, and record each call."""
    CALLS.append([note.id for note in notes])
    return {note.id: keep(connection, note.id) for note in reversed(notes)}


class Gate:
    """Holds the writer's thread in one write, so that other writes gather behind it."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def hold(self, _connection: Connection) -> None:
        assert self._open.wait(10)

    def open(self) -> None:
        self._open.set()


async def gathered(opened: Database, *calls: Coroutine[Any, Any, str]) -> list[str | BaseException]:
    """Return the answers or errors of writes that were all waiting when the writer took them."""
    gate = Gate()
    first = asyncio.ensure_future(opened.write(gate.hold))
    await asyncio.sleep(0)
    waiting = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0)
    gate.open()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    await first
    return answers


async def test_writes_that_wait_share_one_commit(database_url: str) -> None:
    batches: list[CommitBatch] = []
    async with Database(database_url, observe=batches.append) as opened:
        await gathered(opened, *(opened.write(keep_all, Note(f"n{place}")) for place in range(10)))
    assert [(len(batch.names), batch.phase) for batch in batches[2:]] == [(10, "before"), (10, "after")]


async def test_only_a_sole_writer_joins_what_locks_in_different_orders(database_url: str) -> None:
    batches: list[CommitBatch] = []
    calls: list[tuple[Any, Any]] = [
        (keep_all, Note("a")),
        (keep, "b"),
        (keep_all, Note("c")),
        (keep, "d"),
        (keep_all, Note("e")),
    ]
    async with Database(database_url, limits=Limits(batch_seconds=60), observe=batches.append) as opened:
        answers = await gathered(opened, *(opened.write(*call) for call in calls))
    assert answers == [f"kept {letter}" for letter in "abcde"]
    sizes = [5] if database_url.startswith("sqlite") else [3, 1, 1]
    assert [len(batch.names) for batch in batches if batch.phase == "after"] == [1, *sizes]


async def test_each_caller_gets_its_own_answer(database: Database) -> None:
    answers = await gathered(database, *(database.write(keep, f"n{place}") for place in range(5)))
    assert answers == [f"kept n{place}" for place in range(5)]


async def test_a_failing_member_is_answered_alone(database: Database) -> None:
    good, bad, also_good = await gathered(
        database, database.write(keep, "a"), database.write(keep_then_fail, "b"), database.write(keep, "c")
    )
    assert (good, also_good, repr(bad)) == ("kept a", "kept c", "LookupError('b')")


async def test_what_a_failing_member_wrote_is_gone_and_the_rest_stays(database: Database) -> None:
    await gathered(
        database, database.write(keep, "a"), database.write(keep_then_fail, "b"), database.write(keep, "c")
    )
    assert await database.read(kept) == ["a", "c"]


async def test_a_broken_constraint_is_not_mistaken_for_an_outage(database: Database) -> None:
    await database.write(keep, "a")
    with pytest.raises(exc.IntegrityError):
        await database.write(keep, "a")


async def test_a_batch_function_gets_its_members_at_once_sorted_by_id(database: Database) -> None:
    CALLS.clear()
    await gathered(database, *(database.write(keep_all, Note(note_id)) for note_id in "cab"))
    assert CALLS == [["a", "b", "c"]]


async def test_a_batch_function_answers_each_member_by_its_id(database: Database) -> None:
    answers = await gathered(database, *(database.write(keep_all, Note(note_id)) for note_id in "cab"))
    assert answers == ["kept c", "kept a", "kept b"]


async def test_a_failing_member_of_a_batch_function_is_answered_alone(database: Database) -> None:
    await database.write(keep, "b")
    answers = await gathered(database, *(database.write(keep_all, Note(note_id)) for note_id in "abc"))
    assert [isinstance(answer, exc.IntegrityError) for answer in answers] == [False, True, False]


@pytest.mark.parametrize(
    ("limits", "weights", "sizes"),
    [
        (Limits(batch=2), [1] * 5, [2, 2, 1]),
        (Limits(batch_bytes=10), [4, 4, 4, 4], [2, 2]),
        (Limits(batch_bytes=10), [40, 1, 40], [1, 1, 1]),
    ],
)
async def test_commit_batches_are_bounded(
    database_url: str, limits: Limits, weights: list[int], sizes: list[int]
) -> None:
    batches: list[CommitBatch] = []
    async with Database(database_url, limits=limits, observe=batches.append) as opened:
        notes = [Note(f"n{place}", weight) for place, weight in enumerate(weights)]
        await gathered(opened, *(opened.write(keep_all, note) for note in notes))
    assert [len(batch.names) for batch in batches if batch.phase == "after"] == [1, *sizes]


async def test_calls_that_a_long_batch_leaves_are_committed_in_order_by_the_next_ones(database_url: str) -> None:
    batches: list[CommitBatch] = []
    async with Database(database_url, limits=Limits(batch_seconds=0), observe=batches.append) as opened:
        answers = await gathered(opened, *(opened.write(keep, each) for each in "abc"))
    assert answers == ["kept a", "kept b", "kept c"]
    assert [batch.results for batch in batches if batch.phase == "after"][1:] == [(each,) for each in answers]


@queues.with_documents
def keep_document(connection: Connection, note_id: str) -> str:
    return keep(connection, note_id)


async def test_neither_callbacks_nor_claims_wait_behind_documents_that_take_long(file_url: str) -> None:
    batches: list[CommitBatch] = []
    async with Database(file_url, limits=Limits(batch_seconds=0), observe=batches.append) as opened:
        documents = [opened.write(keep_document, each) for each in "abc"]
        others = [opened.write(keep, "d"), *(opened.write(keep_all, Note(each)) for each in "ef")]
        await gathered(opened, *documents, *others)
    assert [batch.results for batch in batches if batch.phase == "after"][1:] == [
        ("kept e", "kept f", "kept d", "kept a"),
        ("kept b",),
        ("kept c",),
    ]


async def test_a_full_queue_is_busy(database_url: str) -> None:
    async with Database(database_url, limits=Limits(waiting=2)) as opened:
        answers = await gathered(opened, *(opened.write(keep, f"n{place}") for place in range(3)))
        assert [type(answer) for answer in answers] == [str, str, errors.Busy]


async def test_a_queue_full_of_bytes_is_busy_too(database_url: str) -> None:
    async with Database(database_url, limits=Limits(waiting_bytes=10)) as opened:
        notes = [Note(f"n{place}", 5) for place in range(3)]
        answers = await gathered(opened, *(opened.write(keep_all, note) for note in notes))
        assert [type(answer) for answer in answers] == [str, str, errors.Busy]
        assert await opened.write(keep_all, Note("n3", 500)) == "kept n3"


async def test_a_queue_that_was_full_takes_more_once_it_has_drained(database_url: str) -> None:
    async with Database(database_url, limits=Limits(waiting=1)) as opened:
        await gathered(opened, opened.write(keep, "a"), opened.write(keep, "b"))
        assert await opened.write(keep, "c") == "kept c"


async def test_a_locked_database_is_unavailable(database_url: str) -> None:
    async with Database(database_url, limits=Limits(busy_seconds=0.01)) as opened:
        with other_client.locking(database_url), pytest.raises(errors.Unavailable, match="lock"):
            await opened.write(keep, "a")


async def test_the_same_write_works_once_the_lock_is_gone(database_url: str) -> None:
    async with Database(database_url, limits=Limits(busy_seconds=0.01)) as opened:
        with other_client.locking(database_url):
            await asyncio.gather(*(opened.write(keep, each) for each in "abc"), return_exceptions=True)
        await asyncio.gather(*(opened.write(keep, each) for each in "abc"))
        assert await opened.read(kept) == ["a", "b", "c"]


def _pages(connection: Connection, spare: int) -> None:
    """Let the file grow by so many pages and no more."""
    count = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    connection.exec_driver_sql(f"PRAGMA max_page_count={count + spare}")


def _keep_much(connection: Connection, note_id: str) -> str:
    return keep(connection, note_id + "x" * 100_000)


async def test_a_full_disk_is_unavailable(embedded: Database) -> None:
    await embedded.write(_pages, 1)
    with pytest.raises(errors.Unavailable, match="full"):
        await embedded.write(_keep_much, "a")


async def test_a_full_disk_fails_only_the_writes_that_need_space(embedded: Database) -> None:
    await embedded.write(_pages, 1)
    much, little = await gathered(embedded, embedded.write(_keep_much, "a"), embedded.write(keep, "b"))
    assert (type(much), little) == (errors.Unavailable, "kept b")


async def test_the_next_write_works_when_there_is_room_again(embedded: Database) -> None:
    await embedded.write(_pages, 1)
    await asyncio.gather(embedded.write(_keep_much, "a"), return_exceptions=True)
    await embedded.write(_pages, 1000)
    assert (await embedded.write(_keep_much, "a")).startswith("kept a")


async def test_an_urgent_caller_waits_once_for_a_database_that_takes_no_writes(database_url: str) -> None:
    async with Database(database_url, limits=Limits(batch=1, busy_seconds=0.5)) as opened:
        with other_client.locking(database_url):
            writes = [asyncio.ensure_future(opened.write(keep, f"n{place}")) for place in range(100)]
            await asyncio.sleep(0)
            opened.fail_fast()
            answers = await asyncio.gather(*writes, return_exceptions=True)
            assert {type(answer) for answer in answers} == {errors.Unavailable}
            with pytest.raises(errors.Busy):
                await opened.write(keep, "a")


async def test_an_urgent_caller_is_answered_where_the_database_takes_writes(database_url: str) -> None:
    async with Database(database_url, limits=Limits(batch=1)) as opened:
        writes = [opened.write(keep, f"n{place}") for place in range(9)]
        opened.fail_fast()
        assert await asyncio.gather(*writes) == [f"kept n{place}" for place in range(9)]


async def test_closing_commits_what_is_waiting(database_url: str) -> None:
    async with Database(database_url, limits=Limits(batch=2)) as opened:
        writes = [asyncio.ensure_future(opened.write(keep, f"n{place}")) for place in range(9)]
        await asyncio.sleep(0)
    assert [write.result() for write in writes] == [f"kept n{place}" for place in range(9)]


async def test_a_closed_database_takes_no_write(database_url: str) -> None:
    async with Database(database_url) as opened:
        pass
    with pytest.raises(errors.Unavailable):
        await opened.write(keep, "a")


async def test_a_caller_that_is_cancelled_before_its_answer_stops_no_other(database: Database) -> None:
    gate = Gate()
    first = asyncio.ensure_future(database.write(gate.hold))
    await asyncio.sleep(0)
    first.cancel()
    second = asyncio.ensure_future(database.write(keep, "a"))
    gate.open()
    assert await second == "kept a"


async def test_a_commit_is_answered_after_it_is_durable(database_url: str) -> None:
    seen: list[tuple[str, list[str]]] = []
    with other_client.looking(database_url) as other:

        def look(batch: CommitBatch) -> None:
            seen.append((batch.phase, [row[0] for row in other("SELECT id FROM api_keys")]))

        async with Database(database_url, observe=look) as opened:
            await opened.write(keep, "a")
    assert seen == [("before", []), ("after", ["a"])]


async def test_an_observer_gets_the_names_of_the_writes(database_url: str) -> None:
    batches: list[CommitBatch] = []
    async with Database(database_url, observe=batches.append) as opened:
        await opened.write(keep_all, Note("a"))
    observed = [(batch.phase, batch.names) for batch in batches]
    assert observed == [("before", ("keep_all",)), ("after", ("keep_all",))]


async def test_an_observer_that_fails_after_the_commit_has_nothing_written_twice(database_url: str) -> None:
    def fail(batch: CommitBatch) -> None:
        if batch.phase == "after":
            raise BrokenPipeError

    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    async with Database(database_url, observe=fail) as opened:
        await asyncio.gather(*(opened.write(keep, name) for name in ("a", "b")))
    assert {type(each["exception"]) for each in failures} == {BrokenPipeError}


async def test_a_read_sees_one_snapshot(database: Database) -> None:
    gate, begun = Gate(), threading.Event()

    def count_twice(connection: Connection) -> tuple[int, int]:
        count = select(func.count()).select_from(API_KEYS)
        first = connection.execute(count).scalar_one()
        begun.set()
        gate.hold(connection)
        return first, connection.execute(count).scalar_one()

    reading = asyncio.ensure_future(database.read(count_twice))
    await asyncio.to_thread(begun.wait, 10)
    await database.write(keep, "a")
    gate.open()
    assert await reading == (0, 0)


async def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(errors.Unavailable, match=r"read-?only"):
        await database.read(keep, "a")


async def test_a_reader_sees_what_was_answered(database: Database) -> None:
    await database.write(keep, "a")
    assert await database.read(kept) == ["a"]


async def test_a_lookup_sees_each_commit(database: Database) -> None:
    for note in "ab":
        await database.write(keep, note)
        found = await database.look_up(api_keys.find, note)
        assert found is not None


async def test_a_lookup_that_cannot_be_answered_at_once_is_a_quick_read(embedded: Database) -> None:
    threads: list[threading.Thread] = []

    def read(_: Connection) -> str:
        threads.append(threading.current_thread())
        if len(threads) == 1:
            raise exc.OperationalError("", None, Exception("database is locked"))
        return "found"

    assert await embedded.look_up(read) == "found"
    assert [each is threading.current_thread() for each in threads] == [True, False]


async def test_a_lookup_does_not_wait_for_a_locked_file_either_when_it_opens_it(embedded: Database) -> None:
    waits: list[tuple[int, bool]] = []

    def opened(connection: sqlite3.Connection, _record: object) -> None:
        (milliseconds,) = connection.execute("PRAGMA busy_timeout").fetchone()
        waits.append((milliseconds, threading.current_thread() is threading.main_thread()))

    event.listen(Engine, "connect", opened, insert=True)
    try:
        assert await embedded.look_up(api_keys.find, "a") is None
    finally:
        event.remove(Engine, "connect", opened)
    assert waits == [(0, True)]


async def test_a_closed_database_answers_no_lookup(database_url: str) -> None:
    async with Database(database_url) as opened:
        assert await opened.look_up(api_keys.find, "a") is None
    with pytest.raises((errors.Unavailable, RuntimeError), match=r"closed|shutdown"):
        await opened.look_up(api_keys.find, "a")


async def test_a_closed_database_answers_no_quick_read(database_url: str) -> None:
    async with Database(database_url) as opened:
        assert await opened.quick_read(kept) == []
    with pytest.raises((errors.Unavailable, RuntimeError), match=r"closed|shutdown"):
        await opened.quick_read(kept)


async def test_a_commit_wakes_its_waiters(database: Database) -> None:
    woken = database.next_commit()
    await database.write(keep, "a")
    assert woken.done()


async def test_a_commit_without_work_wakes_no_worker(database: Database) -> None:
    woken, work = database.next_commit(), database.next_work()
    await database.write(writer.leave_no_work)
    assert (woken.done(), work.done()) == (True, False)


async def test_one_call_with_work_in_a_commit_wakes_the_worker(embedded: Database) -> None:
    work = embedded.next_work()
    await asyncio.gather(embedded.write(writer.leave_no_work), embedded.write(keep, "a"))
    assert work.done()


async def test_a_failed_write_wakes_no_waiter(database: Database) -> None:
    woken = database.next_commit()
    await asyncio.gather(database.write(keep_then_fail, "a"), return_exceptions=True)
    assert not woken.done()


async def test_a_database_of_another_kind_is_refused_with_a_reason() -> None:
    with pytest.raises(errors.Unavailable, match="mysql"):
        Database("mysql://localhost/runledger")


@pytest.mark.parametrize(("name", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)])
async def test_connections_for_reads_and_writes_are_durable(embedded: Database, name: str, value: object) -> None:
    def ask(connection: Connection) -> object:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()

    assert (await embedded.write(ask), await embedded.read(ask)) == (value, value)


@pytest.mark.parametrize(("name", "value"), [("transaction_isolation", "read committed"), ("lock_timeout", "5s")])
async def test_a_write_sees_what_others_commit_and_waits_for_their_locks_so_long(
    served: Database, name: str, value: str
) -> None:
    def ask(connection: Connection) -> object:
        return connection.exec_driver_sql(f"SHOW {name}").scalar_one()

    assert await served.write(ask) == value


async def test_a_write_that_a_deadlock_rolled_back_is_retried(server_url: str) -> None:
    """Two writers change two rows in opposite orders: the database rolls one of them back."""
    met = threading.Barrier(2)
    tries: list[str] = []

    def cross(connection: Connection, first: str, then: str) -> str:
        tries.append(first)
        api_keys.record_use(connection, first, life.NOW)
        if len(tries) <= 2:
            met.wait(10)
        api_keys.record_use(connection, then, life.NOW)
        return first

    async with Database(server_url) as one, Database(server_url) as other:
        await asyncio.gather(*(one.write(keep, each) for each in "ab"))
        await asyncio.gather(one.write(cross, "a", "b"), other.write(cross, "b", "a"))
    assert len(tries) >= 3  # the one that was rolled back may deadlock again


async def test_a_lock_that_is_held_is_waited_for_twice_and_not_again_by_those_behind(server_url: str) -> None:
    tries: list[str] = []

    def held_up(connection: Connection, note_id: str) -> str:
        tries.append(note_id)
        return keep(connection, note_id)

    async with Database(server_url, limits=Limits(busy_seconds=0.05)) as opened:
        with other_client.locking(server_url):
            answers = await gathered(opened, *(opened.write(held_up, each) for each in "abcdef"))
        assert {type(answer) for answer in answers} == {errors.Unavailable}
        assert tries == ["a", "b"]
        assert await opened.write(held_up, "a") == "kept a"


async def test_a_write_whose_connection_was_lost_before_its_commit_is_retried(server_url: str) -> None:
    tries: list[str] = []

    def lose(connection: Connection) -> str:
        tries.append("x")
        if len(tries) == 1:
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            with other_client.looking(server_url) as other:
                other(f"SELECT pg_terminate_backend({pid}, 5000)")
        return keep(connection, "a")

    async with Database(server_url) as opened:
        assert (await opened.write(lose), await opened.read(kept)) == ("kept a", ["a"])
    assert len(tries) == 2


async def test_a_document_that_is_being_written_keeps_no_other_write_waiting(server_url: str) -> None:
    gate = Gate()

    @queues.with_documents
    def hold(connection: Connection) -> None:
        gate.hold(connection)

    async with Database(server_url) as opened:
        document = asyncio.ensure_future(opened.write(hold))
        assert await opened.write(keep, "a") == "kept a"
        assert not document.done()
        gate.open()
        await document


async def test_errors_of_the_database_do_not_show_values(database: Database) -> None:
    await database.write(keep, "secret-note")
    with pytest.raises(exc.IntegrityError) as caught:
        await database.write(keep, "secret-note")
    assert "secret-note" not in str(caught.value)
