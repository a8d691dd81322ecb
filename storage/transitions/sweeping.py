"""The sweep: record what the pages of the upstream's list show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_

from storage import states
from storage.engine.queues import with_documents
from storage.repositories import jobs, runs, system_state, unknown_runs, upstream_links
from storage.tables.runs import RUNS
from storage.transitions import settling


@dataclass(frozen=True, slots=True)
class ListedRun:
    """An entry of the upstream's list."""

    upstream_id: str
    status: states.Status
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SweptPage:
    """The result of a page: how many of our runs have ended, and which ids are not ours."""

    ended: int
    unknown_ids: frozenset[str]


@with_documents
def record_listed(connection: Connection, seen: Sequence[ListedRun], now: datetime) -> SweptPage:
    """Enqueue a settle for each of our runs that the list shows as ended; move live ones forward.

    A run that should have ended long ago gets a settle too: lists may be stale. An existing settle job keeps its
    back-off. Runs whose adoption is not complete are skipped.
    """
    linked = upstream_links.linked_runs(connection, [each.upstream_id for each in seen])
    runs_by_id = runs.find_many(connection, sorted(set(linked.values())))
    listed = sorted(seen, key=lambda each: each.upstream_id)
    pairs = [(runs_by_id.get(linked.get(each.upstream_id, "")), each) for each in listed]
    live = [(run, each) for run, each in pairs if run is not None and _is_about(run, each)]
    ended = [run for run, each in live if each.status in states.TERMINAL]
    late = [run for run, _ in live if run not in ended and run.expected_by is not None and run.expected_by < now]
    jobs.enqueue(connection, [_settle_request(run.id, now) for run in (*ended, *late)])
    runs.update(connection, RUNS.c.id.in_([run.id for run, _ in live]), {"asked_at": now})
    for run, each in live:
        if run not in ended and (run.status != each.status or run.missing_since is not None):
            locked = runs.lock(connection, run.id)
            settling.follow_live_state(connection, locked, each.status, each.started_at, now, "sweep")
    return SweptPage(len(ended), frozenset(each.upstream_id for each in seen if each.upstream_id not in linked))


def _is_about(run: runs.Run, seen: ListedRun) -> bool:
    """Return whether an entry of the list is about a run of ours that is live, and not about its orphan."""
    return not run.is_terminal and run.status is not states.ACCEPTED and run.upstream_id == seen.upstream_id


def _settle_request(run_id: str, now: datetime) -> jobs.JobRequest:
    return jobs.JobRequest(states.Kind.SETTLE, run_id, now, states.Source.SWEEP, urgent=False)


@with_documents
def request_own_settle(connection: Connection, run_id: str, now: datetime) -> None:
    """Enqueue a settle for a run whose status request failed: its own job finds out why, with its own back-off."""
    runs.update(connection, RUNS.c.id == run_id, {"asked_at": now})
    jobs.enqueue(connection, [_settle_request(run_id, now)])


def finish_sweep(
    connection: Connection,
    claim: jobs.Claim,
    started: datetime,
    due_at: datetime,
    *,
    complete: bool,
    lost_create_before: datetime,
    position: system_state.SweepPosition | None = None,
    error: str | None = None,
) -> None:
    """Finish a pass, which comes due again. Only a `complete` pass proves that no lost create is left.

    After a day a lost create is given up: it is queued upstream and will never be executed. `position` is where
    the next pass continues; `error` says why this one could not see everything.
    """
    jobs.require_lease(connection, claim)
    system_state.save_sweep_position(connection, position)
    if complete:
        system_state.record_sweep(connection, started)
    given_up = lost_create_before if complete else started - timedelta(days=1)
    # An accepted run is looked for by its own start job, which gives up by itself.
    over = and_(RUNS.c.lost_create_since < given_up, RUNS.c.status != states.ACCEPTED.value)
    runs.update(connection, over, {"lost_create_since": None})
    if error is None:
        jobs.reschedule(connection, claim, due_at)
    else:
        jobs.fail(connection, claim, due_at, error=error, now=started, counted=False)


def due_unknown(connection: Connection, now: datetime, limit: int) -> list[unknown_runs.UnknownRun]:
    """Return the runs to be asked about now; those that have become ours are removed."""
    found = unknown_runs.due(connection, now, limit)
    ours = upstream_links.linked_runs(connection, [each.upstream_id for each in found])
    if ours:
        unknown_runs.remove(connection, sorted(ours))
    return [each for each in found if each.upstream_id not in ours]
