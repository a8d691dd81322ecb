"""Removal of the content of old runs. Measures, tags and the ledger stay.

With each text and result the salt of its digest is deleted: a ledger entry then reveals nothing about the value,
and every proof over the entries stays valid.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from storage import states
from storage.engine.column_types import instant
from storage.ledger import entries as ledger_entries
from storage.query import conditions, grammar
from storage.repositories import deliveries, documents, runs
from storage.retention import holds
from storage.search import index
from storage.tables.deliveries import DELIVERIES
from storage.tables.integrations import NOTIFICATIONS
from storage.tables.jobs import JOBS
from storage.tables.ledger import LEDGER_ENTRIES
from storage.tables.runs import RUN_DOCUMENTS, RUN_EVENTS, RUN_STEPS, RUN_USAGE, RUNS

#: Columns with content, and the unsalted digest of it, against which a guess could be checked.
CONTENT = (
    *("prompt", "guidance", "instructions", "object_ids", "output", "summary", "failure_reason"),
    "request_sha256",
)
#: Digests whose values stay, and with them the salts.
KEPT_SALTS = ("tags", "comment")
_ROWS = {"steps": RUN_STEPS, "documents": RUN_DOCUMENTS, "events": RUN_EVENTS}


@dataclass(frozen=True, slots=True)
class PrunePosition:
    """The run behind which a batch begins."""

    settled_at: datetime
    seq: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """The amount that a batch removed, and where the next batch begins; None after the last."""

    runs: int
    rows: Mapping[str, int] = field(default_factory=dict)
    next_position: PrunePosition | None = None


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


def survey(connection: sa.Connection, expression: grammar.Expression) -> Survey:
    """Return what `prune` would remove now."""
    chosen, is_held = _which(connection, expression), holds.covers(connection)
    which = [*chosen, ~_is_busy(), sa.not_(is_held)]
    span = (sa.func.min(RUNS.c.settled_at), sa.func.max(RUNS.c.settled_at))
    summed = sa.select(sa.func.count(), *span, _size(RUNS, CONTENT)).where(*which)
    count, oldest, newest, size = connection.execute(summed).one()
    busy, held = (_count(connection, [*chosen, each]) for each in (_is_busy(), is_held))
    ids = sa.select(RUNS.c.id).where(*which)
    rows: dict[str, int] = {}
    for noun, (table, names) in _WEIGHED.items():
        counted = sa.select(sa.func.count(), _size(table, names)).where(table.c.run_id.in_(ids))
        rows[noun], table_size = connection.execute(counted).one()
        size += table_size
    return Survey(count, busy, held, oldest, newest, rows, size)


def _count(connection: sa.Connection, which: Sequence[sa.ColumnElement[bool]]) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(RUNS).where(*which)).scalar_one()


def prune(
    connection: sa.Connection,
    expression: grammar.Expression,
    now: datetime,
    behind: PrunePosition | None = None,
    limit: int = 25,
) -> Pruned:
    """Remove the content of up to `limit` ended runs without jobs and holds, the oldest first.

    A dead job does not protect a run and is deleted as well. Each run gets a ledger entry.
    """
    holds.take_turn(connection)
    found = connection.execute(_batch(connection, expression, behind, limit)).all()
    rows: dict[str, int] = {}
    idle = _idle(connection, [run.id for run in found]) - _held(connection, [run.id for run in found])
    for run in (each for each in found if each.id in idle):
        removed = _erase(connection, run, now)
        rows = {noun: rows.get(noun, 0) + count for noun, count in removed.items()}
        facts: dict[str, Any] = {"removed": [name for name in CONTENT if run._mapping[name]], **removed}
        entry = ledger_entries.Entry(ledger_entries.Kind.RUN_PRUNED, now, run.id, "operator", facts)
        ledger_entries.append(connection, [entry])
    last = PrunePosition(found[-1].settled_at, found[-1].seq) if len(found) == limit else None
    return Pruned(len(idle), rows, last)


def _idle(connection: sa.Connection, run_ids: Sequence[str]) -> set[str]:
    """Return which of these runs, whose rows are locked by now, still have no job except dead ones."""
    busy = sa.select(JOBS.c.run_id).where(JOBS.c.run_id.in_(run_ids), JOBS.c.dead_at.is_(None))
    return {*run_ids} - set(connection.execute(busy).scalars())


def _held(connection: sa.Connection, run_ids: Sequence[str]) -> set[str]:
    """Return which of these runs, whose rows are locked by now, are under a hold."""
    held = sa.select(RUNS.c.id).where(RUNS.c.id.in_(run_ids), holds.covers(connection))
    return {*connection.execute(held).scalars()}


def _which(connection: sa.Connection, expression: grammar.Expression) -> list[sa.ColumnElement[bool]]:
    """Return the conditions: ended, settled, not pruned, and no lost create, which is found by its content."""
    ended = RUNS.c.status.in_(sorted(states.TERMINAL))
    return [
        *conditions.where(connection, expression),
        ended,
        RUNS.c.settled_at.is_not(None),
        RUNS.c.pruned_at.is_(None),
        RUNS.c.lost_create_since.is_(None),
    ]


def _is_busy() -> sa.ColumnElement[bool]:
    """Return the condition that a run has a job that is not dead."""
    return sa.select(JOBS.c.seq).where(JOBS.c.run_id == RUNS.c.id, JOBS.c.dead_at.is_(None)).exists()


def _batch(
    connection: sa.Connection, expression: grammar.Expression, behind: PrunePosition | None, limit: int
) -> sa.Select[Any]:
    has_content = [RUNS.c[name].is_not(None).label(name) for name in CONTENT]
    chosen = sa.select(RUNS.c.id, RUNS.c.seq, RUNS.c.settled_at, *has_content)
    batch = chosen.where(*_which(connection, expression), ~_is_busy())
    if behind is not None:
        at, last = RUNS.c.settled_at, instant(behind.settled_at)
        batch = batch.where(sa.or_(at > last, sa.and_(at == last, RUNS.c.seq > behind.seq)))
    return batch.order_by(RUNS.c.settled_at, RUNS.c.seq).limit(limit).with_for_update(of=RUNS)


def _erase(connection: sa.Connection, run: sa.Row[Any], now: datetime) -> dict[str, int]:
    """Remove all content of one run; return the number of removed rows by noun."""
    ledger_entries.erase_salts(connection, LEDGER_ENTRIES.c.run_id == run.id, KEPT_SALTS)
    ledger_entries.erase_salts(connection, LEDGER_ENTRIES.c.id.in_(_early_entries(connection, run.id)), KEPT_SALTS)
    index.remove(connection, run.seq)
    documents.delete_tools(connection, run.seq)
    removed = {
        noun: connection.execute(sa.delete(table).where(table.c.run_id == run.id)).rowcount
        for noun, table in _ROWS.items()
    }
    emptied = sa.update(DELIVERIES).where(DELIVERIES.c.run_id == run.id).values(deliveries.ERASED_CONTENT)
    removed["deliveries"] = connection.execute(emptied).rowcount
    connection.execute(sa.update(RUN_USAGE).where(RUN_USAGE.c.run_id == run.id).values(metadata=None, salt=b""))
    connection.execute(sa.update(NOTIFICATIONS).where(NOTIFICATIONS.c.run_id == run.id).values(body=b""))
    connection.execute(sa.delete(JOBS).where(JOBS.c.run_id == run.id))
    runs.update(connection, RUNS.c.id == run.id, {**dict.fromkeys(CONTENT), **_MARKS, "pruned_at": now})
    return removed


#: That there were instructions stays visible: they decide what was promised of the execution.
_MARKS = {"instructions": sa.case((RUNS.c.instructions.is_(None), None), else_="")}


def _early_entries(connection: sa.Connection, run_id: str) -> list[str]:
    """Return the entries of deliveries that came before their run was known: these entries name no run."""
    of_run = (LEDGER_ENTRIES.c.run_id == run_id, ledger_entries.IS_OF_DELIVERY)
    bodies = connection.execute(sa.select(LEDGER_ENTRIES.c.body).where(*of_run)).scalars()
    recorded = {ledger_entries.delivery_of(body) for body in bodies}
    received = sa.select(DELIVERIES.c.id, DELIVERIES.c.received_at).where(DELIVERIES.c.run_id == run_id)
    early = {each.id: each.received_at for each in connection.execute(received) if each.id not in recorded}
    return ledger_entries.of_early_deliveries(connection, early)


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
