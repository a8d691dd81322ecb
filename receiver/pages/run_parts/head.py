"""The head of a run's page: the run, its jobs, and notes about its state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from receiver import errors
from receiver.pages import formats, requests
from receiver.pages.drawing import waterfall
from receiver.pages.run_parts import words
from receiver.schemas import json_rows, notification
from receiver.web import run_ids
from storage import states
from storage.engine.database import Snapshot
from storage.query import run_lines
from storage.repositories import job_list, notifications
from storage.retention import holds

#: The states of a run that is over.
TERMINAL = {each.value for each in states.TERMINAL}
#: The lines and characters of a reason that are shown before it is opened.
_FIRST_LINES, _FIRST_CHARACTERS = 4, 320
_PLACES = {
    "issues": "the issues of the upstream’s final response",
    "logs": "the logs of the run",
    "steps": "the last of its steps that has a text",
    "runtimeState": "the state of its runtime",
}


_WAITS = {
    "accepted": "It waits for the worker of Runledger, which creates it upstream.",
    "queued": "It waits for the upstream, which has created it and not started it yet.",
    "running": "It waits for the upstream, where the agent works. A callback or an event reports the end; should "
    "neither come, the sweep finds it.",
    "lost": "It waits until the upstream shows it again; each sweep searches for it.",
}


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence about the state of a run: its title, the text itself, and where it was read."""

    kind: str
    icon: str
    title: str
    text: str = ""
    source: str = ""

    @property
    def begin(self) -> str:
        """Return the first lines of the text, or all of one that is not twice as long."""
        lines = self.text.splitlines()
        if len(self.text) <= 2 * _FIRST_CHARACTERS and len(lines) <= 2 * _FIRST_LINES:
            return self.text
        first = "\n".join(lines[:_FIRST_LINES])
        return formats.shortened(f"{first} …", _FIRST_CHARACTERS)

    @property
    def is_long(self) -> bool:
        return self.begin != self.text


@dataclass(frozen=True, slots=True)
class Head:
    """A run with its jobs and its notification. `named` is the id by which it was asked for."""

    run: run_lines.Line
    named: str
    jobs: Sequence[job_list.Job]
    sent: notifications.Notification | None
    now: datetime
    holds: Sequence[holds.Hold] = ()

    @property
    def status(self) -> str:
        status: str = self.run.status
        return status

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def is_unsuccessful(self) -> bool:
        """Return whether the run ended without being completed."""
        return self.is_terminal and self.status != states.COMPLETED

    @property
    def mark(self) -> str:
        """Return a fingerprint of what the page shows besides the steps; a page with another one is outdated."""
        run = self.run
        jobs = [(job.kind.value, job.state.value, job.last_error) for job in self.jobs if job.last_error]
        shown = (run.status, run.upstream_id, run.cancel_requested_at, run.settled_at, self.is_overdue, jobs)
        return hashlib.sha256(repr(shown).encode("utf-8", "replace")).hexdigest()[:16]

    @property
    def waits_for(self) -> str:
        """Return what an open run waits for, as a sentence; nothing for one that is over."""
        return "" if self.is_terminal else _WAITS.get(self.status, "")

    @property
    def is_orphan(self) -> bool:
        """Return whether the id is that of an upstream run that was never executed for this submission."""
        return self.named not in (self.run.id, self.run.upstream_id)

    @property
    def is_pruned(self) -> bool:
        return self.run.pruned_at is not None

    @property
    def is_overdue(self) -> bool:
        expected = formats.instant(self.run.expected_by)
        return not self.is_terminal and expected is not None and expected < self.now

    @property
    def times(self) -> waterfall.Times:
        """Return when the run began, started, and ended. What was adopted began before it was accepted."""
        run = self.run
        accepted, created, started, completed = map(
            formats.instant, (run.accepted_at, run.created_at, run.started_at, run.completed_at)
        )
        assert accepted is not None
        begin = min(each for each in (accepted, created, started) if each is not None)
        end = completed or (formats.instant(run.settled_at) if self.is_terminal else self.now)
        return waterfall.Times(begin, started, end, is_live=not self.is_terminal)

    @property
    def settled_after(self) -> int | None:
        """Return the milliseconds from the run's end to its settling; None where it was adopted later."""
        run = self.run
        accepted, completed, settled = map(formats.instant, (run.accepted_at, run.completed_at, run.settled_at))
        if accepted is None or completed is None or settled is None or not accepted <= completed <= settled:
            return None
        return (settled - completed) // timedelta(milliseconds=1)

    @property
    def settled_how(self) -> str:
        """Return which source reported its end, as a sentence."""
        after = self.settled_after
        when = "" if after is None else f" It was settled {formats.duration(after)} after its end."
        how = words.source(self.run.settled_by)
        return f"{formats.capitalize_first(how)}.{when}" if how else when.strip()

    @property
    def tokens(self) -> int | None:
        known = [each for each in (self.run.input_tokens, self.run.output_tokens) if each is not None]
        return sum(known) if known else None

    @property
    def failed_notify(self) -> job_list.Job | None:
        """Return the job that notifies the backend, where it waits for another try."""
        failing = (states.JobState.DEAD, states.JobState.FAILING)
        return next((job for job in self.jobs if job.kind == states.Kind.NOTIFY and job.state in failing), None)

    @property
    def notes(self) -> list[Note]:
        """Return the notes about the run, the most important first."""
        return [*_end(self), *_waiting(self), *_content(self), *_held(self)]


def load(given: requests.PageRequest, store: Snapshot) -> Head:
    """Return the head of the run of either id. Raise NotFound, and UnreadableRow for values of wrong types."""
    named = given.ids["id"]
    run = run_ids.require_run(store.read(run_lines.find, named))
    with json_rows.named(run.id, given.context.api.telemetry.log):
        notification.RUNS.one((*run[:-1], None))
    jobs, _ = store.read(job_list.page, job_list.Query(run_id=run.id), given.now)
    return Head(run, named, jobs, store.read(notifications.find, run.id), given.now)


def with_holds(store: Snapshot, of: Head) -> Head:
    """Return the head with the legal holds that cover the run, which take longer to find than all the rest."""
    return replace(of, holds=store.read(holds.covering, of.run.seq))


def of_content(given: requests.PageRequest, store: Snapshot) -> Head:
    """Return the head of a run for a page about its content. Raise RunIsOrphan, RunPruned, and as `load` does."""
    head = load(given, store)
    if head.is_orphan:
        raise errors.RunIsOrphan(head.named, head.run.id)
    if head.is_pruned:
        raise errors.RunPruned(head.run.id)
    return head


def _end(head: Head) -> Iterator[Note]:
    run = head.run
    reason = run.failure_reason or ""
    match head.status:
        case "failed":
            source = _PLACES.get(run.failure_source or "", "")
            yield Note("", "failed", "Why it failed", reason or "The upstream gives no reason.", source)
        case "refused":
            yield Note("", "refused", "The upstream refused it", reason or "The upstream gives no reason.")
        case "lost":
            text = "The upstream does not show this run any more. Each sweep looks for it again."
            yield Note("is-warn", "lost", "Lost", text)
    if head.is_orphan:
        text = "A lost answer left it behind, so it was cancelled. This is the run that was executed."
        yield Note("is-warn", "warn", f"{head.named} is an orphan of this run", text)


def _waiting(head: Head) -> Iterator[Note]:
    if head.is_terminal:
        return
    if head.run.cancel_requested_at is not None:
        text = "The upstream decides in which state the run ends."
        yield Note("is-warn", "cancelled", "Its cancellation is requested", text)
    if head.is_overdue:
        text = "No source has reported its end by the time at which it was expected. Each sweep asks for it."
        yield Note("is-warn", "warn", "Overdue", text)
    for job in head.jobs:
        if job.last_error and job.state in (states.JobState.FAILING, states.JobState.DEAD):
            is_dead = job.state == states.JobState.DEAD
            due = "It waits for an operator." if is_dead else f"Next try {formats.ago(job.due_at, head.now)}."
            yield Note("is-warn", "warn", f"The job “{job.kind}” fails", job.last_error, due)


def _content(head: Head) -> Iterator[Note]:
    run = head.run
    if head.is_pruned:
        text = "Steps, documents and the erased texts are gone. Measures and entries of the ledger stay."
        yield Note("is-note", "info", f"Its content was removed {formats.ago(run.pruned_at, head.now)}", text)
    elif head.status == "completed" and (run.output is None or run.cost_micros is None):
        missing = "no answer" if run.output is None else "no cost"
        text = f"The upstream’s details have {missing}. “Fetch again” asks for them now."
        yield Note("is-note", "info", "Details are missing", text)


def _held(head: Head) -> Iterator[Note]:
    for hold in head.holds:
        source = f"Placed {words.actor(hold.placed_by)}. It is neither erased nor removed by age."
        yield Note(
            "is-note", "lock", f"Legal hold on {words.hold_target(hold)}", f"{hold.reason.rstrip('.')}.", source
        )
