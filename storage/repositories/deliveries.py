"""Statements about deliveries: requests at the public endpoints, with their verdicts."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, ScalarSelect, delete, func, literal_column, or_, select, update

from storage import bounds, cursors, ids, merkle, states
from storage.engine import bulk_insert, dialect, prepared
from storage.engine.membership import is_among
from storage.tables import declare
from storage.tables.deliveries import DELIVERIES, REJECTIONS

#: Duplicates of one key that are stored as rows; further ones raise the accepted row's `repeats`.
MAX_ROWS_PER_KEY = 20
#: The longest time between the arrival of a request and its storage that lists of a time range cover.
LATE = timedelta(minutes=10)
#: The columns with content, with their values after its removal.
ERASED_CONTENT: dict[str, Any] = {"body": b"", "body_sha256": "", "headers": None}
#: The beginning of a dedupe key that is a digest of a body without an id.
BODY_KEY = "body:"


class Delivery(msgspec.Struct, frozen=True):
    """A verified request before its commit.

    `run_id` is the run of ours that its token names. `upstream_id` is the upstream run that its body most likely
    names, `also_named` are other values in the body that may be such an id. `dedupe_key` is the envelope's id for
    platform events and the run for watcher callbacks.
    """

    id: str
    source: states.Source
    dedupe_key: str
    received_at: datetime
    headers: merkle.CanonicalJson
    body: bytes
    body_sha256: str
    remote_addr: str | None = None
    run_id: str | None = None
    upstream_id: str | None = None
    also_named: tuple[str, ...] = ()
    status: str | None = None
    event_id: str | None = None
    event_type: str | None = None
    secret_used: str | None = None
    reason: str | None = None
    digests: tuple[merkle.Digest, ...] = ()
    #: Bytes that were sent, where `body` is only their beginning; `body_sha256` covers all of them.
    whole_size: int | None = None

    @property
    def size(self) -> int:
        """Return the number of bytes that were sent."""
        return len(self.body) if self.whole_size is None else self.whole_size

    @property
    def weight(self) -> int:
        """Return the bytes, for the bounds of a commit batch."""
        return len(self.body) + 1024


@dataclass(frozen=True, slots=True)
class RejectedRequest:
    """A request that did not verify; `reason` is the cause under which it is counted."""

    id: str
    source: states.Source
    received_at: datetime
    headers: Mapping[str, str]
    body: bytes
    body_sha256: str
    size: int
    reason: str
    remote_addr: str | None = None

    @property
    def weight(self) -> int:
        """Return roughly the bytes that are stored."""
        return len(self.body) + sum(len(name) + len(value) for name, value in self.headers.items()) + 512


class Receipt(msgspec.Struct, frozen=True):
    """The answer to the sender after the commit: the id of the row that represents its request."""

    id: str
    verdict: states.Verdict
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class StoredDelivery:
    """A row of `deliveries`; `body` is None in lists."""

    seq: int
    id: str
    source: states.Source
    run_id: str | None
    event_id: str | None
    event_type: str | None
    received_at: datetime
    verdict: states.Verdict
    reason: str | None
    duplicate_of: str | None
    repeats: int
    last_repeat_at: datetime | None
    remote_addr: str | None
    headers: Mapping[str, str] | None
    body_sha256: str
    size: int
    secret_used: str | None
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of a page of deliveries, newest first; `since` and `until` are when they were received."""

    run_id: str | None = None
    verdict: states.Verdict | None = None
    source: states.Source | None = None
    limit: int = 50
    cursor: str | None = None
    remote_addr: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AcceptedRow:
    """The accepted row of a dedupe key, and how many duplicates of it are rows."""

    id: str
    run_id: str | None
    duplicates: int


def event_key(event_id: str) -> str:
    """Return the dedupe key of a platform event: the id of its envelope."""
    return f"event:{event_id}"


def delivery_key(delivery_id: str) -> str:
    """Return the dedupe key of an event without an envelope id: the delivery's id, or its hash where it is unfit.

    An index takes only ids that are printable ASCII and short enough.
    """
    if len(delivery_id) > bounds.KEY or not (delivery_id.isascii() and delivery_id.isprintable()):
        delivery_id = f"sha256:{hashlib.sha256(delivery_id.encode()).hexdigest()}"
    return f"delivery:{delivery_id}"


def insert_new(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Insert new rows; return their ids, without rows whose id or dedupe key exists. Duplicates have no key."""
    if not rows:
        return set()
    if dialect.is_embedded(connection):
        return _insert_unknown(connection, rows)
    return set(bulk_insert.insert_new(connection, DELIVERIES, rows))


def _insert_unknown(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Do what `insert_new` does on a file: its one writer reads before which rows exist, faster than RETURNING."""
    known = {"ids": [row["id"] for row in rows], "keys": [row["dedupe_key"] for row in rows if row["dedupe_key"]]}
    found = _KNOWN.all(connection, known)
    ids, keys = {row.id for row in found}, {row.dedupe_key for row in found} - {None}
    new: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row["id"] in ids or row["dedupe_key"] in keys:
            continue
        new[row["id"]] = row
        ids.add(row["id"])
        if row["dedupe_key"]:
            keys.add(row["dedupe_key"])
    bulk_insert.insert(connection, DELIVERIES, list(new.values()))
    return set(new)


def lock_keys(connection: Connection, keys: Collection[str]) -> None:
    """Lock the accepted rows of these keys, so that their duplicates are counted one transaction at a time."""
    if keys:
        connection.execute(_LOCK_KEYS, {"keys": list(keys)})


def accepted_rows(connection: Connection, keys: Sequence[str]) -> dict[str, AcceptedRow]:
    """Return the accepted row of each key that has one."""
    found = connection.execute(_ACCEPTED_ROWS, {"keys": list(keys)}) if keys else ()
    return {row.dedupe_key: AcceptedRow(row.id, row.run_id, row.duplicates) for row in found}


def claim_unlinked(connection: Connection, upstream_id: str, run_id: str) -> list[states.Source]:
    """Assign a run the deliveries that named its upstream id before we knew it; return their sources in order."""
    which = (DELIVERIES.c.upstream_id == upstream_id, DELIVERIES.c.run_id.is_(None))
    sources = (
        connection.execute(select(DELIVERIES.c.source).where(*which).order_by(DELIVERIES.c.seq)).scalars().all()
    )
    if sources:
        connection.execute(update(DELIVERIES).where(*which).values(run_id=run_id))
    return [states.read(states.Source, source) for source in sources]


def count_repeats(connection: Connection, holder_id: str, times: int, now: datetime) -> None:
    """Count duplicates that get no row of their own."""
    which = DELIVERIES.c.id == holder_id
    raised = {"repeats": DELIVERIES.c.repeats + times, "last_repeat_at": now}
    connection.execute(update(DELIVERIES).where(which).values(raised))


def to_row(
    delivery: Delivery, run_id: str | None, reason: str | None, duplicate_of: str | None = None
) -> dict[str, Any]:
    """Return the columns of a delivery: of the accepted one, or of a duplicate of the row `duplicate_of`."""
    is_first = duplicate_of is None
    return {
        "id": delivery.id,
        "source": delivery.source.value,
        "run_id": run_id,
        "upstream_id": delivery.upstream_id,
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "received_at": delivery.received_at,
        "verdict": states.Verdict.ACCEPTED.value if is_first else states.Verdict.DUPLICATE.value,
        "reason": reason,
        "duplicate_of": duplicate_of,
        "remote_addr": delivery.remote_addr,
        "headers": delivery.headers,
        "body": delivery.body,
        "body_sha256": delivery.body_sha256,
        "size": delivery.size,
        "secret_used": delivery.secret_used,
        "dedupe_key": delivery.dedupe_key if is_first else None,
    }


def insert_rejected(connection: Connection, rejected: Sequence[RejectedRequest]) -> None:
    """Store requests that did not verify."""
    rows = [
        declare.row(DELIVERIES, one) | {"headers": dict(one.headers), "verdict": states.Verdict.REJECTED.value}
        for one in rejected
    ]
    if rows:
        connection.execute(DELIVERIES.insert(), rows)


def take_rejected(connection: Connection, delivery_id: str) -> int | None:
    """Delete a rejected request, whose place its delivery takes; return its seq, None where there is none."""
    which = (DELIVERIES.c.id == delivery_id, DELIVERIES.c.verdict == states.Verdict.REJECTED.value)
    return connection.execute(delete(DELIVERIES).where(*which).returning(DELIVERIES.c.seq)).scalar_one_or_none()


def place(connection: Connection, delivery_id: str, seq: int) -> None:
    """Give a delivery the seq of the rejected request that it replaces: lists are in the order of arrival."""
    connection.execute(update(DELIVERIES).where(DELIVERIES.c.id == delivery_id).values(seq=seq))


def count_rejections(connection: Connection, hour: datetime, counts: Mapping[str, int]) -> None:
    """Add to the counts of an hour, by cause."""
    statement = dialect.insert(connection, REJECTIONS)
    raised = {"count": REJECTIONS.c["count"] + statement.excluded.count, "counted": False}
    upsert = statement.on_conflict_do_update(index_elements=["hour", "cause"], set_=raised)
    rows = [{"hour": hour, "cause": cause, "count": counts[cause]} for cause in sorted(counts)]
    if rows:
        connection.execute(upsert, rows)


def rejections(connection: Connection, low: datetime, high: datetime) -> dict[str, int]:
    """Return how many requests were rejected in the hours that begin in a range, by cause, the most first."""
    total = func.sum(REJECTIONS.c["count"])
    counted = select(REJECTIONS.c.cause, total).group_by(REJECTIONS.c.cause).order_by(total.desc())
    rows = connection.execute(counted.where(REJECTIONS.c.hour >= low, REJECTIONS.c.hour < high))
    return {cause: int(count) for cause, count in rows}


def close_hours(connection: Connection, before: datetime) -> dict[datetime, dict[str, int]]:
    """Mark the counts of finished hours as recorded in the ledger; return those that were not marked before."""
    waiting = update(REJECTIONS).where(REJECTIONS.c.hour < before, REJECTIONS.c.counted.is_(False))
    marked = waiting.values(counted=True).returning(REJECTIONS.c.hour, REJECTIONS.c.cause, REJECTIONS.c["count"])
    counts: dict[datetime, dict[str, int]] = {}
    for hour, cause, count in sorted(tuple(row) for row in connection.execute(marked)):
        counts.setdefault(hour, {})[cause] = count
    return counts


def find(connection: Connection, delivery_id: str) -> StoredDelivery | None:
    """Return one delivery with its body."""
    found = connection.execute(_ROWS.add_columns(DELIVERIES.c.body).where(DELIVERIES.c.id == delivery_id)).first()
    return None if found is None else replace(_stored(found[:-1]), body=found.body)


def page(connection: Connection, query: Query) -> tuple[list[StoredDelivery], str | None]:
    """Return a page of deliveries without bodies, newest first, and the cursor of the next page."""
    criteria = which(query)
    if query.cursor is not None:
        criteria.append(DELIVERIES.c.seq < cursors.parse(query.cursor, "-received").seq)
    newest = _ROWS.where(*criteria).order_by(DELIVERIES.c.seq.desc()).limit(query.limit + 1)
    found = [_stored(each) for each in connection.execute(newest)]
    if len(found) <= query.limit:
        return found, None
    return found[: query.limit], str(cursors.Cursor("-received", None, found[query.limit - 1].seq))


def which(query: Query) -> list[ColumnElement[bool]]:
    """Return the conditions of a list but that of its cursor."""
    names = ("run_id", "verdict", "source", "remote_addr")
    found = [DELIVERIES.c[name] == value for name in names if (value := getattr(query, name)) is not None]
    if query.verdict is states.Verdict.REJECTED:  # the condition of an index, which holds for all of them
        found += [DELIVERIES.c.run_id.is_(None), DELIVERIES.c.body_sha256 != literal_column("''")]
    if query.since is not None:
        found += [DELIVERIES.c.received_at >= query.since, DELIVERIES.c.seq >= _first_after(query.since - LATE)]
    if query.until is not None:
        last = func.coalesce(_first_after(query.until + LATE), literal_column(str(2**62)))
        found += [DELIVERIES.c.received_at <= query.until, DELIVERIES.c.seq <= last]
    return found


def _first_after(at: datetime) -> ScalarSelect[int]:
    """Return the key of the first row with an id of this time or later: ids have an index, instants have none."""
    later = select(DELIVERIES.c.seq).where(DELIVERIES.c.id >= ids.lowest(at))
    return later.order_by(DELIVERIES.c.id).limit(1).scalar_subquery()


def duplicates(connection: Connection, delivery_id: str) -> list[StoredDelivery]:
    """Return the stored duplicates of a delivery without bodies, oldest first."""
    found = _ROWS.where(DELIVERIES.c.duplicate_of == delivery_id).order_by(DELIVERIES.c.seq)
    return [_stored(each) for each in connection.execute(found.limit(MAX_ROWS_PER_KEY))]


def last_seq(connection: Connection) -> int:
    """Return the seq of the newest row; 0 before the first."""
    return connection.execute(select(func.max(DELIVERIES.c.seq))).scalar_one() or 0


def find_verified(connection: Connection, event_type: str, after: int) -> StoredDelivery | None:
    """Return the first verified event of a type behind the row `after`, with its body."""
    is_one = (DELIVERIES.c.event_type == event_type, DELIVERIES.c.verdict != states.Verdict.REJECTED.value)
    newer = select(DELIVERIES.c.id).where(DELIVERIES.c.seq > after, *is_one).order_by(DELIVERIES.c.seq).limit(1)
    found = connection.execute(newer).scalar()
    return None if found is None else find(connection, found)


def count_by_verdict(connection: Connection) -> dict[tuple[str, str], int]:
    """Return how many requests were received, by source and verdict; repeats count as duplicates."""
    columns = (DELIVERIES.c.source, DELIVERIES.c.verdict)
    counted = select(*columns, func.count(), func.sum(DELIVERIES.c.repeats)).group_by(*columns)
    counts: dict[tuple[str, str], int] = {}
    for source, verdict, rows, repeats in connection.execute(counted):
        counts[source, verdict] = counts.get((source, verdict), 0) + rows
        duplicate_key = (source, states.Verdict.DUPLICATE.value)
        counts[duplicate_key] = counts.get(duplicate_key, 0) + int(repeats or 0)
    return counts


def _stored(values: Sequence[Any]) -> StoredDelivery:
    stored = StoredDelivery(*values)
    source, verdict = states.read(states.Source, stored.source), states.read(states.Verdict, stored.verdict)
    return replace(stored, source=source, verdict=verdict)


_ROWS = select(*(DELIVERIES.c[each.name] for each in fields(StoredDelivery) if each.name != "body"))
_LOCK_KEYS = (
    select(DELIVERIES.c.id)
    .where(is_among(DELIVERIES.c.dedupe_key, "keys"))
    .order_by(DELIVERIES.c.dedupe_key)
    .with_for_update()
)
_KNOWN = prepared.Prepared(
    lambda _: select(DELIVERIES.c.id, DELIVERIES.c.dedupe_key).where(
        or_(is_among(DELIVERIES.c.id, "ids"), is_among(DELIVERIES.c.dedupe_key, "keys"))
    )
)
_DUPLICATES = DELIVERIES.alias()
_ACCEPTED_ROWS = select(
    DELIVERIES.c.dedupe_key,
    DELIVERIES.c.id,
    DELIVERIES.c.run_id,
    select(func.count())
    .select_from(_DUPLICATES)
    .where(_DUPLICATES.c.duplicate_of == DELIVERIES.c.id)
    .scalar_subquery()
    .label("duplicates"),
).where(is_among(DELIVERIES.c.dedupe_key, "keys"))
