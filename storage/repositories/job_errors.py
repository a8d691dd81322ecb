"""Failing and dead jobs, grouped by their errors: errors that differ only in ids and numbers are one cause."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, case, func, or_, select

from storage import states
from storage.states import FailedJobState
from storage.tables.jobs import JOBS


@dataclass(frozen=True, slots=True)
class Query:
    """The filter of jobs: a kind, a state, and a text in the cause, regardless of case."""

    kind: states.Kind | None = None
    state: FailedJobState | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """The jobs of one kind and state with the same cause; `due_at` is when the first of them comes due."""

    kind: states.Kind
    state: FailedJobState
    cause: str
    count: int
    oldest_at: datetime
    due_at: datetime


#: Ids (a prefix, an underscore, a part with a digit), UUIDs, hexadecimal and plain numbers.
_VARIABLE = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|\b[A-Za-z]+_(?=[A-Za-z0-9]*\d)[A-Za-z0-9]+\b|\b[0-9a-f]{12,}\b|\b\d+(\.\d+)?\b",
    re.IGNORECASE,
)
_STATUS = re.compile(r"[1-5]\d\d")


def normalize(error: str) -> str:
    """Return an error as a cause: ids and numbers, which differ from job to job, become `…`; HTTP statuses stay.

    >>> normalize("run_7f3a took 12.5 s: 503 busy, ask 019a2f7c-0000-7000-8000-000000000000")
    '… took … s: 503 busy, ask …'
    """
    return _VARIABLE.sub(lambda found: found[0] if _STATUS.fullmatch(found[0]) else "…", error)


def group(connection: Connection, query: Query, now: datetime, most: int | None = None) -> list[Cause]:
    """Return the causes, those with the most jobs first; of the newest `most` jobs alone where that is given."""
    named = JOBS.c.kind, _state().label("state"), JOBS.c.last_error, JOBS.c.created_at, JOBS.c.due_at
    newest = select(*named).where(*_which(query, now))
    if most is not None:
        newest = newest.order_by(JOBS.c.seq.desc()).limit(most)
    failed = newest.subquery().c
    columns = failed.kind, failed.state, failed.last_error
    measures = func.count(), func.min(failed.created_at), func.min(failed.due_at)
    rows = connection.execute(select(*columns, *measures).group_by(*columns))
    merged: dict[tuple[str, str, str], Cause] = {}
    for kind, state, error, count, oldest_at, due_at in rows:
        cause = normalize(error)
        found = Cause(states.read(states.Kind, kind), FailedJobState(state), cause, count, oldest_at, due_at)
        other = merged.get((kind, state, cause))
        if other is not None:
            earliest = {"oldest_at": min(other.oldest_at, oldest_at), "due_at": min(other.due_at, due_at)}
            found = replace(other, count=other.count + count, **earliest)
        merged[kind, state, cause] = found
    matching_causes = [each for each in merged.values() if _matches(each.cause, query)]
    return sorted(matching_causes, key=lambda each: (-each.count, each.kind, each.state, each.cause))


def matching(connection: Connection, query: Query, now: datetime) -> list[str]:
    """Return the ids of the matching jobs, oldest first."""
    which = select(JOBS.c.id, JOBS.c.last_error).where(*_which(query, now)).order_by(JOBS.c.seq)
    return [job_id for job_id, error in connection.execute(which) if _matches(normalize(error), query)]


def _which(query: Query, now: datetime) -> Iterable[ColumnElement[bool]]:
    yield JOBS.c.last_error.is_not(None)
    yield or_(JOBS.c.lease_until.is_(None), JOBS.c.lease_until <= now)  # a leased job is being tried
    if query.kind is not None:
        yield JOBS.c.kind == query.kind.value
    if query.state is not None:
        yield _state() == query.state.value


def _matches(cause: str, query: Query) -> bool:
    return query.cause is None or query.cause.casefold() in cause.casefold()


def _state() -> ColumnElement[str]:
    return case((JOBS.c.dead_at.is_not(None), FailedJobState.DEAD.value), else_=FailedJobState.FAILING.value)
