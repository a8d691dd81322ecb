"""Removing the content of old runs. Measures, tags and the ledger stay.

What was asked and what came back goes, and with each value the salt of its digest: an entry of the ledger then
says nothing about it any more, and every proof over the entries holds as before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Text,
    and_,
    case,
    cast,
    delete,
    func,
    or_,
    select,
    update,
)

from storage import conditions, deliveries, documents, filters, ledger, runs, search, states
from storage.columns import instant
from storage.tables import (
    DELIVERIES,
    JOBS,
    LEDGER_ENTRIES,
    LEDGER_SALTS,
    NOTIFICATIONS,
    RUN_DOCUMENTS,
    RUN_EVENTS,
    RUN_STEPS,
    RUN_USAGE,
    RUNS,
)

#: Columns of a run that hold content, or tell it to who guesses: its unsalted digest is one of them.
CONTENT = (
    "prompt",
    "guidance",
    "instructions",
    "object_ids",
    "output",
    "summary",
    "failure_reason",
    "request_sha256",
)
#: Digests whose values stay, and with them the salts.
KEPT = ("tags",)
_ROWS = {"steps": RUN_STEPS, "documents": RUN_DOCUMENTS, "events": RUN_EVENTS}


@dataclass(frozen=True, slots=True)
class Place:
    """Behind which run a batch begins."""

    settled_at: datetime
    seq: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a batch removed, and where the next one begins; None after the last."""

    runs: int
    rows: Mapping[str, int] = field(default_factory=dict)
    next_place: Place | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is to remove. `size` is in bytes, roughly; `busy` runs wait for their jobs and stay."""

    runs: int
    busy: int
    oldest: datetime | None
    newest: datetime | None
    rows: Mapping[str, int]
    size: int


def survey(connection: Connection, wanted: filters.Expression) -> Survey:
    """What `prune` would remove now."""
    which = [*_which(connection, wanted), ~_is_busy()]
    span = (func.min(RUNS.c.settled_at), func.max(RUNS.c.settled_at))
    summed = select(func.count(), *span, _size(RUNS, CONTENT)).where(*which)
    count, oldest, newest, size = connection.execute(summed).one()
    waiting = select(func.count()).select_from(RUNS).where(*_which(connection, wanted), _is_busy())
    busy = connection.execute(waiting).scalar_one()
    ids = select(RUNS.c.id).where(*which)
    rows: dict[str, int] = {}
    for noun, (table, names) in _WEIGHED.items():
        counted = select(func.count(), _size(table, names)).where(table.c.run_id.in_(ids))
        rows[noun], held = connection.execute(counted).one()
        size += held
    return Survey(count, busy, oldest, newest, rows, size)


def prune(
    connection: Connection, wanted: filters.Expression, now: datetime, behind: Place | None = None, limit: int = 25
) -> Pruned:
    """Removes the content of up to `limit` runs that have ended and have no job left, the oldest first.

    A job that is dead does not count: it goes as well. Each run has an entry in the ledger.
    """
    found = connection.execute(_batch(connection, wanted, behind, limit)).all()
    rows: dict[str, int] = {}
    idle = _idle(connection, [run.id for run in found])
    for run in found:
        if run.id not in idle:
            continue
        removed = _erase(connection, run, now)
        rows = {noun: rows.get(noun, 0) + count for noun, count in removed.items()}
        ledger.append(connection, [_entry(run, removed, now)])
    last = Place(found[-1].settled_at, found[-1].seq) if len(found) == limit else None
    return Pruned(len(idle), rows, last)


def _idle(connection: Connection, run_ids: Sequence[str]) -> set[str]:
    """Which of these runs, now that we hold them, are still without a job that somebody will do."""
    busy = select(JOBS.c.run_id).where(JOBS.c.run_id.in_(run_ids), JOBS.c.dead_at.is_(None))
    return {*run_ids} - set(connection.execute(busy).scalars())


def _which(connection: Connection, wanted: filters.Expression) -> list[ColumnElement[bool]]:
    """Ended, settled, not pruned yet, and nothing of it astray upstream that its content would recognise."""
    ended = RUNS.c.status.in_(sorted(states.TERMINAL))
    return [
        *conditions.where(connection, wanted),
        ended,
        RUNS.c.settled_at.is_not(None),
        RUNS.c.pruned_at.is_(None),
        RUNS.c.stray_since.is_(None),
    ]


def _is_busy() -> ColumnElement[bool]:
    """Whether a run has a job that somebody will do."""
    return select(JOBS.c.seq).where(JOBS.c.run_id == RUNS.c.id, JOBS.c.dead_at.is_(None)).exists()


def _batch(connection: Connection, wanted: filters.Expression, behind: Place | None, limit: int) -> Select[Any]:
    held = [RUNS.c[name].is_not(None).label(name) for name in CONTENT]
    batch = select(RUNS.c.id, RUNS.c.seq, RUNS.c.settled_at, *held).where(*_which(connection, wanted), ~_is_busy())
    if behind is not None:
        at, last = RUNS.c.settled_at, instant(behind.settled_at)
        batch = batch.where(or_(at > last, and_(at == last, RUNS.c.seq > behind.seq)))
    return batch.order_by(RUNS.c.settled_at, RUNS.c.seq).limit(limit).with_for_update(of=RUNS)


def _erase(connection: Connection, run: Row[Any], now: datetime) -> dict[str, int]:
    """Everything of one run that holds content; how many rows of each noun."""
    _forget_salts(connection, run.id)
    search.leave(connection, run.seq)
    documents.forget_tools(connection, run.seq)
    removed = {
        noun: connection.execute(delete(table).where(table.c.run_id == run.id)).rowcount
        for noun, table in _ROWS.items()
    }
    came = update(DELIVERIES).where(DELIVERIES.c.run_id == run.id).values(deliveries.BLANK)
    removed["deliveries"] = connection.execute(came).rowcount
    connection.execute(update(RUN_USAGE).where(RUN_USAGE.c.run_id == run.id).values(metadata=None, salt=b""))
    connection.execute(update(NOTIFICATIONS).where(NOTIFICATIONS.c.run_id == run.id).values(body=b""))
    connection.execute(delete(JOBS).where(JOBS.c.run_id == run.id))
    runs.change(connection, RUNS.c.id == run.id, {**dict.fromkeys(CONTENT), **_MARKS, "pruned_at": now})
    return removed


#: That there were instructions stays: they say what was promised of the execution.
_MARKS = {"instructions": case((RUNS.c.instructions.is_(None), None), else_="")}


def _forget_salts(connection: Connection, run_id: str) -> None:
    """Without their salts the digests of a run's entries prove and tell nothing."""
    told = LEDGER_ENTRIES.c.run_id == run_id
    early = _early_entries(connection, run_id)
    for which in (LEDGER_SALTS.c.entry_id.in_(select(LEDGER_ENTRIES.c.id).where(told)), _is_in(early)):
        connection.execute(delete(LEDGER_SALTS).where(which, LEDGER_SALTS.c.name.not_in(KEPT)))


def _is_in(entry_ids: Iterable[str]) -> ColumnElement[bool]:
    return LEDGER_SALTS.c.entry_id.in_(sorted(entry_ids))


def _early_entries(connection: Connection, run_id: str) -> set[str]:
    """The entries of deliveries that came before their run was known: they stand in the ledger without it."""
    kinds = LEDGER_ENTRIES.c.kind.in_([ledger.Kind.DELIVERY_ACCEPTED.value, ledger.Kind.DELIVERY_DUPLICATE.value])
    entries = select(LEDGER_ENTRIES.c.id, LEDGER_ENTRIES.c.body).where(kinds)
    of_run = connection.execute(entries.where(LEDGER_ENTRIES.c.run_id == run_id))
    known = {_delivery_of(entry.body) for entry in of_run}
    came = select(DELIVERIES.c.id, DELIVERIES.c.received_at).where(DELIVERIES.c.run_id == run_id)
    early = {each.id: each.received_at for each in connection.execute(came) if each.id not in known}
    if not early:
        return set()
    at = LEDGER_ENTRIES.c.at.in_(sorted(set(early.values())))
    unplaced = connection.execute(entries.where(LEDGER_ENTRIES.c.run_id.is_(None), at))
    return {entry.id for entry in unplaced if _delivery_of(entry.body) in early}


def _delivery_of(body: str) -> str:
    told: str = json.loads(body)["facts"]["deliveryId"]
    return told


def _entry(run: Row[Any], removed: Mapping[str, int], now: datetime) -> ledger.Entry:
    facts: dict[str, ledger.Fact | None] = {"removed": [name for name in CONTENT if run._mapping[name]], **removed}
    return ledger.Entry(ledger.Kind.RUN_PRUNED, now, run.id, "operator", facts)


#: Rows that are counted, and the columns by which their size is guessed.
_WEIGHED = {
    "steps": (RUN_STEPS, ("content", "tool_input", "tool_output")),
    "documents": (RUN_DOCUMENTS, ("body",)),
    "events": (RUN_EVENTS, ("data",)),
    "deliveries": (DELIVERIES, ("body", "headers")),
}


def _size(table: Any, names: Iterable[str]) -> ColumnElement[int]:
    """The sum of the lengths of columns: bytes, or characters of a text."""
    lengths = [func.coalesce(func.length(_measurable(table.c[name])), 0) for name in names]
    total: ColumnElement[int] = lengths[0]
    for length in lengths[1:]:
        total = total + length
    return func.coalesce(func.sum(total), 0)


def _measurable(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return column if column.type.python_type is bytes else cast(column, Text)
