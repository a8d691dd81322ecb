"""An older copy of a store takes its place: what was executed since the copy was made is not known to it.

Whatever stands there as submitted and not started is marked. Of that the start job looks in the upstream's list
before anything is sent, and takes what it finds in whatever state; see `receiver/tasks/reclaiming.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, case, func, update

from storage import errors, house, jobs, ledger, states, webhooks
from storage.columns import instant
from storage.tables import RUNS
from storage.transitions import endings


@dataclass(frozen=True, slots=True)
class Restored:
    """How many submissions are newly marked, by where they stand; `one_call`: whose one call may have been made.

    `last_number` is the last of the ledger's numbers that means what it meant. `is_new` is False where nothing was
    left to do: it was marked before, and not worked on since.
    """

    at: datetime
    last_number: int
    accepted: int = 0
    queued: int = 0
    one_call: int = 0
    awaits_secret: bool = False
    is_new: bool = True


def restored(connection: Connection, now: datetime) -> Restored:
    """Makes this copy the store itself, before a worker is started on it. Nobody may be working on it."""
    marked, last = _mark(connection, now), ledger.last_number(connection)
    since = _marked_before(connection)
    if since is not None and not marked:
        return Restored(since, last, is_new=False)
    told = Restored(
        now,
        last,
        accepted=sum(run.status is states.ACCEPTED for run in marked),
        queued=sum(run.status is states.QUEUED for run in marked),
        one_call=sum(run.may_be_called for run in marked),
        awaits_secret=webhooks.await_all(connection, now),
    )
    jobs.free_all(connection)
    jobs.wish(connection, [jobs.Wish(states.Kind.START, run.id, now, states.Road.REQUEST) for run in marked])
    house.restored(connection, now)
    ledger.append(connection, [_entry(told)])
    return told


def _marked_before(connection: Connection) -> datetime | None:
    """When this very copy was marked as restored; None where it was not, or has been worked on since."""
    found, worker_seen_at = house.origin(connection), house.read(connection).worker_seen_at
    if found.restored_at is None or found.copied_at is not None or found.moved_to is not None:
        return None
    is_fresh = worker_seen_at is None or worker_seen_at < found.restored_at
    return found.restored_at if is_fresh else None


@dataclass(frozen=True, slots=True)
class _Run:
    id: str
    status: states.Status
    may_be_called: bool


def _mark(connection: Connection, now: datetime) -> list[_Run]:
    """What is newly marked. The one call that creates and starts a run may have been made."""
    unstarted = RUNS.c.status.in_((states.ACCEPTED.value, states.QUEUED.value))
    is_ours = and_(RUNS.c.origin == states.Origin.SUBMITTED.value, RUNS.c.restored_at.is_(None))
    may_be_called = and_(RUNS.c.instructions.is_not(None), RUNS.c.upstream_id.is_(None))
    marked = (
        update(RUNS)
        .where(unstarted, is_ours)
        .values(restored_at=now, stray_since=case((may_be_called, instant(now)), else_=RUNS.c.stray_since))
        .returning(RUNS.c.id, RUNS.c.status, RUNS.c.upstream_id, func.substr(RUNS.c.instructions, 1, 0))
    )
    rows = connection.execute(marked)
    return [
        _Run(id_, states.read(states.Status, at), told is not None and theirs is None)
        for id_, at, theirs, told in rows
    ]


def _entry(told: Restored) -> ledger.Entry:
    facts: dict[str, ledger.Fact | None] = {
        "accepted": told.accepted,
        "queued": told.queued,
        "lastNumber": told.last_number,
    }
    return ledger.Entry(ledger.Kind.STORE_RESTORED, told.at, None, "operator", facts)


def demand_own(connection: Connection) -> bool:
    """Raises Moved where another database took over; whether this is a copy that is not marked as restored yet."""
    found = house.origin(connection)
    if found.moved_to is not None:
        raise errors.Moved(
            f"this store was moved to {found.moved_to}: set RUNLEDGER_DATABASE_URL to that one. To go back to how "
            "this one stood then, run `runledger restored` on it"
        )
    return found.copied_at is not None


def give_up(connection: Connection, claim: jobs.Claim, now: datetime) -> None:
    """A run that is not wanted any more was looked for, and the upstream does not have it: it ends here."""
    jobs.hold(connection, claim)
    end = endings.End(states.CANCELLED, now, states.Road.REQUEST, "worker")
    if endings.end_unknown(connection, claim.run_id, end):
        endings.append(connection, claim.run_id, end)
    jobs.done(connection, claim)
