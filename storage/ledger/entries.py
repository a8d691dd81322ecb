"""Ledger entries: one per fact, appended in the transaction of the fact.

An embedded database has one writer, so an entry gets its number at once. On a server the sequencer numbers entries
after their commit.

An entry is canonical JSON of at most 8 KiB, stored and hashed as the same bytes:
`{"v":1,"kind":…,"at":…,"run":…,"actor":…,"facts":{…},"digests":{name: hex}}`. An entry holds
salted digests of contents, never the contents, so that erasing a value and its salt later keeps every proof valid.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, bindparam, func, select, update

from storage import ids, merkle
from storage.engine import bulk_insert, dialect, prepared, writer
from storage.engine.column_types import instant_text
from storage.tables.ledger import LEDGER_ENTRIES

#: The most bytes of an entry.
LIMIT = 8192

Fact = str | int | list[Any] | dict[str, Any]


class Kind(StrEnum):
    """The kinds of entries. Kinds and fields are only ever added."""

    RUN_ACCEPTED = "run.accepted"
    RUN_CREATED = "run.created"
    RUN_STARTED = "run.started"
    RUN_CANCEL_REQUESTED = "run.cancel_requested"
    DELIVERY_ACCEPTED = "delivery.accepted"
    DELIVERY_DUPLICATE = "delivery.duplicate"
    RUN_COMPLETED = "run.completed"
    RUN_FAILED = "run.failed"
    RUN_CANCELLED = "run.cancelled"
    RUN_REFUSED = "run.refused"
    RUN_DOCUMENT = "run.document"
    RUN_CONFLICT = "run.conflict"
    RUN_LOST = "run.lost"
    RUN_ORPHAN = "run.orphan"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    KEY_LINKED = "key.linked"
    REJECTIONS_COUNTED = "rejections.counted"
    RUN_PRUNED = "run.pruned"
    DELIVERIES_PRUNED = "deliveries.pruned"
    WEBHOOK_REGISTERED = "webhook.registered"
    WEBHOOK_ROTATED = "webhook.rotated"
    STORE_RESTORED = "store.restored"
    RUN_IMPORTED = "run.imported"
    RUN_REOPENED = "run.reopened"
    RUN_TAGGED = "run.tagged"
    CONTENT_ERASED = "content.erased"
    HOLD_PLACED = "hold.placed"
    HOLD_RELEASED = "hold.released"
    DELIVERY_PROCESSED = "delivery.processed"
    RUN_NOTIFY_REQUESTED = "run.notify_requested"
    BULK_REQUESTED = "bulk.requested"
    VIEW_SAVED = "view.saved"
    VIEW_DELETED = "view.deleted"
    KEY_SIGNED_OUT = "key.signed_out"
    RUN_REVIEWED = "run.reviewed"
    COMPLETENESS_CHECKED = "completeness.checked"


class Entry(msgspec.Struct, frozen=True):
    """An entry to append. Facts that are None are left out."""

    kind: Kind
    at: datetime
    run_id: str | None
    actor: str
    facts: Mapping[str, Fact | None] = msgspec.field(default_factory=dict)
    digests: Sequence[merkle.Digest] = ()


class Appended(msgspec.Struct, frozen=True):
    """An entry that was appended, with its number where it has one already."""

    entry: Entry
    number: int | None


def body(entry: Entry) -> bytes:
    """Return the bytes that are stored and hashed. Raises ValueError where they are over the limit."""
    facts = {name: value for name, value in entry.facts.items() if value is not None}
    digests = {sealed.name: sealed.hex for sealed in entry.digests}
    whole = {
        "v": 1,
        "kind": entry.kind.value,
        "at": instant_text(entry.at),
        "run": entry.run_id,
        "actor": entry.actor,
        "facts": facts,
        "digests": digests,
    }
    encoded = merkle.canonical(whole)
    if len(encoded) > LIMIT:
        raise ValueError(f"the ledger entry has {len(encoded)} bytes, more than {LIMIT}")
    return encoded


def append(connection: Connection, entries: Sequence[Entry]) -> None:
    """Append entries, in the transaction of their facts, and pass each to the observer of its commit."""
    if not entries:
        return
    numbers = _next_numbers(connection)
    appended = [Appended(entry, next(numbers)) for entry in entries]
    bulk_insert.insert(connection, LEDGER_ENTRIES, [_row(each, body(each.entry)) for each in appended])
    dialect.notify_on_commit(connection)
    writer.tell_observer(connection, appended)


def _next_numbers(connection: Connection) -> Iterator[int | None]:
    """Return the numbers of the entries to come; None for each where the sequencer numbers them."""
    if dialect.is_embedded(connection):
        return itertools.count(last_number(connection) + 1)
    return itertools.repeat(None)


def _row(appended: Appended, encoded: bytes) -> dict[str, Any]:
    entry = appended.entry
    salts = {each.name: each.salt.hex() for each in entry.digests if each.salt is not None}
    return {
        "id": ids.new(entry.at),
        "run_id": entry.run_id,
        "kind": entry.kind.value,
        "actor": entry.actor,
        "at": entry.at,
        "body": encoded.decode(),
        "leaf_index": appended.number,
        "leaf_hash": merkle.leaf_hash(encoded),
        "salts": merkle.encode(salts) if salts else None,
    }


def erase_salts(connection: Connection, which: ColumnElement[bool], kept: Collection[str] = ()) -> set[str]:
    """Erase the salts of entries but for the `kept` names; return the names of those that were there.

    Without them the digests prove and reveal nothing.
    """
    salted = select(LEDGER_ENTRIES.c.seq, LEDGER_ENTRIES.c.salts).where(which, LEDGER_ENTRIES.c.salts.is_not(None))
    found = connection.execute(salted).all()
    if found:
        connection.execute(_SET_SALTS, [{"entry": row.seq, "left": _kept(row.salts, kept)} for row in found])
    names = {name for row in found if isinstance(row.salts, dict) for name in row.salts}
    return names.difference(kept)


def _kept(salts: object, names: Collection[str]) -> dict[str, str] | None:
    """Return the salts of these names; None where there is none, or where another program wrote no object."""
    return {name: salts[name] for name in names if name in salts} or None if isinstance(salts, dict) else None


def last(connection: Connection, run_id: str, kind: Kind) -> Mapping[str, Any] | None:
    """Return the body of a run's last entry of that kind, or None."""
    of_run = select(LEDGER_ENTRIES.c.body).where(LEDGER_ENTRIES.c.run_id == run_id)
    newest = of_run.where(LEDGER_ENTRIES.c.kind == kind.value).order_by(LEDGER_ENTRIES.c.seq.desc()).limit(1)
    found = connection.execute(newest).scalar()
    return None if found is None else json.loads(found)


def newest_leaf_hash(connection: Connection, run_id: str) -> bytes | None:
    """Return the leaf hash of a run's newest entry; None where it has none."""
    found = _NEWEST_OF_RUN.first(connection, {"run_id": run_id})
    return None if found is None else bytes(found.leaf_hash)


def of_early_deliveries(connection: Connection, received: Mapping[str, datetime]) -> list[str]:
    """Return the ids of the entries of those deliveries that came before their run was known.

    `received` has the time of each delivery by its id; the ids of its entries begin with that time.
    """
    if not received:
        return []
    first = ids.lowest(min(received.values()))
    last = ids.lowest(max(received.values()) + timedelta(milliseconds=1))
    without_run = LEDGER_ENTRIES.c.id.between(first, last), LEDGER_ENTRIES.c.run_id.is_(None), IS_OF_DELIVERY
    found = connection.execute(select(LEDGER_ENTRIES.c.id, LEDGER_ENTRIES.c.body).where(*without_run))
    return sorted(entry.id for entry in found if delivery_of(entry.body) in received)


def delivery_of(body: str) -> str:
    """Return the id of the delivery that an entry is about."""
    delivery_id: str = json.loads(body)["facts"]["deliveryId"]
    return delivery_id


def has_unnumbered(connection: Connection) -> bool:
    """Return whether the sequencer has entries to number."""
    return connection.execute(_UNNUMBERED, {"limit": 1}).first() is not None


def oldest_unnumbered(connection: Connection) -> datetime | None:
    """Return when the oldest entry without a number was written; None where all have one."""
    found: datetime | None = connection.execute(_OLDEST_UNNUMBERED).scalar()
    return found


def last_number(connection: Connection) -> int:
    """Return the highest number of an entry, -1 where none has one."""
    found = _LAST.all(connection, {})[0].number
    return -1 if found is None else int(found)


def number(connection: Connection, limit: int) -> range:
    """Give numbers to up to `limit` committed entries without a gap, oldest first, and return the new numbers.

    An entry is numbered after its commit, so a reader that has seen n will never find a new entry below n. One
    transaction numbers at a time: while another one does, this one numbers none. Entries of an embedded database
    have numbers from the beginning.
    """
    if not dialect.try_acquire_lock(connection, "sequencer"):
        return range(0)
    first = last_number(connection) + 1
    count = connection.execute(_NUMBER, {"first": first, "limit": limit}).rowcount
    return range(first, first + count) if count else range(0)


#: The condition that an entry is about a delivery.
IS_OF_DELIVERY = LEDGER_ENTRIES.c.kind.in_([Kind.DELIVERY_ACCEPTED.value, Kind.DELIVERY_DUPLICATE.value])
_OF_ENTRY = LEDGER_ENTRIES.c.seq == bindparam("entry")
_SET_SALTS = update(LEDGER_ENTRIES).where(_OF_ENTRY).values(salts=bindparam("left"))
_UNNUMBERED = (
    select(LEDGER_ENTRIES.c.seq)
    .where(LEDGER_ENTRIES.c.leaf_index.is_(None))
    .order_by(LEDGER_ENTRIES.c.seq)
    .limit(bindparam("limit"))
)
_OLDEST_UNNUMBERED = (
    select(LEDGER_ENTRIES.c.at)
    .where(LEDGER_ENTRIES.c.leaf_index.is_(None))
    .order_by(LEDGER_ENTRIES.c.seq)
    .limit(1)
)
_LAST = prepared.Prepared(lambda _: select(func.max(LEDGER_ENTRIES.c.leaf_index).label("number")))
_NEWEST_OF_RUN = prepared.Prepared(
    lambda _: (
        select(LEDGER_ENTRIES.c.leaf_hash)
        .where(LEDGER_ENTRIES.c.run_id == bindparam("run_id"))
        .order_by(LEDGER_ENTRIES.c.seq.desc())
        .limit(1)
    )
)
_WAITING = _UNNUMBERED.subquery()
_ORDERED = select(_WAITING.c.seq, func.row_number().over(order_by=_WAITING.c.seq).label("position")).subquery()
_NUMBER = (
    update(LEDGER_ENTRIES)
    .where(LEDGER_ENTRIES.c.seq == _ORDERED.c.seq)
    .values(leaf_index=bindparam("first") + _ORDERED.c.position - 1)
)
