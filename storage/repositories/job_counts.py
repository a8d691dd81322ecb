"""Statements that count jobs: due, open, failing and dead ones, and when the next one is due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, select

from storage import states
from storage.engine import prepared
from storage.repositories import jobs
from storage.tables.jobs import JOBS


def next_due(connection: Connection, now: datetime) -> dict[int, datetime | None]:
    """Return when the next unleased job of each priority is due; None where there is none."""
    (due,) = _NEXT_DUE.all(connection, {"now": now})
    return dict(zip(states.EVERY_LANE, due, strict=True))


def earliest(due: Mapping[int, datetime | None], lane: Sequence[int] = states.EVERY_LANE) -> datetime | None:
    """Return the earliest due time of the priorities of a lane; None where there is none."""
    return min((at for priority in lane if (at := due[priority]) is not None), default=None)


def count_due(connection: Connection, now: datetime) -> tuple[dict[str, int], datetime | None]:
    """Return how many due jobs of each kind wait for a worker, and since when the first of them does."""
    waiting = (JOBS.c.due_at <= now, jobs.is_unleased(now), JOBS.c.dead_at.is_(None))
    counted = select(JOBS.c.kind, func.count(), func.min(JOBS.c.due_at)).where(*waiting)
    rows = connection.execute(counted.group_by(JOBS.c.kind)).all()
    oldest = min((since for _, _, since in rows), default=None)
    return {kind: count for kind, count, _ in rows}, oldest


def count_open(connection: Connection, kind: states.Kind) -> int:
    """Return how many jobs of a kind are still to be done, due or not, without dead ones."""
    is_open = (JOBS.c.kind == kind.value, JOBS.c.dead_at.is_(None))
    return connection.execute(select(func.count()).where(*is_open)).scalar_one()


def count_failing(connection: Connection) -> int:
    """Return how many jobs failed at their last try and come due again."""
    is_failing = and_(JOBS.c.last_error.is_not(None), JOBS.c.dead_at.is_(None))
    return connection.execute(select(func.count()).where(is_failing)).scalar_one()


def count_dead(connection: Connection) -> dict[states.Kind, int]:
    """Return how many jobs of each kind are dead until an operator retries them."""
    counted = select(JOBS.c.kind, func.count()).where(JOBS.c.dead_at.is_not(None)).group_by(JOBS.c.kind)
    return {states.read(states.Kind, kind): count for kind, count in connection.execute(counted)}


def _next_due_at(priority: int) -> Any:
    is_waiting = (JOBS.c.priority == priority, jobs.is_unleased(bindparam("now")), JOBS.c.dead_at.is_(None))
    earliest = select(JOBS.c.due_at).where(*is_waiting).order_by(JOBS.c.due_at).limit(1)
    return earliest.scalar_subquery().label(f"due_{priority}")


#: One subquery per priority, each along the index.
_NEXT_DUE = prepared.Prepared(lambda _: select(*map(_next_due_at, states.EVERY_LANE)))
