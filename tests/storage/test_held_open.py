"""Two transactions of a server at once, of which the first is held open: what the second one then does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import pytest
from sqlalchemy import Connection, Engine, select

from storage import deliveries, ids, jobs, ledger, runs, states, transitions
from storage.tables import DELIVERIES, JOBS, LEDGER_ENTRIES, RUNS
from storage.transitions import adoption
from tests import life
from tests.storage import waits

T = TypeVar("T")
UPSTREAM = "run_upstream"


@dataclass(frozen=True)
class Two:
    """A transaction that is held open, and others beside it."""

    engine: Engine
    slow: Connection
    aside: ThreadPoolExecutor

    def beside(self, work: Callable[[Connection], T]) -> Future[T]:
        """Another transaction, once it waits for the first one or is over."""
        under_way = self.aside.submit(self.done, work)
        waits.until_waiting_or_done(self.engine, under_way)
        return under_way

    def done(self, work: Callable[[Connection], T]) -> T:
        """A transaction that is committed."""
        with self.engine.begin() as connection:
            return work(connection)


@pytest.fixture
def two(server_url: str) -> Iterator[Two]:
    with waits.connected(server_url) as engine, engine.connect() as slow, ThreadPoolExecutor(1) as aside:
        yield Two(engine, slow, aside)


@contextmanager
def held_open(two: Two) -> Iterator[Connection]:
    """The first transaction, committed after the block."""
    with two.slow.begin():
        yield two.slow


def queued(connection: Connection) -> tuple[runs.Run, jobs.Claim]:
    """A run whose upstream id is committed, and its start job under a lease."""
    run, claim = accepted(connection)
    made = transitions.Created(UPSTREAM, life.at(1), watched=True)
    assert transitions.created(connection, claim, made, life.at(1)) is transitions.Linked.RUN
    return run, claim


def accepted(connection: Connection) -> tuple[runs.Run, jobs.Claim]:
    run = transitions.submit(connection, life.submission()).run
    return run, life.claim(connection, states.Kind.START, run.id)


def settling(connection: Connection) -> tuple[runs.Run, jobs.Claim]:
    """A run that is running, and its settle job under a lease."""
    run, start = queued(connection)
    transitions.started(connection, start, "exec", life.at(2), life.at(3600))
    jobs.wish(connection, [jobs.Wish(states.Kind.SETTLE, run.id, life.at(3), states.Road.WATCHER)])
    return run, life.claim(connection, states.Kind.SETTLE, run.id, life.at(3))


@pytest.mark.parametrize("by", ["id", "upstream id"])
def test_who_cancels_a_run_that_ends_just_now_finds_it_ended(two: Two, by: str) -> None:
    run, claim = two.done(settling)
    named = run.id if by == "id" else UPSTREAM
    with held_open(two) as slow:
        assert transitions.record(slow, claim, life.result(), life.at(63), None)
        cancelled = two.beside(lambda each: transitions.request_cancel(each, named, "key:backend", life.at(63)))
    found = cancelled.result()
    assert found is not None
    assert (found.status, found.cancel_requested_at) == (states.COMPLETED, None)
    assert two.done(lambda each: each.execute(select(JOBS.c.kind)).scalars().all()) == []


def test_a_refresh_that_is_asked_for_during_a_fetch_is_not_taken_for_answered(two: Two) -> None:
    run, claim = two.done(settling)
    with held_open(two) as slow:
        runs.change(slow, RUNS.c.id == run.id, {"refresh_requested_at": life.at(20)})
        record = lambda each: transitions.record(each, claim, life.result(), life.at(63), None, life.at(10))  # noqa: E731
        recorded = two.beside(record)
    assert recorded.result()
    found = two.done(lambda each: runs.find(each, run.id))
    assert found is not None
    assert found.refresh_requested_at == life.at(20)


EVENT = life.event(UPSTREAM, event_id="evt_1")


def deliver(connection: Connection) -> deliveries.Receipt:
    return transitions.accept_delivery(connection, [EVENT])[EVENT.id]


def holder(connection: Connection) -> str | None:
    """The run that the event belongs to in the end."""
    found: str | None = connection.execute(select(DELIVERIES.c.run_id)).scalar_one()
    return found


def create(connection: Connection, claim: jobs.Claim) -> None:
    made = transitions.Created(UPSTREAM, life.at(1), watched=True)
    assert transitions.created(connection, claim, made, life.at(1)) is transitions.Linked.RUN


def test_an_event_that_comes_while_its_run_is_being_linked_belongs_to_it(two: Two) -> None:
    run, claim = two.done(accepted)
    with held_open(two) as slow:
        create(slow, claim)
        delivered = two.beside(deliver)
    assert (delivered.result().run_id, two.done(holder)) == (run.id, run.id)


def test_a_run_that_is_linked_while_an_event_of_it_is_being_stored_finds_it(two: Two) -> None:
    run, claim = two.done(accepted)
    with held_open(two) as slow:
        assert deliver(slow).run_id is None
        created = two.beside(lambda each: create(each, claim))
    created.result()
    assert two.done(holder) == run.id


def adopt(connection: Connection) -> runs.Run:
    wish = transitions.Adopted(
        ids.new(life.NOW), UPSTREAM, "backend", states.Road.REQUEST, life.NOW, life.at(3600)
    )
    return transitions.adopt(connection, wish)[0]


def test_a_run_that_is_adopted_while_an_event_of_it_is_being_stored_finds_it(two: Two) -> None:
    with held_open(two) as slow:
        deliver(slow)
        adopted = two.beside(adopt)
    run = adopted.result()
    assert two.done(holder) == run.id


def test_a_run_that_is_taken_back_while_an_event_of_it_is_being_stored_finds_it(two: Two) -> None:
    ours = ids.new(life.NOW)
    with held_open(two) as slow:
        deliver(slow)
        taken = two.beside(lambda each: adoption.take_back(each, ours, UPSTREAM, life.NOW))
    assert taken.result() is not None
    assert two.done(holder) == ours


def test_an_upstream_run_that_two_adopt_at_once_is_one(two: Two) -> None:
    with held_open(two) as slow:
        first = adopt(slow)
        second = two.beside(adopt)
    assert second.result().id == first.id
    assert two.done(lambda each: each.execute(select(RUNS.c.id)).scalars().all()) == [first.id]


def append(connection: Connection, count: int) -> None:
    entry = ledger.Entry(ledger.Kind.RUN_STARTED, life.NOW, "run", "worker", {"via": "exec"})
    ledger.append(connection, [entry] * count)


def test_while_one_numbers_the_ledger_another_one_gives_no_number(two: Two) -> None:
    two.done(lambda each: append(each, 2))
    with held_open(two) as slow:
        assert ledger.number(slow, 2) == range(2)
        two.done(lambda each: append(each, 1))
        other = two.beside(lambda each: ledger.number(each, 10))
    assert other.result() == range(0)
    assert two.done(lambda each: ledger.number(each, 10)) == range(2, 3)
    numbers = select(LEDGER_ENTRIES.c.leaf_index).order_by(LEDGER_ENTRIES.c.seq)
    assert two.done(lambda each: each.execute(numbers).scalars().all()) == [0, 1, 2]
