"""Removing what came from outside and belongs to no run: it would be kept for ever otherwise.

What did not verify is deleted; its count stays in `rejections` and in the ledger. What verified is evidence: its
row stays with its place in the ledger, while its body, its headers and the salts of their digests go.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, cast, delete, func, literal_column, select, update

from storage import deliveries, ids, ledger, states
from storage.columns import instant
from storage.tables import DELIVERIES, LEDGER_ENTRIES, LEDGER_SALTS

#: Rows of one transaction: a body may have a mebibyte.
GROUP = 50
#: Bytes of a row beside its body and headers, roughly.
ROW = 512


@dataclass(frozen=True, slots=True)
class Chosen:
    """What came before an instant, from one address alone where one is given."""

    before: datetime
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Loose:
    """How much there is that belongs to no run: what did not verify, and what did; `size` is in bytes, roughly."""

    rejected: int
    unlinked: int
    size: int
    oldest: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cleared:
    """What a batch removed, and whether there may be more."""

    rejected: int
    unlinked: int
    goes_on: bool


def loose(connection: Connection, chosen: Chosen) -> Loose:
    """Return what `clear` would remove now."""
    counted = select(func.count(), _size(), func.min(DELIVERIES.c.received_at)).where(*_which(chosen))
    rejected, size, oldest = connection.execute(counted.where(_IS_REJECTED)).one()
    unlinked, more, first = connection.execute(counted.where(~_IS_REJECTED)).one()
    moments = [each for each in (oldest, first) if each is not None]
    return Loose(rejected, unlinked, size + more, min(moments, default=None))


def has_loose(connection: Connection, chosen: Chosen) -> bool:
    """Return whether `clear` would remove anything now."""
    return connection.execute(select(DELIVERIES.c.seq).where(*_which(chosen)).limit(1)).first() is not None


def clear(connection: Connection, chosen: Chosen, now: datetime, actor: str, limit: int = GROUP) -> Cleared:
    """Remove up to `limit` of what was chosen, the oldest first; `actor` has it removed.

    What somebody else holds, who may be linking it to its run just now, is left alone.
    """
    wanted = select(DELIVERIES.c.seq, DELIVERIES.c.id, DELIVERIES.c.received_at, DELIVERIES.c.verdict)
    oldest = wanted.where(*_which(chosen)).order_by(DELIVERIES.c.received_at).limit(limit)
    found = connection.execute(oldest.with_for_update(skip_locked=True)).all()
    rejected = [row for row in found if row.verdict == states.Verdict.REJECTED.value]
    unlinked = [row for row in found if row.verdict != states.Verdict.REJECTED.value]
    _delete(connection, rejected)
    _blank(connection, unlinked)
    if unlinked:
        # Not the address, which may be what has to go.
        facts: dict[str, ledger.Fact | None] = {"deliveries": len(unlinked)}
        ledger.append(connection, [ledger.Entry(ledger.Kind.DELIVERIES_PRUNED, now, None, actor, facts)])
    return Cleared(len(rejected), len(unlinked), len(found) == limit)


def rejected_size(connection: Connection) -> int:
    """Return the bytes, roughly, of all that is kept of requests that did not verify."""
    total: int = connection.execute(select(_size()).where(*_LOOSE, _IS_REJECTED)).scalar_one()
    return total


def trim(connection: Connection, excess: int, limit: int = GROUP) -> int:
    """Remove the oldest requests that did not verify, `excess` bytes of them; return how many are left to remove.

    None are where there is nothing left that could be removed.
    """
    wanted = select(DELIVERIES.c.seq, _length().label("size")).where(*_LOOSE, _IS_REJECTED)
    oldest = wanted.order_by(DELIVERIES.c.received_at).limit(limit).with_for_update(skip_locked=True)
    found = connection.execute(oldest).all()
    gone = []
    for row in found:
        if excess <= 0:
            break
        gone.append(row)
        excess -= row.size
    _delete(connection, gone)
    return max(excess, 0) if len(found) == limit else 0


def _which(chosen: Chosen) -> list[ColumnElement[bool]]:
    which = [*_LOOSE, DELIVERIES.c.received_at < instant(chosen.before)]
    return which if chosen.address is None else [*which, DELIVERIES.c.remote_addr == chosen.address]


def _delete(connection: Connection, rows: Sequence[Any]) -> None:
    if rows:
        connection.execute(delete(DELIVERIES).where(DELIVERIES.c.seq.in_([row.seq for row in rows])))


def _blank(connection: Connection, rows: Sequence[Any]) -> None:
    if not rows:
        return
    held = DELIVERIES.c.seq.in_([row.seq for row in rows])
    connection.execute(update(DELIVERIES).where(held).values(deliveries.BLANK))
    entries = _entries(connection, {row.id: row.received_at for row in rows})
    connection.execute(delete(LEDGER_SALTS).where(LEDGER_SALTS.c.entry_id.in_(entries)))


def _entries(connection: Connection, received: dict[str, datetime]) -> list[str]:
    """Return the ids of the entries that tell of these deliveries; their ids begin with the moment of each."""
    moments = received.values()
    first, last = ids.first(min(moments)), ids.first(max(moments) + timedelta(milliseconds=1))
    told = select(LEDGER_ENTRIES.c.id, LEDGER_ENTRIES.c.body).where(
        LEDGER_ENTRIES.c.id.between(first, last),
        LEDGER_ENTRIES.c.run_id.is_(None),
        LEDGER_ENTRIES.c.kind.in_([ledger.Kind.DELIVERY_ACCEPTED.value, ledger.Kind.DELIVERY_DUPLICATE.value]),
    )
    found = connection.execute(told)
    return sorted(entry.id for entry in found if json.loads(entry.body)["facts"]["deliveryId"] in received)


def _length() -> ColumnElement[int]:
    headers = func.coalesce(func.length(cast(DELIVERIES.c.headers, Text)), 0)
    return func.length(DELIVERIES.c.body) + headers + ROW


def _size() -> ColumnElement[int]:
    return func.coalesce(func.sum(_length()), 0)


_IS_REJECTED = DELIVERIES.c.verdict == states.Verdict.REJECTED.value
#: The condition of the index `ix_deliveries_loose`, word for word.
_LOOSE = (DELIVERIES.c.run_id.is_(None), DELIVERIES.c.body_sha256 != literal_column("''"))
