"""Statements about deliveries: what came to the public endpoints, and what became of it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from storage import bounds, cursors, dialect, merkle, states
from storage.tables import DELIVERIES, REJECTIONS

#: Duplicates of one key that are kept as rows; later ones raise the accepted row's `repeats`.
ROWS_PER_KEY = 20
#: The columns that hold content, as they are once it was removed.
BLANK: Mapping[str, Any] = {"body": b"", "body_sha256": "", "headers": None}


@dataclass(frozen=True, slots=True)
class Delivery:
    """A verified request, before it is committed.

    `run_id` is the run of ours that its token names; `upstream_id` the upstream's run that its body most likely
    names, `also_named` what else in it may be such an id.
    `dedupe_key` is the envelope's id for events, the run for watcher callbacks.
    """

    id: str
    road: states.Road
    dedupe_key: str
    received_at: datetime
    headers: Mapping[str, str]
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
    digests: tuple[merkle.Sealed, ...] = ()
    #: Bytes that were sent, where `body` is the beginning of them; `body_sha256` is over all.
    whole_size: int | None = None

    @property
    def size(self) -> int:
        """Bytes that were sent."""
        return len(self.body) if self.whole_size is None else self.whole_size

    @property
    def weight(self) -> int:
        """Bytes, for the bounds of a group."""
        return len(self.body) + 1024


@dataclass(frozen=True, slots=True)
class Rejected:
    """A request that did not verify; `reason` is the cause by which rejections are counted."""

    id: str
    road: states.Road
    received_at: datetime
    headers: Mapping[str, str]
    body: bytes
    body_sha256: str
    size: int
    reason: str
    remote_addr: str | None = None

    @property
    def weight(self) -> int:
        """Bytes that are kept, roughly."""
        return len(self.body) + sum(len(name) + len(value) for name, value in self.headers.items()) + 512


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the sender is told after the commit: the id of the row that stands for its request."""

    id: str
    verdict: states.Verdict
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A row of `deliveries`; `body` is None in lists."""

    seq: int
    id: str
    road: states.Road
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
    """A page of deliveries, newest first."""

    run_id: str | None = None
    verdict: states.Verdict | None = None
    road: states.Road | None = None
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """The accepted row of a dedupe key, and how many duplicates of it are rows."""

    id: str
    run_id: str | None
    duplicates: int


def event_key(event_id: str) -> str:
    """The dedupe key of a platform event: the id of its envelope."""
    return f"event:{event_id}"


def nameless_key(delivery_id: str) -> str:
    """The same where the envelope has no id: that of its delivery, or the hash of one that no index takes."""
    if len(delivery_id) > bounds.KEY or not (delivery_id.isascii() and delivery_id.isprintable()):
        delivery_id = f"sha256:{hashlib.sha256(delivery_id.encode()).hexdigest()}"
    return f"delivery:{delivery_id}"


def insert_accepted(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Inserts rows with their dedupe keys; answers the ids of those that were first of their key."""
    statement = dialect.insert(connection, DELIVERIES).on_conflict_do_nothing().returning(DELIVERIES.c.id)
    return set(connection.execute(statement, list(rows)).scalars())


def hold(connection: Connection, keys: Collection[str]) -> None:
    """Whoever counts duplicates of these keys does so after one another, until their transactions end."""
    if keys:
        connection.execute(_HELD, {"keys": list(keys)})


def holders(connection: Connection, keys: Sequence[str]) -> dict[str, Holder]:
    """The accepted row of each key that has one."""
    found = connection.execute(_HOLDERS, {"keys": list(keys)})
    return {row.dedupe_key: Holder(row.id, row.run_id, row.duplicates) for row in found}


def claim_unlinked(connection: Connection, upstream_id: str, run_id: str) -> list[states.Road]:
    """Gives a run the deliveries that named it before we knew its upstream id; their roads, first come first."""
    which = (DELIVERIES.c.upstream_id == upstream_id, DELIVERIES.c.run_id.is_(None))
    roads = connection.execute(select(DELIVERIES.c.road).where(*which).order_by(DELIVERIES.c.seq)).scalars().all()
    if roads:
        connection.execute(update(DELIVERIES).where(*which).values(run_id=run_id))
    return [states.read(states.Road, road) for road in roads]


def insert_duplicates(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Inserts duplicates, which hold no key; answers the ids of those that are new."""
    return insert_accepted(connection, rows) if rows else set()


def repeat(connection: Connection, holder_id: str, times: int, now: datetime) -> None:
    """Counts duplicates that get no row of their own."""
    which = DELIVERIES.c.id == holder_id
    raised = {"repeats": DELIVERIES.c.repeats + times, "last_repeat_at": now}
    connection.execute(update(DELIVERIES).where(which).values(raised))


def row(delivery: Delivery, **changes: Any) -> dict[str, Any]:
    """The columns of a delivery that was accepted, or as `changes` say."""
    return {
        "id": delivery.id,
        "road": delivery.road.value,
        "run_id": delivery.run_id,
        "upstream_id": delivery.upstream_id,
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "received_at": delivery.received_at,
        "verdict": states.Verdict.ACCEPTED.value,
        "reason": delivery.reason,
        "duplicate_of": None,
        "remote_addr": delivery.remote_addr,
        "headers": dict(delivery.headers),
        "body": delivery.body,
        "body_sha256": delivery.body_sha256,
        "size": delivery.size,
        "secret_used": delivery.secret_used,
        "dedupe_key": delivery.dedupe_key,
        **changes,
    }


def insert_rejected(connection: Connection, rejected: Sequence[Rejected]) -> None:
    """Keeps requests that did not verify."""
    rows = [
        {each.name: getattr(one, each.name) for each in fields(one)}
        | {"headers": dict(one.headers), "verdict": states.Verdict.REJECTED.value}
        for one in rejected
    ]
    if rows:
        connection.execute(DELIVERIES.insert(), rows)


def count_rejections(connection: Connection, hour: datetime, counts: Mapping[str, int]) -> None:
    """Adds to the counts of an hour, by cause."""
    statement = dialect.insert(connection, REJECTIONS)
    raised = {"count": REJECTIONS.c["count"] + statement.excluded.count, "counted": False}
    upsert = statement.on_conflict_do_update(index_elements=["hour", "cause"], set_=raised)
    rows = [{"hour": hour, "cause": cause, "count": counts[cause]} for cause in sorted(counts)]
    if rows:
        connection.execute(upsert, rows)


def close_hours(connection: Connection, before: datetime) -> dict[datetime, dict[str, int]]:
    """The counts of finished hours that were not told yet; they are marked as told."""
    waiting = update(REJECTIONS).where(REJECTIONS.c.hour < before, REJECTIONS.c.counted.is_(False))
    marked = waiting.values(counted=True).returning(REJECTIONS.c.hour, REJECTIONS.c.cause, REJECTIONS.c["count"])
    told: dict[datetime, dict[str, int]] = {}
    for hour, cause, count in sorted(tuple(row) for row in connection.execute(marked)):
        told.setdefault(hour, {})[cause] = count
    return told


def find(connection: Connection, delivery_id: str) -> Stored | None:
    """One delivery with its body."""
    found = connection.execute(_ROWS.add_columns(DELIVERIES.c.body).where(DELIVERIES.c.id == delivery_id)).first()
    return None if found is None else replace(_stored(found[:-1]), body=found.body)


def page(connection: Connection, query: Query) -> tuple[list[Stored], str | None]:
    """A page of deliveries without bodies, newest first, and the cursor of the next one."""
    which = [
        column == value
        for column, value in (
            (DELIVERIES.c.run_id, query.run_id),
            (DELIVERIES.c.verdict, query.verdict),
            (DELIVERIES.c.road, query.road),
        )
        if value is not None
    ]
    if query.cursor is not None:
        which.append(DELIVERIES.c.seq < cursors.parse(query.cursor, "-received").seq)
    newest = _ROWS.where(*which).order_by(DELIVERIES.c.seq.desc()).limit(query.limit + 1)
    found = [_stored(each) for each in connection.execute(newest)]
    if len(found) <= query.limit:
        return found, None
    return found[: query.limit], str(cursors.Cursor("-received", None, found[query.limit - 1].seq))


def last_seq(connection: Connection) -> int:
    """The newest row of all; 0 before the first."""
    return connection.execute(select(func.max(DELIVERIES.c.seq))).scalar_one() or 0


def verified_of_type(connection: Connection, event_type: str, after: int) -> Stored | None:
    """The first event of a type that verified, with its body, of those that came after the row `after`."""
    is_one = (DELIVERIES.c.event_type == event_type, DELIVERIES.c.verdict != states.Verdict.REJECTED.value)
    newer = select(DELIVERIES.c.id).where(DELIVERIES.c.seq > after, *is_one).order_by(DELIVERIES.c.seq).limit(1)
    found = connection.execute(newer).scalar()
    return None if found is None else find(connection, found)


def verdicts(connection: Connection) -> dict[tuple[str, str], int]:
    """How many requests were received, by road and verdict; repeats count as duplicates."""
    columns = (DELIVERIES.c.road, DELIVERIES.c.verdict)
    counted = select(*columns, func.count(), func.sum(DELIVERIES.c.repeats)).group_by(*columns)
    counts: dict[tuple[str, str], int] = {}
    for road, verdict, lines, repeats in connection.execute(counted):
        counts[road, verdict] = counts.get((road, verdict), 0) + lines
        again = (road, states.Verdict.DUPLICATE.value)
        counts[again] = counts.get(again, 0) + int(repeats or 0)
    return counts


def _stored(values: Any) -> Stored:
    made = Stored(*values)
    road, verdict = states.read(states.Road, made.road), states.read(states.Verdict, made.verdict)
    return replace(made, road=road, verdict=verdict)


_ROWS = select(*(DELIVERIES.c[each.name] for each in fields(Stored) if each.name != "body"))
_HELD = (
    select(DELIVERIES.c.id)
    .where(DELIVERIES.c.dedupe_key.in_(bindparam("keys", expanding=True)))
    .order_by(DELIVERIES.c.dedupe_key)
    .with_for_update()
)
_COPIES = DELIVERIES.alias()
_HOLDERS = select(
    DELIVERIES.c.dedupe_key,
    DELIVERIES.c.id,
    DELIVERIES.c.run_id,
    select(func.count())
    .select_from(_COPIES)
    .where(_COPIES.c.duplicate_of == DELIVERIES.c.id)
    .scalar_subquery()
    .label("duplicates"),
).where(DELIVERIES.c.dedupe_key.in_(bindparam("keys", expanding=True)))
