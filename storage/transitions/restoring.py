"""Restore of an older copy of a store, which lacks what was executed after it was made.

Each submission that is not started there is marked. Its start job looks for it in the upstream's list before
anything is sent, and takes over a run that it finds, in any state: see
`receiver/worker/tasks/recover_after_restore.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, case, func, update

from storage import states
from storage.engine.column_types import instant
from storage.ledger import entries
from storage.repositories import jobs, runs, system_state, webhook_endpoints
from storage.tables.runs import RUNS
from storage.transitions import endings


@dataclass(frozen=True, slots=True)
class Restored:
    """How many submissions are newly marked, by state; `one_call` counts those whose one call may have been made.

    `last_number` is the last ledger number that is valid. `is_new` is False where nothing was left to do: the copy
    was marked before, and no worker has used it since.
    """

    at: datetime
    last_number: int
    accepted: int = 0
    queued: int = 0
    one_call: int = 0
    awaits_secret: bool = False
    is_new: bool = True


def mark_restored(connection: Connection, now: datetime) -> Restored:
    """Make this copy the original store before a worker starts on it. No process may be using it."""
    marked, last = _mark(connection, now), entries.last_number(connection)
    since = _marked_before(connection)
    if since is not None and not marked:
        return Restored(since, last, is_new=False)
    result = Restored(
        now,
        last,
        accepted=sum(run.status == states.ACCEPTED for run in marked),
        queued=sum(run.status == states.QUEUED for run in marked),
        one_call=sum(run.instructions is not None and run.upstream_id is None for run in marked),
        awaits_secret=webhook_endpoints.mark_all_awaiting(connection, now),
    )
    jobs.release_all(connection)
    starts = [jobs.JobRequest(states.Kind.START, run.id, now, states.Source.REQUEST) for run in marked]
    jobs.enqueue(connection, starts)
    system_state.mark_restored(connection, now)
    facts = {"accepted": result.accepted, "queued": result.queued, "lastNumber": last}
    entries.append(connection, [entries.Entry(entries.Kind.STORE_RESTORED, now, None, "operator", facts)])
    return result


def _marked_before(connection: Connection) -> datetime | None:
    """Return when this copy was marked as restored; None where it was not, or a worker has used it since."""
    found, worker_seen_at = system_state.copy_status(connection), system_state.read(connection).worker_seen_at
    if found.restored_at is None or found.copied_at is not None or found.moved_to is not None:
        return None
    is_fresh = worker_seen_at is None or worker_seen_at < found.restored_at
    return found.restored_at if is_fresh else None


def _mark(connection: Connection, now: datetime) -> Sequence[Row[Any]]:
    """Mark the submissions that are not started. The one call of a run may have been made."""
    unstarted = RUNS.c.status.in_((states.ACCEPTED.value, states.QUEUED.value))
    is_ours = and_(RUNS.c.origin == states.Origin.SUBMITTED.value, RUNS.c.restored_at.is_(None))
    may_be_called = and_(RUNS.c.instructions.is_not(None), RUNS.c.upstream_id.is_(None))
    lost_create_since = case((may_be_called, instant(now)), else_=RUNS.c.lost_create_since)
    marked = update(RUNS).where(unstarted, is_ours).values(restored_at=now, lost_create_since=lost_create_since)
    # RETURNING has the columns and not the condition: in it SQLite 3.40 evaluates `upstream_id IS NULL` as false.
    instructions = func.substr(RUNS.c.instructions, 1, 0).label("instructions")
    return connection.execute(marked.returning(RUNS.c.id, RUNS.c.status, RUNS.c.upstream_id, instructions)).all()


def cancel_not_found(connection: Connection, claim: jobs.Claim, now: datetime) -> None:
    """End a cancelled run here that was looked for upstream and not found."""
    jobs.require_lease(connection, claim)
    end = endings.End(states.CANCELLED, now, states.Source.REQUEST, "worker")
    run = runs.lock(connection, claim.run_id)
    if endings.end_before_create(connection, run, end):
        endings.finish(connection, run, end)
    jobs.complete(connection, claim)
