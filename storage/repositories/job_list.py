"""Statements that list jobs with their states for an operator."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, select

from storage import cursors, states
from storage.tables.jobs import JOBS


@dataclass(frozen=True, slots=True)
class Job:
    """A row of `jobs` with its state. `run_id` is empty for deployment-wide work."""

    seq: int
    id: str
    kind: states.Kind
    run_id: str
    state: states.JobState
    created_at: datetime
    due_at: datetime
    requested: int
    trigger: states.Source | None
    lease_owner: str | None
    lease_until: datetime | None
    attempts: int
    refusals: int
    last_error: str | None
    last_error_at: datetime | None
    dead_at: datetime | None


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of a page of jobs, newest first."""

    kind: states.Kind | None = None
    run_id: str | None = None
    state: states.JobState | None = None
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The jobs of one kind and state; `due_at` is when the first of them comes due."""

    kind: states.Kind
    state: states.JobState
    count: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Leases:
    """The jobs that one worker has leased, until the last of its leases ends."""

    owner: str
    count: int
    until: datetime


def groups(connection: Connection, now: datetime) -> list[Group]:
    """Return how many jobs of each kind are in each state."""
    state = _state(now).label("state")
    counted = select(JOBS.c.kind, state, func.count(), func.min(JOBS.c.due_at)).group_by(JOBS.c.kind, state)
    return [
        Group(states.read(states.Kind, kind), states.JobState(state), count, due_at)
        for kind, state, count, due_at in connection.execute(counted.order_by(JOBS.c.kind))
    ]


def leases(connection: Connection, now: datetime, most: int = 50) -> list[Leases]:
    """Return the workers that have leased jobs, those with the most jobs first."""
    counted = select(JOBS.c.lease_owner, func.count(), func.max(JOBS.c.lease_until))
    held = counted.where(JOBS.c.lease_until > now, JOBS.c.dead_at.is_(None)).group_by(JOBS.c.lease_owner)
    busiest = held.order_by(func.count().desc(), JOBS.c.lease_owner).limit(most)
    return [Leases(owner or "", count, until) for owner, count, until in connection.execute(busiest)]


def find(connection: Connection, job_id: str, now: datetime) -> Job | None:
    """Return the job with this id and its state at `now`."""
    found = connection.execute(_listed(now).where(JOBS.c.id == job_id)).first()
    return None if found is None else _to_listed(found)


def page(connection: Connection, query: Query, now: datetime) -> tuple[list[Job], str | None]:
    """Return a page of jobs, newest first, and the cursor of the next page."""
    criteria = ((JOBS.c.kind, query.kind), (JOBS.c.run_id, query.run_id), (_state(now), query.state))
    which = [column == value for column, value in criteria if value is not None]
    if query.cursor is not None:
        which.append(JOBS.c.seq < cursors.parse(query.cursor, "-created").seq)
    newest = _listed(now).where(*which).order_by(JOBS.c.seq.desc()).limit(query.limit + 1)
    found = [_to_listed(row) for row in connection.execute(newest)]
    if len(found) <= query.limit:
        return found, None
    return found[: query.limit], str(cursors.Cursor("-created", None, found[query.limit - 1].seq))


def _listed(now: datetime) -> Any:
    return select(*(_state(now).label("state") if each == "state" else JOBS.c[each] for each in _LISTED))


def _state(now: datetime) -> ColumnElement[str]:
    return case(
        (JOBS.c.dead_at.is_not(None), states.JobState.DEAD.value),
        (JOBS.c.lease_until > now, states.JobState.LEASED.value),
        (JOBS.c.last_error.is_not(None), states.JobState.FAILING.value),
        (JOBS.c.due_at <= now, states.JobState.DUE.value),
        else_=states.JobState.WAITING.value,
    )


def _to_listed(row: Any) -> Job:
    listed = Job(*row)
    trigger = None if listed.trigger is None else states.read(states.Source, listed.trigger)
    return replace(
        listed, kind=states.read(states.Kind, listed.kind), state=states.JobState(listed.state), trigger=trigger
    )


_LISTED = tuple(each.name for each in fields(Job))
