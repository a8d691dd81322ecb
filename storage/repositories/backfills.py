"""Statements about backfills: the progress of a walk through the upstream's list, and what became of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, exists, func, select, update

from storage import states
from storage.engine import dialect
from storage.tables import declare
from storage.tables.jobs import BACKFILLS, JOBS
from storage.tables.runs import RUNS

#: Failures of a run's own fetch after which the backfill does not wait for it.
MAX_FAILURES = 3
#: Ids that are listed by name.
MAX_NAMED_IDS = 1000


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk. `id` is derived from its parameters; `cursor` is where it continues.

    `seen` list entries matched so far, and `taken` of them were new.
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
        """Return the final states that are requested."""
        return frozenset(map(states.Status, self.status.split(","))) if self.status else states.REPORTED


@dataclass(frozen=True, slots=True)
class Remaining:
    """The runs that are still to be fetched: their number, and the upstream ids whose fetch keeps failing."""

    open: int
    failing: Sequence[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of adopted runs: how many are stored, and which the upstream lists but does not find."""

    stored: int
    gone: int
    gone_ids: Sequence[str]


def begin(connection: Connection, walk: Walk, *, restart: bool) -> Walk:
    """Return the walk to continue: an unfinished one with the same parameters, else `walk` from its beginning.

    A walk that reached its end is unfinished as long as a run is still to be fetched.
    """
    existing = find(connection, walk.id)
    if existing is not None and not restart:
        rest = remaining(connection)
        if existing.finished_at is None or rest.open > len(rest.failing):
            return existing
    row = declare.row(BACKFILLS, walk)
    fresh = dialect.insert(connection, BACKFILLS).values(row)
    connection.execute(fresh.on_conflict_do_update(index_elements=["id"], set_=row))
    return walk


def find(connection: Connection, walk_id: str) -> Walk | None:
    """Return the walk with this id."""
    row = connection.execute(select(*_WALK).where(BACKFILLS.c.id == walk_id)).first()
    return None if row is None else Walk(*row)


def save_progress(connection: Connection, walk: Walk) -> Walk:
    """Store the progress of the walk; return the walk."""
    moved = {name: getattr(walk, name) for name in ("cursor", "seen", "taken", "finished_at")}
    connection.execute(update(BACKFILLS).where(BACKFILLS.c.id == walk.id).values(moved))
    return walk


def restart(connection: Connection, walk: Walk) -> Walk:
    """Restart a walk whose cursor the upstream no longer accepts; runs that we have are skipped."""
    return save_progress(connection, replace(walk, cursor=None, seen=0))


def remaining(connection: Connection) -> Remaining:
    """Return which runs of backfills are not fetched yet."""
    waiting = and_(RUNS.c.submitted_by == states.Submitter.BACKFILL.value, RUNS.c.status == states.ACCEPTED.value)
    job = and_(JOBS.c.run_id == RUNS.c.id, JOBS.c.kind == states.Kind.ADOPT.value)
    keeps_failing = exists().where(job, JOBS.c.failures >= MAX_FAILURES)
    failing = select(RUNS.c.upstream_id).where(waiting, keeps_failing).order_by(RUNS.c.seq)
    return Remaining(_count(connection, waiting), list(connection.execute(failing).scalars()))


def outcome(connection: Connection, since: datetime) -> Outcome:
    """Return what became of the runs that backfills have adopted since that instant."""
    taken = and_(RUNS.c.submitted_by == states.Submitter.BACKFILL.value, RUNS.c.accepted_at >= since)
    reported = RUNS.c.status.in_([status.value for status in sorted(states.REPORTED)])
    refused = and_(taken, RUNS.c.status == states.REFUSED.value)
    stored, gone = _count(connection, and_(taken, reported)), _count(connection, refused)
    named = select(RUNS.c.upstream_id).where(refused).order_by(RUNS.c.seq).limit(MAX_NAMED_IDS)
    return Outcome(stored, gone, list(connection.execute(named).scalars()))


def _count(connection: Connection, which: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).where(which)).scalar_one()


_WALK = [BACKFILLS.c[each.name] for each in fields(Walk)]
