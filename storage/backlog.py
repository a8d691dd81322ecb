"""What there is to do: when the next job is due, how many wait, fail, or are set aside."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, and_, func, select

from storage import jobs, states
from storage.tables import JOBS


def next_due(connection: Connection, now: datetime, lane: Sequence[int] = states.EVERY_LANE) -> datetime | None:
    """When the next job of these priorities that nobody holds is due; None where there is none."""
    waiting = (
        select(JOBS.c.due_at).where(jobs.free(now), JOBS.c.dead_at.is_(None)).order_by(JOBS.c.due_at).limit(1)
    )
    looks = [waiting.where(JOBS.c.priority == priority).scalar_subquery() for priority in lane]
    return min((due_at for due_at in connection.execute(select(*looks)).one() if due_at is not None), default=None)


def due_counts(connection: Connection, now: datetime) -> tuple[dict[str, int], datetime | None]:
    """How many jobs of each kind wait for a worker although they are due, and since when the first of them is."""
    waiting = (JOBS.c.due_at <= now, jobs.free(now), JOBS.c.dead_at.is_(None))
    counted = select(JOBS.c.kind, func.count(), func.min(JOBS.c.due_at)).where(*waiting)
    rows = connection.execute(counted.group_by(JOBS.c.kind)).all()
    oldest = min((since for _, _, since in rows), default=None)
    return {kind: count for kind, count, _ in rows}, oldest


def open_count(connection: Connection, kind: states.Kind) -> int:
    """Return how many jobs of a kind are still to be done, due or not; without those that are set aside."""
    still = (JOBS.c.kind == kind.value, JOBS.c.dead_at.is_(None))
    return connection.execute(select(func.count()).where(*still)).scalar_one()


def failing(connection: Connection) -> int:
    """How many jobs failed when they were last tried, and come due again."""
    tried_on = and_(JOBS.c.last_error.is_not(None), JOBS.c.dead_at.is_(None))
    return connection.execute(select(func.count()).where(tried_on)).scalar_one()


def dead(connection: Connection) -> dict[states.Kind, int]:
    """How many jobs of each kind are set aside until somebody has them tried again."""
    counted = select(JOBS.c.kind, func.count()).where(JOBS.c.dead_at.is_not(None)).group_by(JOBS.c.kind)
    return {states.read(states.Kind, kind): count for kind, count in connection.execute(counted)}
