"""Statements about jobs: work that is tried until it is done.

There is one row per kind and run. A repeated request raises `requested`. Completing a job removes its row only
where `requested` still equals the claimed value, so that a callback during a settle is not lost. Each claim raises
`fence`; a worker with an older fence writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    update,
)

from storage import errors, ids, states
from storage.engine import bulk_insert, dialect, prepared
from storage.engine.column_types import instant
from storage.engine.membership import is_among
from storage.tables.jobs import JOBS

#: Characters of an error that are stored.
ERROR_LENGTH = 500
#: The time after which a row that no worker can read comes due again.
UNREADABLE_DELAY = timedelta(hours=1)
UNREADABLE = "no worker can read this row, its kind is {kind!r}: correct it, or delete it"


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A request for work on a run (`run_id` is empty for deployment-wide work).

    `urgent` makes an existing job due now as well; without it an existing back-off stays.
    """

    kind: states.Kind
    run_id: str
    at: datetime
    trigger: states.Source | None = None
    due_at: datetime | None = None
    urgent: bool = True


@dataclass(frozen=True, slots=True)
class Claim:
    """A job under our lease. `requested` is the counter's value at the claim."""

    seq: int
    id: str
    kind: states.Kind
    run_id: str
    fence: int
    requested: int
    trigger: states.Source | None
    attempts: int
    failures: int
    refusals: int
    refused_since: datetime | None


class Claims(list[Claim]):
    """Jobs under our lease, the most urgent first; `unreadable` are the ids of rows that could not be read."""

    unreadable: tuple[str, ...] = ()


def enqueue(connection: Connection, requests: Sequence[JobRequest]) -> None:
    """Insert jobs, or raise `requested` of those that exist."""
    in_order = sorted(requests, key=lambda each: (each.kind, each.run_id))  # the order of all locks
    for urgent in (True, False):
        rows = _merged(_row(each) for each in in_order if each.urgent is urgent)
        if rows:
            bulk_insert.insert(connection, JOBS, rows, _REQUEST_AGAIN + (_URGENT if urgent else _NOT_URGENT))
            dialect.notify_on_commit(connection)


def insert(connection: Connection, requests: Sequence[JobRequest]) -> None:
    """Insert the first jobs of runs that have just been inserted."""
    if requests:
        bulk_insert.insert(connection, JOBS, [_row(each) for each in requests])
        dialect.notify_on_commit(connection)


def _row(each: JobRequest) -> dict[str, Any]:
    return {
        "id": ids.new(each.at),
        "kind": each.kind.value,
        "run_id": each.run_id,
        "priority": states.PRIORITY[each.kind],
        "created_at": each.at,
        "due_at": each.due_at or each.at,
        "trigger": None if each.trigger is None else each.trigger.value,
    }


def _merged(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each job: a statement cannot change a row twice."""
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        first = merged.setdefault((row["kind"], row["run_id"]), row)
        first["due_at"] = min(first["due_at"], row["due_at"])
        first["trigger"] = first["trigger"] or row["trigger"]
    return list(merged.values())


def is_unleased(now: datetime | BindParameter[Any]) -> ColumnElement[bool]:
    """Return the condition that no worker holds a job at `now`."""
    return or_(JOBS.c.lease_until.is_(None), JOBS.c.lease_until <= now)


def claim(
    connection: Connection,
    *,
    now: datetime,
    until: datetime,
    owner: str,
    limit: int,
    lane: Sequence[int] = states.EVERY_LANE,
) -> Claims:
    """Lease up to `limit` due jobs of these priorities until `until`, the most urgent first.

    A row that cannot be read, because another program wrote it, comes due again later; its error is the reason.
    """
    claimed = Claims()
    # One query per priority, each along the index: a single one would read all jobs that are not due yet.
    for priority in lane:
        if len(claimed) < limit:
            values = {"of": priority, "now": now, "until": until, "claimer": owner, "most": limit - len(claimed)}
            found = _claim_due(connection, values)
            claimed += found
            claimed.unreadable += found.unreadable
    return claimed


def _claim_due(connection: Connection, values: dict[str, Any]) -> Claims:
    # RETURNING has no order.
    leased = sorted(connection.execute(_CLAIM, values).all(), key=lambda row: (row.due_at, row.seq))
    claims = Claims(_claim(row) for row in leased if _is_readable(row))
    unreadable = [row for row in leased if not _is_readable(row)]
    for row in unreadable:
        _postpone_unreadable(connection, row, values["now"])
    claims.unreadable = tuple(str(row.id) for row in unreadable)
    return claims


def _is_readable(row: Any) -> bool:
    """Return whether a worker can read the row. An embedded database stores values of any type."""
    return row.kind in _KINDS and all(isinstance(row._mapping[name], int) for name in _COUNTERS)


def _postpone_unreadable(connection: Connection, row: Any, now: datetime) -> None:
    """Free a leased row that cannot be read, to come due again later; its counters become numbers."""
    error = UNREADABLE.format(kind=str(row.kind)[:100])
    numbers = {name: JOBS.c[name] + 0 for name in _COUNTERS}
    freed = {**_NO_LEASE, "due_at": now + UNREADABLE_DELAY, **_error(error, now), **numbers}
    which = and_(JOBS.c.seq == row.seq, JOBS.c.fence == row.fence)
    connection.execute(update(JOBS).where(which).values(freed))


def _claim(row: Any) -> Claim:
    trigger = states.Source(row.trigger) if row.trigger in _TRIGGERS else None
    return replace(Claim(*row[: len(_CLAIMED)]), kind=states.Kind(row.kind), trigger=trigger)


def lock_of_runs(connection: Connection, run_ids: Sequence[str]) -> None:
    """Lock all jobs of some runs until the transaction ends, in the order of all locks."""
    if not dialect.is_embedded(connection):
        connection.execute(_LOCK_OF_RUNS, {"ids": list(run_ids)})


def renew(connection: Connection, claims: Sequence[Claim], until: datetime) -> None:
    """Extend the leases that are still ours.

    A job whose row is locked is passed over: the transaction that stores its result may take seconds, and nobody
    claims a locked row.
    """
    if claims:
        is_ours = or_(*(_is_ours(each) for each in claims))
        free = select(JOBS.c.seq.label("seq")).where(is_ours).with_for_update(skip_locked=True).cte("free")
        connection.execute(update(JOBS).where(JOBS.c.seq.in_(select(free.c.seq))).values(lease_until=until))


def clamp_to_clock(connection: Connection, now: datetime, until: datetime) -> None:
    """Adapt jobs to a clock that went back: nothing waits beyond `now`, no lease lasts beyond `until`."""
    for name, at in {"due_at": now, "lease_until": until, "refused_since": now}.items():
        connection.execute(update(JOBS).where(JOBS.c[name] > at).values({name: at}))


def release_all(connection: Connection) -> int:
    """Free every lease: for an embedded server at its start, when no other process can hold one."""
    freed = update(JOBS).where(JOBS.c.lease_until.is_not(None)).values(_NO_LEASE)
    return connection.execute(freed).rowcount


def _is_ours(claim: Claim) -> ColumnElement[bool]:
    # Not by `seq`: SQLite gives the seq of a removed row to the next one.
    return and_(JOBS.c.id == claim.id, JOBS.c.fence == claim.fence, JOBS.c.lease_until.is_not(None))


def has_lease(connection: Connection, claim: Claim) -> bool:
    """Return whether the lease is still ours; the row stays locked until the transaction ends."""
    return _LEASED.first(connection, {"of_job": claim.id, "of_fence": claim.fence}) is not None


def require_lease(connection: Connection, claim: Claim) -> None:
    """Raise LeaseLost unless the lease is still ours."""
    if not has_lease(connection, claim):
        raise _lease_lost(claim)


def complete(connection: Connection, claim: Claim) -> None:
    """Remove the job, or free it where another request came during the work. Raise LeaseLost."""
    claimed = {"of_job": claim.id, "of_fence": claim.fence, "at_claim": claim.requested}
    if _COMPLETE.run(connection, claimed) == 0:
        _free_lease(connection, claim, {"attempts": 0, "trigger": JOBS.c.pending_trigger, **_NO_ERROR})


def reschedule(connection: Connection, claim: Claim, due_at: datetime, *, alive: bool = False) -> None:
    """Free the job to come due at `due_at`, or at once where a request came during the work. Raise LeaseLost.

    With `alive` the upstream showed the run alive, which answers every trigger until now.
    """
    trigger = JOBS.c.pending_trigger if alive else func.coalesce(JOBS.c.trigger, JOBS.c.pending_trigger)
    _free_lease(connection, claim, {"due_at": _unless_requested(claim, due_at), "trigger": trigger, **_NO_ERROR})


def fail(
    connection: Connection,
    claim: Claim,
    due_at: datetime,
    *,
    error: str,
    now: datetime,
    refused: bool = False,
    counted: bool = True,
) -> None:
    """Free the job after a failure to come due at `due_at`. Raise LeaseLost.

    `refused` counts a refusal of exactly this job by the upstream; `counted=False` keeps the back-off as it is.
    """
    changes: dict[str, Any] = {
        "due_at": _unless_requested(claim, due_at),
        "trigger": func.coalesce(JOBS.c.trigger, JOBS.c.pending_trigger),
        **_error(error, now),
    }
    if refused:
        changes["refusals"] = JOBS.c.refusals + 1
        changes["refused_since"] = func.coalesce(JOBS.c.refused_since, instant(now))
    if counted:
        changes["failures"] = JOBS.c.failures + 1
    _free_lease(connection, claim, changes)


def bury(connection: Connection, claim: Claim, *, error: str, now: datetime) -> None:
    """Mark the job dead until `retry`, except where a request came during the work. Raise LeaseLost."""
    dead_at = case((JOBS.c.requested == claim.requested, instant(now)), else_=None)
    _free_lease(connection, claim, {"dead_at": dead_at, "failures": JOBS.c.failures + 1, **_error(error, now)})


def _error(error: str, now: datetime) -> dict[str, Any]:
    # Neither half of a surrogate pair nor NUL can be stored.
    text = error[:ERROR_LENGTH].encode("utf-8", "replace").decode().replace("\x00", "?")
    return {"last_error": text, "last_error_at": now}


def _unless_requested(claim: Claim, due_at: datetime) -> ColumnElement[datetime]:
    return case((JOBS.c.requested == claim.requested, instant(due_at)), else_=JOBS.c.due_at)


def _free_lease(connection: Connection, claim: Claim, changes: dict[str, Any]) -> None:
    freed = {**_NO_LEASE, "pending_trigger": None, **changes}
    if connection.execute(update(JOBS).where(_is_ours(claim)).values(freed)).rowcount == 0:
        raise _lease_lost(claim)


def _lease_lost(claim: Claim) -> errors.LeaseLost:
    return errors.LeaseLost(f"{claim.kind} of run {claim.run_id or '-'} was claimed by another worker")


def withdraw(connection: Connection, kind: states.Kind, run_id: str) -> None:
    """Delete a job that is not needed any more. A worker that holds its lease writes nothing from then on."""
    connection.execute(delete(JOBS).where(JOBS.c.kind == kind.value, JOBS.c.run_id == run_id))


def release(connection: Connection, claims: Sequence[Claim], now: datetime) -> None:
    """Free the leases that are still ours, due now: for a worker that stops before it is done."""
    for each in claims:
        connection.execute(update(JOBS).where(_is_ours(each)).values({**_NO_LEASE, "due_at": now}))


def retry(connection: Connection, job_ids: Sequence[str], now: datetime) -> list[tuple[states.Kind, str]]:
    """Make these jobs due now and reset their back-off; return kind and run of each that exists."""
    counted = dict.fromkeys(("attempts", "failures", "refusals"), 0)
    # One request more, or the back-off of a job that is leased now would win.
    reset = {"due_at": now, "requested": JOBS.c.requested + 1, "dead_at": None, "refused_since": None, **counted}
    which = update(JOBS).where(JOBS.c.id.in_(job_ids)).values(reset).returning(JOBS.c.kind, JOBS.c.run_id)
    return [(states.read(states.Kind, kind), run_id) for kind, run_id in connection.execute(which)]


#: The ends of an INSERT: a job that exists is requested again. One that is leased keeps the trigger of its lease.
_REQUEST_AGAIN = """
ON CONFLICT (kind, run_id) DO UPDATE SET
  "trigger" = CASE WHEN jobs.lease_until IS NULL THEN coalesce(jobs."trigger", excluded."trigger")
    ELSE jobs."trigger" END,
  pending_trigger = CASE WHEN jobs.lease_until IS NULL THEN jobs.pending_trigger
    ELSE coalesce(jobs.pending_trigger, excluded."trigger") END,
"""
#: The run changed, so the intervals between tries start short again.
_URGENT = """
  requested = jobs.requested + 1, attempts = 0,
  due_at = CASE WHEN excluded.due_at < jobs.due_at THEN excluded.due_at ELSE jobs.due_at END
"""
#: A leased job fetches the run anyway, so its back-off is not undone.
_NOT_URGENT = "requested = jobs.requested + CASE WHEN jobs.lease_until IS NULL THEN 1 ELSE 0 END"
_NO_LEASE = {"lease_until": None, "lease_owner": None}
_NO_ERROR = {"failures": 0, "last_error": None, "last_error_at": None, "refusals": 0, "refused_since": None}
_KINDS, _TRIGGERS = frozenset(each.value for each in states.Kind), frozenset(each.value for each in states.Source)
_COUNTERS = ("fence", "requested", "attempts", "failures", "refusals")
_CLAIMED = tuple(JOBS.c[each.name] for each in fields(Claim))
_IS_LEASED = and_(
    JOBS.c.id == bindparam("of_job"), JOBS.c.fence == bindparam("of_fence"), JOBS.c.lease_until.is_not(None)
)
_LEASED = prepared.Prepared(lambda _: select(JOBS.c.seq).where(_IS_LEASED).with_for_update())
#: With the kinds, by which the index begins.
_LOCK_OF_RUNS = (
    select(JOBS.c.seq)
    .where(JOBS.c.kind.in_([each.value for each in states.Kind]), is_among(JOBS.c.run_id, "ids"))
    .order_by(JOBS.c.kind, JOBS.c.run_id)
    .with_for_update()
)
_COMPLETE = prepared.Change(lambda _: delete(JOBS).where(_IS_LEASED, JOBS.c.requested == bindparam("at_claim")))
#: Evaluated once: joined into the update it may be evaluated, and lock rows, repeatedly.
_DUE = (
    select(JOBS.c.seq.label("due"))
    .where(
        JOBS.c.priority == bindparam("of"),
        JOBS.c.due_at <= bindparam("now"),
        is_unleased(bindparam("now")),
        JOBS.c.dead_at.is_(None),
    )
    .order_by(JOBS.c.due_at, JOBS.c.seq)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("due")
)
_CLAIM = (
    update(JOBS)
    .where(JOBS.c.seq.in_(select(_DUE.c.due)))
    .values(
        lease_owner=bindparam("claimer"),
        lease_until=bindparam("until"),
        fence=JOBS.c.fence + 1,
        attempts=JOBS.c.attempts + 1,
        trigger=func.coalesce(JOBS.c.trigger, JOBS.c.pending_trigger),
        pending_trigger=None,
    )
    .returning(*_CLAIMED, JOBS.c.due_at)
)
