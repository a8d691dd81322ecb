"""Statements about backfills: how far a walk through the upstream's list has come, and what became of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, exists, func, select, update

from storage import dialect, states
from storage.tables import BACKFILLS, JOBS, RUNS

#: A run whose fetch failed so often by itself is not waited for any more.
TRIES = 3
#: Ids that are told by name.
NAMED = 1000


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk. `id` is of what was asked for, `cursor` where it goes on; `seen` lines of the list fitted so far.

    `taken` of them were new.
    """

    id: str
    agent_id: str | None
    status: str | None
    since: datetime | None
    cursor: str | None
    seen: int
    taken: int
    started_at: datetime
    finished_at: datetime | None

    @property
    def statuses(self) -> frozenset[states.Status]:
        """The ends that are asked for."""
        return frozenset(map(states.Status, self.status.split(","))) if self.status else states.REPORTED


@dataclass(frozen=True, slots=True)
class Left:
    """What is still to be fetched: all of it, and the upstream ids whose fetch keeps failing."""

    open: int
    failing: Sequence[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the runs that were taken: how many are stored, and which the upstream lists and knows not."""

    stored: int
    gone: int
    gone_ids: Sequence[str]


def begin(connection: Connection, walk: Walk, *, anew: bool) -> Walk:
    """The walk to go on with: the one for the same question if it was left, else `walk` from its beginning.

    One that came to its end was left, too, as long as there is something to fetch.
    """
    held = find(connection, walk.id)
    if held is not None and not anew and (held.finished_at is None or _is_fetching(connection)):
        return held
    row = {each.name: getattr(walk, each.name) for each in fields(walk)}
    fresh = dialect.insert(connection, BACKFILLS).values(row)
    connection.execute(fresh.on_conflict_do_update(index_elements=["id"], set_=row))
    return walk


def _is_fetching(connection: Connection) -> bool:
    rest = left(connection)
    return rest.open > len(rest.failing)


def find(connection: Connection, walk_id: str) -> Walk | None:
    """The walk of that id."""
    row = connection.execute(select(*_WALK).where(BACKFILLS.c.id == walk_id)).first()
    return None if row is None else Walk(*row)


def go_on(connection: Connection, walk: Walk) -> Walk:
    """Writes how far the walk has come; answers it."""
    moved = {name: getattr(walk, name) for name in ("cursor", "seen", "taken", "finished_at")}
    connection.execute(update(BACKFILLS).where(BACKFILLS.c.id == walk.id).values(moved))
    return walk


def from_the_top(connection: Connection, walk: Walk) -> Walk:
    """The walk without its place, which the upstream knows no longer; what is known is passed over."""
    return go_on(connection, replace(walk, cursor=None, seen=0))


def left(connection: Connection) -> Left:
    """What the backfills have taken and nobody has fetched yet."""
    waiting = and_(RUNS.c.submitted_by == states.Submitter.BACKFILL.value, RUNS.c.status == states.ACCEPTED.value)
    failed = select(RUNS.c.upstream_id).where(waiting, _keeps_failing()).order_by(RUNS.c.seq)
    return Left(_count(connection, waiting), list(connection.execute(failed).scalars()))


def _keeps_failing() -> ColumnElement[bool]:
    job = and_(JOBS.c.run_id == RUNS.c.id, JOBS.c.kind == states.Kind.ADOPT.value)
    return exists().where(job, JOBS.c.failures >= TRIES)


def outcome(connection: Connection, since: datetime) -> Outcome:
    """How the runs ended that backfills have taken since then."""
    taken = and_(RUNS.c.submitted_by == states.Submitter.BACKFILL.value, RUNS.c.accepted_at >= since)
    reported = RUNS.c.status.in_([status.value for status in sorted(states.REPORTED)])
    refused = and_(taken, RUNS.c.status == states.REFUSED.value)
    stored, gone = _count(connection, and_(taken, reported)), _count(connection, refused)
    named = select(RUNS.c.upstream_id).where(refused).order_by(RUNS.c.seq).limit(NAMED)
    return Outcome(stored, gone, list(connection.execute(named).scalars()))


def _count(connection: Connection, which: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).where(which)).scalar_one()


_WALK = [BACKFILLS.c[each.name] for each in fields(Walk)]
