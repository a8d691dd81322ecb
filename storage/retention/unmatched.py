"""Removal of deliveries that belong to no run; otherwise they would be stored for ever.

Rejected deliveries are deleted; their counts stay in `rejections` and in the ledger. Accepted ones are evidence:
the row and its ledger entry stay, while its body, its headers and the salts of their digests are removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Text, cast, delete, func, literal_column, select, update

from storage import states
from storage.engine.column_types import instant
from storage.ledger import entries as ledger_entries
from storage.retention import contents
from storage.tables.deliveries import DELIVERIES
from storage.tables.ledger import LEDGER_ENTRIES

#: Rows per transaction: a body may have a mebibyte.
BATCH = 50
#: Rough bytes of a row besides its body and headers.
ROW_BYTES = 512


@dataclass(frozen=True, slots=True)
class UnmatchedFilter:
    """Deliveries that were received before an instant, from one address where one is given."""

    before: datetime
    address: str | None = None


@dataclass(frozen=True, slots=True)
class UnmatchedDeliveries:
    """How many deliveries belong to no run: rejected ones, and accepted ones; `size` is in bytes, roughly."""

    rejected: int
    unlinked: int
    size: int
    oldest: datetime | None = None


@dataclass(frozen=True, slots=True)
class RemovedDeliveries:
    """The numbers that a batch removed, and whether more may be left."""

    rejected: int
    unlinked: int
    has_more: bool


def count_unmatched(connection: Connection, chosen: UnmatchedFilter) -> UnmatchedDeliveries:
    """Return how much `remove_unmatched` would remove now."""
    counted = select(func.count(), _size(), func.min(DELIVERIES.c.received_at)).where(*_which(chosen))
    rejected, size, oldest = connection.execute(counted.where(_IS_REJECTED)).one()
    unlinked, more, first = connection.execute(counted.where(~_IS_REJECTED)).one()
    moments = [each for each in (oldest, first) if each is not None]
    return UnmatchedDeliveries(rejected, unlinked, size + more, min(moments, default=None))


def has_unmatched(connection: Connection, chosen: UnmatchedFilter) -> bool:
    """Return whether `remove_unmatched` would remove anything now."""
    return connection.execute(select(DELIVERIES.c.seq).where(*_which(chosen)).limit(1)).first() is not None


def remove_unmatched(
    connection: Connection, chosen: UnmatchedFilter, now: datetime, actor: str, limit: int = BATCH
) -> RemovedDeliveries:
    """Remove up to `limit` of the chosen deliveries, the oldest first; `actor` is recorded in the ledger.

    Rows that another transaction has locked are left alone: it may be linking them to their run.
    """
    selected = select(DELIVERIES.c.seq, DELIVERIES.c.id, DELIVERIES.c.received_at, DELIVERIES.c.verdict)
    oldest = selected.where(*_which(chosen)).order_by(DELIVERIES.c.received_at).limit(limit)
    found = connection.execute(oldest.with_for_update(skip_locked=True)).all()
    rejected = [row for row in found if row.verdict == states.Verdict.REJECTED.value]
    unlinked = [row for row in found if row.verdict != states.Verdict.REJECTED.value]
    _delete(connection, rejected)
    _erase_content(connection, unlinked)
    if unlinked:
        # Without the address, which may be the reason for the removal.
        kind, facts = ledger_entries.Kind.DELIVERIES_PRUNED, {"deliveries": len(unlinked)}
        ledger_entries.append(connection, [ledger_entries.Entry(kind, now, None, actor, facts)])
    return RemovedDeliveries(len(rejected), len(unlinked), len(found) == limit)


def rejected_size(connection: Connection) -> int:
    """Return roughly the bytes of all stored requests that did not verify."""
    return connection.execute(select(_size()).where(*_IS_UNMATCHED, _IS_REJECTED)).scalar_one()


def trim_rejected(connection: Connection, excess: int, limit: int = BATCH) -> int:
    """Remove the oldest rejected requests, `excess` bytes of them; return how many bytes are left to remove.

    The result is 0 where nothing is left that could be removed.
    """
    selected = select(DELIVERIES.c.seq, _length().label("size")).where(*_IS_UNMATCHED, _IS_REJECTED)
    oldest = selected.order_by(DELIVERIES.c.received_at).limit(limit).with_for_update(skip_locked=True)
    found = connection.execute(oldest).all()
    removed = []
    for row in found:
        if excess > 0:
            removed.append(row)
            excess -= row.size
    _delete(connection, removed)
    return max(excess, 0) if len(found) == limit else 0


def _which(chosen: UnmatchedFilter) -> list[ColumnElement[bool]]:
    which = [*_IS_UNMATCHED, DELIVERIES.c.received_at < instant(chosen.before)]
    return which if chosen.address is None else [*which, DELIVERIES.c.remote_addr == chosen.address]


def _delete(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> None:
    if rows:
        connection.execute(delete(DELIVERIES).where(DELIVERIES.c.seq.in_([row.seq for row in rows])))


def _erase_content(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> None:
    if not rows:
        return
    which = DELIVERIES.c.seq.in_([row.seq for row in rows])
    connection.execute(update(DELIVERIES).where(which).values(contents.ERASED_DELIVERY))
    entries = ledger_entries.of_early_deliveries(connection, {row.id: row.received_at for row in rows})
    ledger_entries.erase_salts(connection, LEDGER_ENTRIES.c.id.in_(entries))


def _length() -> ColumnElement[int]:
    headers = func.coalesce(func.length(cast(DELIVERIES.c.headers, Text)), 0)
    return func.length(DELIVERIES.c.body) + headers + ROW_BYTES


def _size() -> ColumnElement[int]:
    return func.coalesce(func.sum(_length()), 0)


_IS_REJECTED = DELIVERIES.c.verdict == states.Verdict.REJECTED.value
#: Literally the condition of the index `ix_deliveries_unmatched`.
_IS_UNMATCHED = (DELIVERIES.c.run_id.is_(None), DELIVERIES.c.body_sha256 != literal_column("''"))
