"""Statements about jobs: wishes that are carried out until they are done.

One row per kind and run. A repeated wish raises `wanted`; finishing removes the row only where `wanted` still
equals the value that was claimed, so a callback that comes while a settle is running is not swallowed. Each
claim raises `fence`; who holds an older one writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, literal, or_, select, update

from storage import cursors, dialect, errors, ids, states
from storage.columns import instant
from storage.tables import JOBS

#: Characters of an error that are kept.
ERROR_LENGTH = 500
#: How long a row is left alone that cannot be carried out as it stands.
LEFT_ALONE = timedelta(hours=1)
UNREADABLE = "nobody can carry out this row as it stands, its kind is {kind!r}: correct it, or remove it"


@dataclass(frozen=True, slots=True)
class Wish:
    """That something be done for a run (`run_id` is empty for house-wide work).

    `hurry` makes an existing job due now as well; without it an existing back-off stays as it is.
    """

    kind: states.Kind
    run_id: str
    at: datetime
    road: states.Road | None = None
    due_at: datetime | None = None
    hurry: bool = True


@dataclass(frozen=True, slots=True)
class Claim:
    """A job under our lease. `wanted` is what was wished when it was claimed."""

    seq: int
    id: str
    kind: states.Kind
    run_id: str
    fence: int
    wanted: int
    road: states.Road | None
    attempts: int
    failures: int
    refusals: int
    refused_since: datetime | None


class Claims(list[Claim]):
    """Jobs under our lease, the most pressing first; `unread` names those that could not be read, by their ids."""

    unread: tuple[str, ...] = ()


class State(StrEnum):
    """How a job stands at a moment; the first that holds, from the bottom up."""

    WAITING = "waiting"
    DUE = "due"
    FAILING = "failing"
    LEASED = "leased"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of `jobs` as it stands. `run_id` is empty for house-wide work."""

    seq: int
    id: str
    kind: states.Kind
    run_id: str
    state: State
    created_at: datetime
    due_at: datetime
    wanted: int
    road: states.Road | None
    lease_owner: str | None
    lease_until: datetime | None
    attempts: int
    refusals: int
    last_error: str | None
    last_error_at: datetime | None
    dead_at: datetime | None


@dataclass(frozen=True, slots=True)
class Query:
    """A page of jobs, newest first."""

    kind: states.Kind | None = None
    run_id: str | None = None
    state: State | None = None
    limit: int = 50
    cursor: str | None = None


def wish(connection: Connection, wishes: Sequence[Wish]) -> None:
    """Inserts jobs, or raises `wanted` of those that are there."""
    in_order = sorted(wishes, key=lambda each: (each.kind, each.run_id))  # of their locks
    for hurry in (True, False):
        rows = [_row(each) for each in in_order if each.hurry is hurry]
        if rows:
            connection.execute(_upsert(connection, hurry), rows)
            dialect.tell(connection)


def _row(each: Wish) -> dict[str, Any]:
    return {
        "id": ids.new(each.at),
        "kind": each.kind.value,
        "run_id": each.run_id,
        "priority": states.PRIORITY[each.kind],
        "created_at": each.at,
        "due_at": each.due_at or each.at,
        "road": each.road,
    }


def _upsert(connection: Connection, hurry: bool) -> Any:
    statement = dialect.insert(connection, JOBS)
    new, leased = statement.excluded, JOBS.c.lease_until.is_not(None)
    changes = {
        # What a leased job is about to find out anyway must not undo its back-off, were it to fail.
        "wanted": JOBS.c.wanted + 1 if hurry else case((leased, JOBS.c.wanted), else_=JOBS.c.wanted + 1),
        "road": case((leased, JOBS.c.road), else_=func.coalesce(JOBS.c.road, new.road)),
        "late_road": case((leased, func.coalesce(JOBS.c.late_road, new.road)), else_=JOBS.c.late_road),
    }
    if hurry:
        changes["due_at"] = case((new.due_at < JOBS.c.due_at, new.due_at), else_=JOBS.c.due_at)
        changes["attempts"] = literal(0)  # somebody has news: the looks that follow begin closely again
    return statement.on_conflict_do_update(index_elements=["kind", "run_id"], set_=changes)


def free(now: datetime) -> ColumnElement[bool]:
    """Return the condition that nobody holds a job at `now`."""
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
    """Leases up to `limit` due jobs of these priorities until `until`, the most pressing first.

    A row that cannot be read, since somebody else wrote it, comes due again later, with the reason as its error.
    """
    claimed = Claims()
    # One look per priority, each along the index: together they would walk through all that is not due yet.
    for priority in lane:
        if len(claimed) < limit:
            found = _claim_of(connection, priority, now, until, owner, limit - len(claimed))
            claimed += found
            claimed.unread += found.unread
    return claimed


def _claim_of(
    connection: Connection, priority: int, now: datetime, until: datetime, owner: str, limit: int
) -> Claims:
    due = (
        select(JOBS.c.seq.label("due"))
        .where(JOBS.c.priority == priority, JOBS.c.due_at <= now, free(now), JOBS.c.dead_at.is_(None))
        .order_by(JOBS.c.due_at, JOBS.c.seq)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")  # looked for once: joined into the update it may be looked for, and locked, again and again
    )
    statement = (
        update(JOBS)
        .where(JOBS.c.seq.in_(select(due.c.due)))
        .values(
            lease_owner=owner,
            lease_until=until,
            fence=JOBS.c.fence + 1,
            attempts=JOBS.c.attempts + 1,
            road=func.coalesce(JOBS.c.road, JOBS.c.late_road),
            late_road=None,
        )
        .returning(*_CLAIMED, JOBS.c.due_at)
    )
    # RETURNING knows no order.
    leased = sorted(connection.execute(statement).all(), key=lambda row: (row.due_at, row.seq))
    claims = Claims(_claim(row) for row in leased if _is_sound(row))
    unread = [row for row in leased if not _is_sound(row)]
    for row in unread:
        _leave_alone(connection, row, now)
    claims.unread = tuple(str(row.id) for row in unread)
    return claims


def _is_sound(row: Any) -> bool:
    """Return whether a worker can carry the row out. An embedded database keeps values of any type."""
    return row.kind in _KINDS and all(isinstance(row._mapping[name], int) for name in _COUNTERS)


def _leave_alone(connection: Connection, row: Any, now: datetime) -> None:
    """Free a row that is leased and cannot be read, to come due again later; its counters are numbers then."""
    error = UNREADABLE.format(kind=str(row.kind)[:100])
    numbers = {name: JOBS.c[name] + 0 for name in _COUNTERS}
    freed = {"lease_until": None, "lease_owner": None, "due_at": now + LEFT_ALONE, **_error(error, now), **numbers}
    which = and_(JOBS.c.seq == row.seq, JOBS.c.fence == row.fence)
    connection.execute(update(JOBS).where(which).values(freed))


def _claim(row: Any) -> Claim:
    road = states.Road(row.road) if row.road in _ROADS else None
    return replace(Claim(*row[: len(_CLAIMED)]), kind=states.Kind(row.kind), road=road)


def renew(connection: Connection, claims: Sequence[Claim], until: datetime) -> None:
    """Prolongs the leases that are still ours."""
    if claims:
        held = or_(*(_ours(each) for each in claims))
        connection.execute(update(JOBS).where(held).values(lease_until=until))


def set_back(connection: Connection, now: datetime, until: datetime) -> None:
    """What waits is due now, no lease ends after `until`, and nothing was refused after `now`."""
    for name, at in {"due_at": now, "lease_until": until, "refused_since": now}.items():
        connection.execute(update(JOBS).where(JOBS.c[name] > at).values({name: at}))


def free_all(connection: Connection) -> int:
    """Frees every lease: for an embedded server at its start, when nobody else can hold one."""
    freed = update(JOBS).where(JOBS.c.lease_until.is_not(None)).values(lease_until=None, lease_owner=None)
    return connection.execute(freed).rowcount


def _ours(claim: Claim) -> ColumnElement[bool]:
    # Not by `seq`: SQLite gives that of a removed row to the next one.
    return and_(JOBS.c.id == claim.id, JOBS.c.fence == claim.fence, JOBS.c.lease_until.is_not(None))


def is_held(connection: Connection, claim: Claim) -> bool:
    """Whether the lease is still ours; the row stays locked until the transaction ends."""
    return connection.execute(select(JOBS.c.seq).where(_ours(claim)).with_for_update()).first() is not None


def hold(connection: Connection, claim: Claim) -> None:
    """Raises Fenced unless the lease is still ours."""
    if not is_held(connection, claim):
        raise errors.Fenced(f"{claim.kind} of run {claim.run_id or '-'} was claimed by another worker")


def done(connection: Connection, claim: Claim) -> None:
    """Removes the job, or frees it for the wish that came meanwhile. Raises Fenced."""
    if connection.execute(delete(JOBS).where(_ours(claim), JOBS.c.wanted == claim.wanted)).rowcount == 0:
        _release(connection, claim, {"attempts": 0, "road": JOBS.c.late_road, **_NO_ERROR})


def again(connection: Connection, claim: Claim, due_at: datetime, *, alive: bool = False) -> None:
    """Frees the job to come due at `due_at`, or at once where a request came meanwhile. Raises Fenced.

    `alive`: the upstream showed the run alive, which answers all sources until now.
    """
    road = JOBS.c.late_road if alive else func.coalesce(JOBS.c.road, JOBS.c.late_road)
    _release(connection, claim, {"due_at": _unless_wished(claim, due_at), "road": road, **_NO_ERROR})


def failed(
    connection: Connection,
    claim: Claim,
    due_at: datetime,
    *,
    error: str,
    now: datetime,
    refused: bool = False,
    counted: bool = True,
) -> None:
    """Frees the job after a failure to come due at `due_at`. Raises Fenced.

    `refused` counts a no of the upstream to just this job; `counted=False` lets the back-off stay where it is.
    """
    changes: dict[str, Any] = {
        "due_at": _unless_wished(claim, due_at),
        "road": func.coalesce(JOBS.c.road, JOBS.c.late_road),
        **_error(error, now),
    }
    if refused:
        changes["refusals"] = JOBS.c.refusals + 1
        changes["refused_since"] = func.coalesce(JOBS.c.refused_since, instant(now))
    if counted:
        changes["failures"] = JOBS.c.failures + 1
    _release(connection, claim, changes)


def die(connection: Connection, claim: Claim, *, error: str, now: datetime) -> None:
    """Sets the job aside: nobody tries it again until `retry`. Not where that came meanwhile. Raises Fenced."""
    dead_at = case((JOBS.c.wanted == claim.wanted, instant(now)), else_=None)
    _release(connection, claim, {"dead_at": dead_at, "failures": JOBS.c.failures + 1, **_error(error, now)})


def _error(error: str, now: datetime) -> dict[str, Any]:
    # Neither half a surrogate pair nor NUL can be stored.
    text = error[:ERROR_LENGTH].encode("utf-8", "replace").decode().replace("\x00", "?")
    return {"last_error": text, "last_error_at": now}


def _unless_wished(claim: Claim, due_at: datetime) -> Any:
    return case((JOBS.c.wanted == claim.wanted, instant(due_at)), else_=JOBS.c.due_at)


def _release(connection: Connection, claim: Claim, changes: dict[str, Any]) -> None:
    freed = {"lease_until": None, "lease_owner": None, "late_road": None, **changes}
    if connection.execute(update(JOBS).where(_ours(claim)).values(freed)).rowcount == 0:
        raise errors.Fenced(f"{claim.kind} of run {claim.run_id or '-'} was claimed by another worker")


def withdraw(connection: Connection, kind: states.Kind, run_id: str) -> None:
    """Nobody wants this done any more. Who holds its lease writes nothing from here on."""
    connection.execute(delete(JOBS).where(JOBS.c.kind == kind.value, JOBS.c.run_id == run_id))


def give_back(connection: Connection, claims: Sequence[Claim], now: datetime) -> None:
    """Frees what is still ours to be due now: for a worker that stops before it is done."""
    freed = {"lease_until": None, "lease_owner": None, "due_at": now}
    for each in claims:
        connection.execute(update(JOBS).where(_ours(each)).values(freed))


def retry(connection: Connection, job_ids: Sequence[str], now: datetime) -> list[tuple[states.Kind, str]]:
    """Makes these jobs due now and forgets their back-off; the kind and the run of each that is there."""
    counted = dict.fromkeys(("attempts", "failures", "refusals"), 0)
    # One request more, or the back-off of one leased just now would win.
    again = {"due_at": now, "wanted": JOBS.c.wanted + 1, "dead_at": None, "refused_since": None, **counted}
    which = update(JOBS).where(JOBS.c.id.in_(job_ids)).values(again).returning(JOBS.c.kind, JOBS.c.run_id)
    return [(states.read(states.Kind, kind), run_id) for kind, run_id in connection.execute(which)]


def find(connection: Connection, job_id: str, now: datetime) -> Listed | None:
    """The job of that id, as it stands at `now`."""
    found = connection.execute(_listed(now).where(JOBS.c.id == job_id)).first()
    return None if found is None else _made(found)


def page(connection: Connection, query: Query, now: datetime) -> tuple[list[Listed], str | None]:
    """A page of jobs, newest first, and the cursor of the next one."""
    asked = ((JOBS.c.kind, query.kind), (JOBS.c.run_id, query.run_id), (_state(now), query.state))
    which = [column == value for column, value in asked if value is not None]
    if query.cursor is not None:
        which.append(JOBS.c.seq < cursors.parse(query.cursor, "-created").seq)
    newest = _listed(now).where(*which).order_by(JOBS.c.seq.desc()).limit(query.limit + 1)
    found = [_made(row) for row in connection.execute(newest)]
    if len(found) <= query.limit:
        return found, None
    return found[: query.limit], str(cursors.Cursor("-created", None, found[query.limit - 1].seq))


def _listed(now: datetime) -> Any:
    return select(*(_state(now).label("state") if each == "state" else JOBS.c[each] for each in _LISTED))


def _state(now: datetime) -> ColumnElement[str]:
    return case(
        (JOBS.c.dead_at.is_not(None), State.DEAD.value),
        (JOBS.c.lease_until > now, State.LEASED.value),
        (JOBS.c.last_error.is_not(None), State.FAILING.value),
        (JOBS.c.due_at <= now, State.DUE.value),
        else_=State.WAITING.value,
    )


def _made(row: Any) -> Listed:
    made = Listed(*row)
    road = None if made.road is None else states.read(states.Road, made.road)
    return replace(made, kind=states.read(states.Kind, made.kind), state=State(made.state), road=road)


_LISTED = tuple(each.name for each in fields(Listed))
_NO_ERROR = {"failures": 0, "last_error": None, "last_error_at": None, "refusals": 0, "refused_since": None}
_KINDS, _ROADS = frozenset(each.value for each in states.Kind), frozenset(each.value for each in states.Road)
_COUNTERS = ("fence", "wanted", "attempts", "failures", "refusals")
_CLAIMED = tuple(JOBS.c[each.name] for each in fields(Claim))
