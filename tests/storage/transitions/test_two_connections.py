"""Two transactions of a server at once, of which the first is held open: what the second one then does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import pytest
from sqlalchemy import Connection, Engine, select

from storage import ids, states
from storage.actions import bulk, bulk_parts
from storage.ledger import entries
from storage.query import grammar
from storage.repositories import deliveries, jobs, runs
from storage.retention import erasing, holds
from storage.tables.deliveries import DELIVERIES
from storage.tables.jobs import JOBS
from storage.tables.ledger import LEDGER_ENTRIES
from storage.tables.runs import RUNS
from storage.transitions import adopting, receiving, starting, submitting
from storage.transitions import settling as transitions_settling
from tests import life
from tests.storage import waits

T = TypeVar("T")
UPSTREAM = "run_upstream"


@dataclass(frozen=True)
class Two:
    """A transaction that is held open, and others at the same time."""

    engine: Engine
    slow: Connection
    aside: ThreadPoolExecutor

    def start(self, work: Callable[[Connection], T]) -> Future[T]:
        """Start another transaction; return once it waits for the first one or is over."""
        under_way = self.aside.submit(self.done, work)
        waits.until_waiting_or_done(self.engine, under_way)
        return under_way

    def done(self, work: Callable[[Connection], T]) -> T:
        """Run a transaction and commit it."""
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
    made = starting.CreatedRun(UPSTREAM, life.at(1), watched=True)
    assert starting.record_created(connection, claim, made, life.at(1)) is starting.LinkResult.RUN
    return run, claim


def accepted(connection: Connection) -> tuple[runs.Run, jobs.Claim]:
    run = life.submitted(connection)
    return run, life.claim(connection, states.Kind.START, run.id)


def settling(connection: Connection) -> tuple[runs.Run, jobs.Claim]:
    """A run that is running, and its settle job under a lease."""
    run, start = queued(connection)
    starting.record_started(connection, start, "exec", life.at(2), life.at(3600))
    jobs.enqueue(connection, [jobs.JobRequest(states.Kind.SETTLE, run.id, life.at(3), states.Source.WATCHER)])
    return run, life.claim(connection, states.Kind.SETTLE, run.id, life.at(3))


@pytest.mark.parametrize("by", ["id", "upstream id"])
def test_a_cancel_of_a_run_that_ends_just_now_finds_it_ended(two: Two, by: str) -> None:
    run, claim = two.done(settling)
    named = run.id if by == "id" else UPSTREAM
    with held_open(two) as slow:
        assert transitions_settling.record_result(slow, claim, life.result(), life.at(63), None)
        cancelled = two.start(lambda each: submitting.request_cancel(each, named, "key:backend", life.at(63)))
    found = cancelled.result()
    assert found is not None
    assert (found.status, found.cancel_requested_at) == (states.COMPLETED, None)
    assert two.done(lambda each: each.execute(select(JOBS.c.kind)).scalars().all()) == []


def test_a_refresh_that_is_requested_during_a_fetch_is_not_mistaken_for_answered(two: Two) -> None:
    run, claim = two.done(settling)
    with held_open(two) as slow:
        runs.update(slow, RUNS.c.id == run.id, {"refresh_requested_at": life.at(20)})

        def record(each: Connection) -> bool:
            return transitions_settling.record_result(each, claim, life.result(), life.at(63), None, life.at(10))

        recorded = two.start(record)
    assert recorded.result()
    found = two.done(lambda each: runs.find(each, run.id))
    assert found is not None
    assert found.refresh_requested_at == life.at(20)


def test_a_bulk_action_waits_for_a_job_of_its_run_and_locks_the_run_after_it(two: Two) -> None:
    run, claim = two.done(settling)

    def begin(connection: Connection) -> tuple[bulk.Action, jobs.Claim]:
        request = bulk.Request(states.BulkKind.REFRESH, "ops", "key:ops", life.NOW, run_seqs=[run.seq])
        made = bulk.create(connection, bulk.plan(connection, request))
        return made, life.claim(connection, states.Kind.BULK, "")

    action, part = two.done(begin)
    with held_open(two) as slow:
        jobs.require_lease(slow, claim)  # as a worker that is about to store the result
        handled = two.start(
            lambda each: bulk_parts.handle_part(each, part, action, [run.seq], life.at(70), life.at(99))
        )
        assert transitions_settling.record_result(slow, claim, life.result(), life.at(63), None)
    handled.result()
    done = two.done(lambda each: bulk.find(each, action.id))
    assert (done and done.done, two.done(lambda each: runs.lock(each, run.id).status)) == (1, states.COMPLETED)


def test_a_refresh_waits_for_the_job_of_its_run_and_locks_the_run_after_it(two: Two) -> None:
    run, claim = two.done(settling)
    with held_open(two) as slow:
        jobs.require_lease(slow, claim)  # as a worker that is about to store the result
        asked = two.start(lambda each: submitting.request_refresh(each, run.id, life.at(63)))
        locked = select(RUNS.c.seq).where(RUNS.c.id == run.id).with_for_update(nowait=True)
        assert slow.execute(locked).scalar_one() == run.seq
        assert transitions_settling.record_result(slow, claim, life.result(), life.at(63), None)
    asked.result()
    assert two.done(lambda each: runs.lock(each, run.id).status) == states.COMPLETED


EVENT = life.event(UPSTREAM, event_id="evt_1")


def deliver(connection: Connection) -> deliveries.Receipt:
    return receiving.accept_delivery(connection, [EVENT])[EVENT.id]


def holder(connection: Connection) -> str | None:
    """The run that the event belongs to in the end."""
    found: str | None = connection.execute(select(DELIVERIES.c.run_id)).scalar_one()
    return found


def create(connection: Connection, claim: jobs.Claim) -> None:
    made = starting.CreatedRun(UPSTREAM, life.at(1), watched=True)
    assert starting.record_created(connection, claim, made, life.at(1)) is starting.LinkResult.RUN


def test_an_event_that_comes_while_its_run_is_being_linked_belongs_to_it(two: Two) -> None:
    run, claim = two.done(accepted)
    with held_open(two) as slow:
        create(slow, claim)
        delivered = two.start(deliver)
    assert (delivered.result().run_id, two.done(holder)) == (run.id, run.id)


def test_a_run_that_is_linked_while_an_event_of_it_is_being_stored_finds_it(two: Two) -> None:
    run, claim = two.done(accepted)
    with held_open(two) as slow:
        assert deliver(slow).run_id is None
        created = two.start(lambda each: create(each, claim))
    created.result()
    assert two.done(holder) == run.id


def adopt(connection: Connection) -> runs.Run:
    adoption = adopting.Adoption(
        ids.new(life.NOW), UPSTREAM, "backend", states.Source.REQUEST, life.NOW, life.at(3600)
    )
    return adopting.adopt(connection, adoption)[0]


def test_a_run_that_is_adopted_while_an_event_of_it_is_being_stored_finds_it(two: Two) -> None:
    with held_open(two) as slow:
        deliver(slow)
        adopted = two.start(adopt)
    run = adopted.result()
    assert two.done(holder) == run.id


def test_a_run_that_is_adopted_again_while_an_event_of_it_is_being_stored_finds_it(two: Two) -> None:
    ours = ids.new(life.NOW)
    with held_open(two) as slow:
        deliver(slow)
        taken = two.start(lambda each: adopting.readopt(each, ours, UPSTREAM, life.NOW))
    assert taken.result() is not None
    assert two.done(holder) == ours


def test_an_upstream_run_that_is_adopted_twice_at_once_is_one(two: Two) -> None:
    with held_open(two) as slow:
        first = adopt(slow)
        second = two.start(adopt)
    assert second.result().id == first.id
    assert two.done(lambda each: each.execute(select(RUNS.c.id)).scalars().all()) == [first.id]


def append(connection: Connection, count: int) -> None:
    entry = entries.Entry(entries.Kind.RUN_STARTED, life.NOW, "run", "worker", {"via": "exec"})
    entries.append(connection, [entry] * count)


def test_while_one_numbers_the_ledger_another_one_gives_no_number(two: Two) -> None:
    two.done(lambda each: append(each, 2))
    with held_open(two) as slow:
        assert entries.number(slow, 2) == range(2)
        two.done(lambda each: append(each, 1))
        other = two.start(lambda each: entries.number(each, 10))
    assert other.result() == range(0)
    assert two.done(lambda each: entries.number(each, 10)) == range(2, 3)
    numbers = select(LEDGER_ENTRIES.c.leaf_index).order_by(LEDGER_ENTRIES.c.seq)
    assert two.done(lambda each: each.execute(numbers).scalars().all()) == [0, 1, 2]


def hold(connection: Connection) -> holds.Hold:
    placed = holds.Hold(
        ids.new(life.NOW), states.HoldScope.TAG, "matter=7", "Litigation 7", "operator", life.at(100)
    )
    return holds.place(connection, placed)


def settled(connection: Connection) -> runs.Run:
    run, claim = settling(connection)
    transitions_settling.record_result(connection, claim, life.result(), life.at(63), None)
    runs.replace_tags(connection, run, {"matter": "7"})
    return run


def prune(connection: Connection) -> int:
    return erasing.erase(connection, grammar.EVERYTHING, life.OLD, life.at(1000)).runs


def test_a_removal_waits_for_a_hold_that_is_being_placed_and_obeys_it(two: Two) -> None:
    two.done(settled)
    with held_open(two) as slow:
        hold(slow)
        removed = two.start(prune)
        assert not removed.done()
    assert removed.result() == 0


def test_a_hold_waits_for_a_removal_that_is_under_way(two: Two) -> None:
    two.done(settled)
    with held_open(two) as slow:
        assert prune(slow) == 1
        placed = two.start(hold)
        assert not placed.done()
    assert placed.result().released_at is None


def test_a_removal_waits_for_a_tag_that_brings_its_run_under_a_hold(two: Two) -> None:
    run = two.done(settled)
    two.done(hold)
    two.done(lambda each: runs.replace_tags(each, run, {}))
    with held_open(two) as slow:
        submitting.change_tags(slow, run.id, {"matter": "7"}, "operator", life.at(200))
        removed = two.start(prune)
    assert removed.result() == 0
