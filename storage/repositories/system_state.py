"""Statements about the one row that all workers share (pause, rate limit, heartbeats), and about each worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, and_, delete, literal, or_, select, update

from storage import errors
from storage.engine import dialect, prepared
from storage.engine.column_types import instant
from storage.tables.jobs import SYSTEM_STATE, WORKERS

#: How long a setting holds after the last server with it was seen: longer than an outage of one server.
REMEMBERED = timedelta(days=1)
#: How long a worker is listed after it was last seen.
LISTED = timedelta(hours=1)

T = TypeVar("T", "State", "FollowUps", "CopyStatus")


@dataclass(frozen=True, slots=True)
class State:
    """The shared row. `pause_streak` is 0 while the upstream answers normally."""

    paused_until: datetime | None = None
    pause_reason: str | None = None
    pause_streak: int = 0
    rate_limit: Mapping[str, str] | None = None
    upstream_ok_at: datetime | None = None
    worker_seen_at: datetime | None = None
    swept_at: datetime | None = None
    notifier_seen_at: datetime | None = None

    def is_paused(self, now: datetime) -> bool:
        """Return whether the upstream must not be asked at `now`."""
        return self.paused_until is not None and self.paused_until > now

    def has_notifier(self, now: datetime, absent: float) -> bool:
        """Return whether a worker that can send notifications was seen within that many seconds."""
        return self.notifier_seen_at is not None and now - self.notifier_seen_at <= timedelta(seconds=absent)


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker: the owner of its leases, its machine and process, its release, and when it began."""

    id: str
    name: str
    version: str
    began_at: datetime


@dataclass(frozen=True, slots=True)
class SeenWorker(Worker):
    """A row of `workers`."""

    seen_at: datetime


@dataclass(frozen=True, slots=True)
class SweepPosition:
    """Where an interrupted sweep continues: behind which run, when it began, and how far back it came.

    `all_handled` is whether every run that it saw could be handled.
    """

    cursor: str
    began_at: datetime
    reached_at: datetime | None
    all_handled: bool


@dataclass(frozen=True, slots=True)
class FollowUps:
    """The follow-ups of an end: whether the backend is notified, and whether the stream's events are captured."""

    notifies: bool = False
    captures: bool = False


@dataclass(frozen=True, slots=True)
class CopyStatus:
    """Whether this is the original store: when it was restored from a copy, made as a copy, or where it moved."""

    restored_at: datetime | None = None
    copied_at: datetime | None = None
    moved_to: str | None = None


def read(connection: Connection) -> State:
    """Return the shared state; the initial one before the first write."""
    return _load(connection, State)


def pause(connection: Connection, until: datetime, reason: str, now: datetime) -> None:
    """Stop all requests to the upstream until `until`. Within a pause, only its end may move, to a later time."""
    _ensure(connection)
    row = SYSTEM_STATE.c
    renewed = update(SYSTEM_STATE).where(or_(row.paused_until.is_(None), row.paused_until <= instant(now)))
    values = {"paused_until": until, "pause_reason": reason, "pause_streak": row.pause_streak + 1}
    if not connection.execute(renewed.values(values)).rowcount:
        connection.execute(update(SYSTEM_STATE).where(row.paused_until < until).values(paused_until=until))


def resume(connection: Connection, now: datetime) -> bool:
    """End the streak of pauses after an answer of the upstream; return whether there was a streak.

    A running pause lasts to its end: the answer may belong to a request from before it.
    """
    over = {"paused_until": None, "pause_reason": None, "pause_streak": 0, "upstream_ok_at": now}
    ended = and_(SYSTEM_STATE.c.pause_streak > 0, SYSTEM_STATE.c.paused_until <= instant(now))
    return connection.execute(update(SYSTEM_STATE).where(ended).values(over)).rowcount > 0


def record_heartbeat(
    connection: Connection,
    now: datetime,
    upstream_ok_at: datetime | None = None,
    rate_limit: Mapping[str, str] | None = None,
    notifies: bool = False,
) -> None:
    """Record a worker's heartbeat, with what it last learned of the upstream, if anything.

    `notifies` says that this worker can send notifications.
    """
    known = {
        "worker_seen_at": now,
        "upstream_ok_at": upstream_ok_at,
        "rate_limit": None if rate_limit is None else dict(rate_limit),
        "notifier_seen_at": now if notifies else None,
    }
    _set(connection, {name: value for name, value in known.items() if value is not None})


def record_worker(connection: Connection, worker: Worker, now: datetime) -> None:
    """Record that a worker was seen at `now`, and forget those that were not seen for LISTED."""
    row = {each.name: getattr(worker, each.name) for each in fields(Worker)} | {"seen_at": now}
    seen = dialect.insert(connection, WORKERS).values(row)
    connection.execute(seen.on_conflict_do_update(index_elements=["id"], set_={"seen_at": now}))
    connection.execute(delete(WORKERS).where(WORKERS.c.seen_at < instant(now - LISTED)))


def remove_worker(connection: Connection, worker_id: str) -> None:
    """Forget a worker that stops."""
    connection.execute(delete(WORKERS).where(WORKERS.c.id == worker_id))


def workers(connection: Connection, most: int = 50) -> list[SeenWorker]:
    """Return the workers that were seen lately, the newest first."""
    columns = (WORKERS.c[each.name] for each in fields(SeenWorker))
    newest = select(*columns).order_by(WORKERS.c.began_at.desc(), WORKERS.c.id).limit(most)
    return [SeenWorker(*row) for row in connection.execute(newest)]


def clamp_to_clock(connection: Connection, now: datetime) -> None:
    """Adapt the row to a clock that went back: no pause and no webhook lease lasts beyond `now`."""
    connection.execute(update(WORKERS).where(WORKERS.c.seen_at > instant(now)).values(seen_at=now))
    for each in (SYSTEM_STATE.c.paused_until, SYSTEM_STATE.c.webhooks_until):
        connection.execute(update(SYSTEM_STATE).where(each > instant(now)).values({each: now}))


def lease_webhooks(connection: Connection, now: datetime, length: timedelta) -> int | None:
    """Lease the right to change our endpoint for platform events upstream; return the fence, None if it is taken.

    The time is that of the database where it has one: commands run on machines with clocks of their own.
    """
    _ensure(connection)
    now, row = dialect.server_time(connection) or now, SYSTEM_STATE.c
    free = or_(row.webhooks_until.is_(None), row.webhooks_until <= instant(now))
    values = {"webhooks_fence": row.webhooks_fence + 1, "webhooks_until": now + length}
    leased = update(SYSTEM_STATE).where(free).values(values).returning(row.webhooks_fence)
    return connection.execute(leased).scalar_one_or_none()


def renew_webhooks(connection: Connection, fence: int, now: datetime, length: timedelta) -> bool:
    """Extend that lease; return False where another command has leased it since."""
    until = (dialect.server_time(connection) or now) + length
    leased = update(SYSTEM_STATE).where(SYSTEM_STATE.c.webhooks_fence == fence)
    return connection.execute(leased.values(webhooks_until=until)).rowcount > 0


def free_webhooks(connection: Connection, fence: int) -> None:
    """End that lease, if it is still ours."""
    ours = SYSTEM_STATE.c.webhooks_fence == fence
    connection.execute(update(SYSTEM_STATE).where(ours).values(webhooks_until=None))


def record_sweep(connection: Connection, started: datetime) -> None:
    """Record a complete sweep that began at `started`."""
    _set(connection, {"swept_at": started})


def sweep_position(connection: Connection) -> SweepPosition | None:
    """Return where the interrupted sweep continues; None where the next one starts with the newest run."""
    row = SYSTEM_STATE.c
    chosen = select(row.sweep_cursor, row.sweep_began_at, row.sweep_reached_at, row.sweep_all_handled)
    found = connection.execute(chosen).first()
    return None if found is None or found.sweep_cursor is None else SweepPosition(*found)


def save_sweep_position(connection: Connection, cut: SweepPosition | None) -> None:
    """Store where the sweep continues; None where it is complete or starts over."""
    values: dict[str, object] = {"sweep_cursor": None, "sweep_began_at": None, "sweep_reached_at": None}
    if cut is not None:
        values = {"sweep_cursor": cut.cursor, "sweep_began_at": cut.began_at, "sweep_reached_at": cut.reached_at}
    values["sweep_all_handled"] = cut is not None and cut.all_handled
    _set(connection, values)


def request_follow_ups(connection: Connection, requested: FollowUps, now: datetime, *, alone: bool) -> None:
    """Record which follow-ups the settings of a server request, at its start and while it runs.

    A follow-up that one server wants holds for the deployment, in whatever order the servers start. It is dropped
    when no server that wants it was seen for REMEMBERED, or at once where this server is `alone` on its database.
    """
    _ensure(connection)
    row = SYSTEM_STATE.c
    notifies = (row.notifies, row.notifies_set_at, requested.notifies)
    captures = (row.captures, row.captures_set_at, requested.captures)
    for setting, seen_at, is_wanted in (notifies, captures):
        if is_wanted:
            connection.execute(update(SYSTEM_STATE).values({setting: True, seen_at: now}))
            continue
        # A value that an earlier release has set counts from now on.
        connection.execute(update(SYSTEM_STATE).where(setting, seen_at.is_(None)).values({seen_at: now}))
        is_over = literal(alone) | (seen_at <= instant(now - REMEMBERED))
        connection.execute(update(SYSTEM_STATE).where(is_over).values({setting: False}))


def follow_ups(connection: Connection) -> FollowUps:
    """Return the follow-ups of an end; there are none before the first server was started."""
    return _load(connection, FollowUps)


def copy_status(connection: Connection) -> CopyStatus:
    """Return whether this store is a copy, was restored, or has moved."""
    return _load(connection, CopyStatus)


def require_original(connection: Connection) -> bool:
    """Raise DatabaseMoved where another database took over; return whether this copy is not restored yet."""
    found = copy_status(connection)
    if found.moved_to is not None:
        raise errors.DatabaseMoved(
            f"this store was moved to {found.moved_to}: set RUNLEDGER_DATABASE_URL to that one. To return to the "
            "state from before the move, run `runledger restored` on this store"
        )
    return found.copied_at is not None


def mark_restored(connection: Connection, now: datetime) -> None:
    """Mark this database as the original store from now on, and end a pause from before."""
    over = {"paused_until": None, "pause_reason": None, "pause_streak": 0, "webhooks_until": None}
    _set(connection, {"restored_at": now, "copied_at": None, "moved_to": None, **over})


def mark_moved(connection: Connection, to: str) -> None:
    """Record that another database, called `to`, took over."""
    _set(connection, {"moved_to": to})


def _set(connection: Connection, values: Mapping[str, object]) -> None:
    _ensure(connection)
    connection.execute(update(SYSTEM_STATE).values(values))


def _ensure(connection: Connection) -> None:
    connection.execute(dialect.insert(connection, SYSTEM_STATE).values(id=1).on_conflict_do_nothing())


def _load(connection: Connection, part: type[T]) -> T:
    """Return the columns that a dataclass has; its defaults before the first write."""
    row = _SELECTS[part].first(connection, {})
    return part() if row is None else part(*row)


def _columns_of(part: type[Any]) -> prepared.Prepared:
    return prepared.Prepared(lambda _: select(*(SYSTEM_STATE.c[each.name] for each in fields(part))))


_SELECTS: dict[type, prepared.Prepared] = {part: _columns_of(part) for part in (State, FollowUps, CopyStatus)}
