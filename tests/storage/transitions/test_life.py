"""Any events of a run in any order: some properties always hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select

from storage import errors, states
from storage.ledger import entries as ledger_entries
from storage.repositories import jobs, runs
from storage.states import Kind, Source
from storage.tables.ledger import LEDGER_ENTRIES
from storage.tables.runs import RUN_STEPS, UPSTREAM_LINKS
from storage.transitions import receiving, settling, starting, submitting, sweeping
from tests import life
from tests.conftest import EXAMPLES
from tests.storage import scratch

LIVE = st.sampled_from([states.QUEUED, states.RUNNING])
ENDED = st.sampled_from(sorted(states.REPORTED))
UPSTREAM = st.sampled_from(["run_1", "run_2", "run_3"])
TERMINAL_KINDS = {f"run.{status}" for status in states.TERMINAL}


class Life(RuleBasedStateMachine):
    """One submission, two workers that may both believe to hold a job, and an upstream that says anything."""

    claims = Bundle("claims")
    url = scratch.MEMORY

    @initialize()
    def submit(self) -> None:
        self.stack = ExitStack()
        self.connection = self.stack.enter_context(scratch.connected(self.url))
        self.run_id = life.submitted(self.connection).id
        self.seconds = 0
        self.ends: list[tuple[states.Status, datetime | None, Source | None]] = []

    def teardown(self) -> None:
        self.stack.close()

    @property
    def now(self) -> datetime:
        return life.at(self.seconds)

    def try_(self, function: Callable[..., Any], *arguments: Any, **more: Any) -> None:
        """Run one transaction. With a lost lease it changes nothing."""
        before = self.connection.begin_nested()
        try:
            function(self.connection, *arguments, **more)
        except errors.LeaseLost:
            before.rollback()
        else:
            before.commit()

    @rule(seconds=st.integers(1, 90))
    def time_passes(self, seconds: int) -> None:
        self.seconds += seconds

    @rule(target=claims, kind=st.sampled_from([Kind.START, Kind.SETTLE]))
    def claim(self, kind: Kind) -> jobs.Claim | None:
        taken = jobs.claim(self.connection, now=self.now, until=life.at(self.seconds + 60), owner="w", limit=9)
        return next((each for each in taken if each.kind is kind), None)

    @rule(claim=claims, upstream_id=UPSTREAM)
    def created(self, claim: jobs.Claim | None, upstream_id: str) -> None:
        if claim is not None and claim.kind is Kind.START:
            self.try_(starting.record_created, claim, starting.CreatedRun(upstream_id, self.now, True), self.now)

    @rule(claim=claims)
    def started(self, claim: jobs.Claim | None) -> None:
        if claim is not None and claim.kind is Kind.START and self.run.upstream_id is not None:
            self.try_(starting.record_started, claim, "exec", self.now, self.now)

    @rule(claim=claims)
    def refused(self, claim: jobs.Claim | None) -> None:
        if claim is not None and claim.kind is Kind.START:
            self.try_(starting.refuse, claim, "no", self.now)

    @rule(claim=claims, status=ENDED, body=st.sampled_from([b"1", b"2"]), again=st.booleans())
    def ended(self, claim: jobs.Claim | None, status: states.Status, body: bytes, again: bool) -> None:
        if claim is not None and claim.kind is Kind.SETTLE and self.run.upstream_id is not None:
            due_at = life.at(self.seconds + 60) if again else None
            self.try_(settling.record_result, claim, life.result(status, body), self.now, due_at)

    @rule(claim=claims, status=LIVE)
    def seen_alive(self, claim: jobs.Claim | None, status: states.Status) -> None:
        if claim is not None and claim.kind is Kind.SETTLE and self.run.upstream_id is not None:
            self.try_(settling.record_alive, claim, status, None, self.now, life.at(self.seconds + 5))

    @rule(claim=claims, lost=st.booleans())
    def missing(self, claim: jobs.Claim | None, lost: bool) -> None:
        if claim is not None and claim.kind is Kind.SETTLE and self.run.upstream_id is not None:
            self.try_(settling.record_missing, claim, self.now, self.now, "404", lost=lost)

    @rule()
    def cancel(self) -> None:
        self.try_(submitting.request_cancel, self.run_id, "key:backend", self.now)

    @rule()
    def refresh(self) -> None:
        self.try_(submitting.request_refresh, self.run_id, self.now)

    @rule(upstream_id=st.none() | UPSTREAM, status=st.none() | st.sampled_from(states.Status))
    def call_back(self, upstream_id: str | None, status: states.Status | None) -> None:
        delivery = life.delivery(run_id=self.run_id, upstream_id=upstream_id, status=status, received_at=self.now)
        self.try_(receiving.accept_delivery, [delivery])

    @rule(upstream_id=UPSTREAM, status=LIVE | ENDED)
    def sweep(self, upstream_id: str, status: states.Status) -> None:
        self.try_(sweeping.record_listed, [sweeping.ListedRun(upstream_id, status)], self.now)

    @rule(upstream_id=UPSTREAM)
    def lost_create_found(self, upstream_id: str) -> None:
        self.try_(starting.record_orphan, self.run_id, upstream_id, self.now)

    @precondition(lambda self: self.seconds > 0)
    @rule()
    def number(self) -> None:
        ledger_entries.number(self.connection, 3)

    @property
    def run(self) -> runs.Run:
        found = runs.find(self.connection, self.run_id)
        assert found is not None
        return found

    def entries(self) -> list[Any]:
        columns = LEDGER_ENTRIES.c
        return list(self.connection.execute(select(columns.kind, columns.leaf_index).order_by(columns.seq)))

    @invariant()
    def a_terminal_state_never_changes(self) -> None:
        run = self.run
        if run.is_terminal:
            self.ends.append((run.status, run.settled_at, run.settled_by))
        assert len(set(self.ends)) <= 1
        assert run.is_terminal or not self.ends

    @invariant()
    def an_end_is_recorded_once(self) -> None:
        ends = [kind for kind, _ in self.entries() if kind in TERMINAL_KINDS]
        assert ends == ([f"run.{self.run.status}"] if self.run.is_terminal else [])

    @invariant()
    def a_run_has_an_end_or_a_settled_at_or_neither(self) -> None:
        assert self.run.is_terminal == (self.run.settled_at is not None) == (self.run.settled_by is not None)

    @invariant()
    def one_upstream_run_at_most_is_executed(self) -> None:
        links = UPSTREAM_LINKS.c
        rows: Mapping[str, str] = dict(self.connection.execute(select(links.upstream_id, links.role)).all())
        executed = [upstream_id for upstream_id, role in rows.items() if role == "run"]
        assert executed == ([] if self.run.upstream_id is None else [self.run.upstream_id])

    @invariant()
    def the_step_count_is_the_number_of_rows(self) -> None:
        rows = self.connection.execute(select(func.count()).select_from(RUN_STEPS)).scalar_one()
        assert rows == self.run.step_count

    @invariant()
    def numbers_have_no_gap(self) -> None:
        numbers = [number for _, number in self.entries()]
        given = [number for number in numbers if number is not None]
        assert numbers == [*range(len(given))] + [None] * (len(numbers) - len(given))

    @invariant()
    def what_lives_under_an_upstream_id_is_not_accepted_any_more(self) -> None:
        assert (self.run.upstream_id is None) or self.run.status is not states.ACCEPTED


def test_the_invariants_hold_after_any_sequence_of_events(scratch_url: str) -> None:
    class Here(Life):
        url = scratch_url

    run_state_machine_as_test(Here, settings=settings(max_examples=EXAMPLES // 3, stateful_step_count=40))
