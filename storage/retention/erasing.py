"""Erasure: the removal of content on request or by age. Measures and the ledger stay.

With each text and result the salt of its digest is deleted: a ledger entry then reveals nothing about the value,
and every proof over the entries stays valid. What was removed does not come back (`runs.pruned_at`).
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from storage import errors, states
from storage.engine.column_types import instant
from storage.ledger import entries as ledger_entries
from storage.query import conditions, grammar
from storage.repositories import jobs
from storage.retention import contents, holds
from storage.tables.deliveries import DELIVERIES
from storage.tables.jobs import JOBS
from storage.tables.runs import RUN_DOCUMENTS, RUN_EVENTS, RUN_STEPS, RUNS


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is to be removed of each run, why, and by whom; `actor` and `reason` stay in the ledger."""

    reason: str
    actor: str
    cause: states.ErasureCause = states.ErasureCause.REQUEST
    fields: frozenset[states.Content] = contents.USUAL


@dataclass(frozen=True, slots=True)
class Position:
    """The run behind which a batch begins."""

    settled_at: datetime
    seq: int


@dataclass(frozen=True, slots=True)
class Erased:
    """The amount that a batch removed, and where the next batch begins; None after the last."""

    runs: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    fields: frozenset[states.Content] = frozenset()
    next_position: Position | None = None

    def __add__(self, other: Erased) -> Erased:
        rows = {noun: self.rows.get(noun, 0) + count for noun, count in other.rows.items()} or self.rows
        return Erased(self.runs + other.runs, rows, self.fields | other.fields, other.next_position)


@dataclass(frozen=True, slots=True)
class Survey:
    """The amount that can be removed. `size` is in bytes, roughly.

    `busy` runs have a job, and `held` ones are under a hold: both stay.
    """

    runs: int
    busy: int
    held: int
    oldest: datetime | None
    newest: datetime | None
    rows: Mapping[str, int]
    size: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A run of which nothing can be removed now, and why."""

    run_id: str
    reason: str


def survey(
    connection: sa.Connection, expression: grammar.Expression, fields: Collection[states.Content] = contents.USUAL
) -> Survey:
    """Return what `erase` would remove now."""
    chosen, is_held = _which(connection, expression, fields), holds.covers(connection)
    which = [*chosen, ~_is_busy(), sa.not_(is_held)]
    span = (sa.func.min(RUNS.c.settled_at), sa.func.max(RUNS.c.settled_at))
    texts = [column.name for each, column in contents.TEXTS.items() if each in fields]
    summed = sa.select(sa.func.count(), *span, _size(RUNS, [*texts, "request_sha256"])).where(*which)
    count, oldest, newest, size = connection.execute(summed).one()
    busy, held = (_count(connection, [*chosen, each]) for each in (_is_busy(), is_held))
    ids = sa.select(RUNS.c.id).where(*which)
    rows: dict[str, int] = {}
    for noun, (table, names) in _WEIGHED.items():
        counted = sa.select(sa.func.count(), _size(table, names)).where(table.c.run_id.in_(ids))
        rows[noun], table_size = connection.execute(counted).one()
        size += table_size
    return Survey(count, busy, held, oldest, newest, rows, size)


def has_erasable(connection: sa.Connection, expression: grammar.Expression) -> bool:
    """Return whether `erase` would remove anything of the usual now."""
    which = [*_which(connection, expression, contents.USUAL), ~_is_busy(), sa.not_(holds.covers(connection))]
    return connection.execute(sa.select(RUNS.c.seq).where(*which).limit(1)).first() is not None


def erase(
    connection: sa.Connection,
    expression: grammar.Expression,
    erasure: Erasure,
    now: datetime,
    behind: Position | None = None,
    limit: int = 25,
) -> Erased:
    """Remove content of up to `limit` ended runs without jobs and holds, the oldest first.

    A dead job does not protect a run and is deleted as well. Each run gets a ledger entry.
    """
    holds.take_turn(connection)
    found = connection.execute(_batch(connection, expression, erasure.fields, behind, limit)).all()
    total = Erased()
    for run_id in _locked(connection, [each.id for each in found], erasure.fields):
        removed = contents.remove(connection, run_id, erasure.fields, now)
        _record(connection, run_id, erasure, removed, now)
        total += Erased(1, removed.rows, removed.fields)
    last = Position(found[-1].settled_at, found[-1].seq) if len(found) == limit else None
    return Erased(total.runs, total.rows, total.fields, last)


def erase_run(connection: sa.Connection, run_id: str, erasure: Erasure, now: datetime) -> Erased:
    """Remove content of one run. Raises NotErasable, which names the hold or the job that keeps it."""
    expression = only([run_id])
    erased = erase(connection, expression, erasure, now)
    if not erased.runs and (refused := refusals(connection, expression)):
        raise errors.NotErasable(refused[0].reason)
    return erased


def only(run_ids: Sequence[str]) -> grammar.Expression:
    """Return the expression that these runs alone match, given by our ids."""
    return grammar.Equals("id", tuple(grammar.Value(each) for each in run_ids))


def refusals(connection: sa.Connection, expression: grammar.Expression, limit: int = 20) -> list[Refusal]:
    """Return the first of the matching runs of which nothing can be removed now."""
    matching = conditions.where(connection, expression)
    kept = sa.or_(~_is_settled(), RUNS.c.lost_create_since.is_not(None), _is_busy(), holds.covers(connection))
    chosen = sa.select(RUNS.c.id, RUNS.c.seq, RUNS.c.status, RUNS.c.settled_at, RUNS.c.lost_create_since)
    rows = connection.execute(chosen.where(*matching, kept).order_by(RUNS.c.seq).limit(limit))
    return [Refusal(row.id, next(_reasons(connection, row))) for row in rows.all()]


def _reasons(connection: sa.Connection, run: Any) -> Iterator[str]:
    for hold in holds.covering(connection, run.seq):
        yield f"run {run.id} is under the hold {hold.id} ({hold.reason}), and stays whole until its release"
    if run.status not in states.TERMINAL or run.settled_at is None:
        yield f"run {run.id} is {run.status}: only what has ended can be erased; cancel it first"
    if run.lost_create_since is not None:
        yield f"run {run.id} may have a second run upstream, which its prompt finds: wait until that search ends"
    kinds = sa.select(JOBS.c.kind).where(JOBS.c.run_id == run.id, JOBS.c.dead_at.is_(None)).order_by(JOBS.c.kind)
    open_jobs = ", ".join(connection.execute(kinds).scalars())
    yield f"run {run.id} has open jobs ({open_jobs}): wait until they are done or dead, see `runledger jobs`"


def _locked(connection: sa.Connection, run_ids: Sequence[str], fields: Collection[states.Content]) -> list[str]:
    """Lock the jobs of runs and then the runs; return those that still may be erased, oldest first."""
    jobs.lock_of_runs(connection, run_ids)
    still = [RUNS.c.id.in_(run_ids), *_is_erasable(fields)]
    rows = connection.execute(sa.select(RUNS.c.id).where(*still).order_by(RUNS.c.id).with_for_update(of=RUNS))
    locked = rows.scalars().all()
    # Statements of their own: the one that waited for the locks does not see what was committed meanwhile.
    free = sa.select(RUNS.c.id).where(RUNS.c.id.in_(locked), ~_is_busy(), sa.not_(holds.covers(connection)))
    kept = {*connection.execute(free).scalars()}
    return [each for each in run_ids if each in kept]


def _record(
    connection: sa.Connection, run_id: str, erasure: Erasure, removed: contents.Removed, now: datetime
) -> None:
    facts: dict[str, ledger_entries.Fact | None] = {
        "fields": sorted(each.value for each in removed.fields),
        "reason": erasure.reason,
        "cause": erasure.cause.value,
    }
    kind = ledger_entries.Kind.CONTENT_ERASED
    ledger_entries.append(connection, [ledger_entries.Entry(kind, now, run_id, erasure.actor, facts)])


def _which(
    connection: sa.Connection, expression: grammar.Expression, fields: Collection[states.Content]
) -> list[sa.ColumnElement[bool]]:
    return [*conditions.where(connection, expression), *_is_erasable(fields)]


def _is_erasable(fields: Collection[states.Content]) -> list[sa.ColumnElement[bool]]:
    """Return the conditions: settled, something is left, and no lost create, which is found by its content."""
    return [_is_settled(), RUNS.c.lost_create_since.is_(None), contents.has_any(fields)]


def _is_settled() -> sa.ColumnElement[bool]:
    return sa.and_(RUNS.c.status.in_(sorted(states.TERMINAL)), RUNS.c.settled_at.is_not(None))


def _is_busy() -> sa.ColumnElement[bool]:
    """Return the condition that a run has a job that is not dead."""
    return sa.select(JOBS.c.seq).where(JOBS.c.run_id == RUNS.c.id, JOBS.c.dead_at.is_(None)).exists()


def _batch(
    connection: sa.Connection,
    expression: grammar.Expression,
    fields: Collection[states.Content],
    behind: Position | None,
    limit: int,
) -> sa.Select[Any]:
    chosen = sa.select(RUNS.c.id, RUNS.c.seq, RUNS.c.settled_at)
    batch = chosen.where(*_which(connection, expression, fields), ~_is_busy())
    if behind is not None:
        at, last = RUNS.c.settled_at, instant(behind.settled_at)
        batch = batch.where(sa.or_(at > last, sa.and_(at == last, RUNS.c.seq > behind.seq)))
    return batch.order_by(RUNS.c.settled_at, RUNS.c.seq).limit(limit)


def _count(connection: sa.Connection, which: Sequence[sa.ColumnElement[bool]]) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(RUNS).where(*which)).scalar_one()


#: Tables whose rows are counted, and the columns by which their size is estimated.
_WEIGHED = {
    "steps": (RUN_STEPS, ("content", "tool_input", "tool_output")),
    "documents": (RUN_DOCUMENTS, ("body",)),
    "events": (RUN_EVENTS, ("data",)),
    "deliveries": (DELIVERIES, ("body", "headers")),
}


def _size(table: sa.Table, names: Iterable[str]) -> sa.ColumnElement[int]:
    """Return the sum of the lengths of columns: bytes, or characters of a text."""
    columns = [table.c[name] for name in names]
    measured = [each if each.type.python_type is bytes else sa.cast(each, sa.Text) for each in columns]
    lengths = [sa.func.coalesce(sa.func.length(each), 0) for each in measured]
    return sa.func.coalesce(sa.func.sum(functools.reduce(operator.add, lengths)), 0)
