"""Statements about the one row that all workers obey: the shared pause, the rate limit, who was last seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, literal, or_, select, update

from storage import dialect
from storage.columns import instant
from storage.tables import HOUSE

#: How long the deployment does what no server that is seen wants any more: longer than an outage of one.
REMEMBERED = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class State:
    """The row as it stands. `pause_streak` is 0 while the upstream answers as it should."""

    paused_until: datetime | None = None
    pause_reason: str | None = None
    pause_streak: int = 0
    rate_limit: Mapping[str, str] | None = None
    upstream_ok_at: datetime | None = None
    worker_seen_at: datetime | None = None
    swept_at: datetime | None = None
    notifier_seen_at: datetime | None = None

    def is_paused(self, now: datetime) -> bool:
        """Whether nothing may be asked of the upstream at `now`."""
        return self.paused_until is not None and self.paused_until > now

    def has_notifier(self, now: datetime, absent: float) -> bool:
        """Return whether a worker that can send notifications was seen within so many seconds."""
        return self.notifier_seen_at is not None and now - self.notifier_seen_at <= timedelta(seconds=absent)


@dataclass(frozen=True, slots=True)
class Cut:
    """A sweep that was cut: the run behind which it goes on, when it began, and how far back it came.

    `met`: whether all that it saw could be dealt with.
    """

    cursor: str
    began_at: datetime
    reached_at: datetime | None
    met: bool


@dataclass(frozen=True, slots=True)
class Follows:
    """What follows the end of a run: the backend is told, the events of its stream are captured."""

    notifies: bool = False
    captures: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """Whether this is the store itself: when it was restored from a copy, made as one, or where it went."""

    restored_at: datetime | None = None
    copied_at: datetime | None = None
    moved_to: str | None = None


def read(connection: Connection) -> State:
    """The shared state; the untouched one where nothing was written yet."""
    row = connection.execute(_READ).first()
    return State() if row is None else State(*row)


def pause(connection: Connection, until: datetime, reason: str, now: datetime) -> None:
    """Stops all asking until `until`. Within a pause that already holds only the end may move, later."""
    _ensure(connection)
    row = HOUSE.c
    renewed = update(HOUSE).where(or_(row.paused_until.is_(None), row.paused_until <= instant(now)))
    if connection.execute(
        renewed.values(paused_until=until, pause_reason=reason, pause_streak=row.pause_streak + 1)
    ).rowcount:
        return
    connection.execute(update(HOUSE).where(row.paused_until < until).values(paused_until=until))


def resume(connection: Connection, now: datetime) -> bool:
    """The upstream answers: the streak of pauses is over; whether there was one.

    A pause that still holds is obeyed to its end: the answer may be to a question from before it.
    """
    over = {"paused_until": None, "pause_reason": None, "pause_streak": 0, "upstream_ok_at": now}
    ended = and_(HOUSE.c.pause_streak > 0, HOUSE.c.paused_until <= instant(now))
    return connection.execute(update(HOUSE).where(ended).values(over)).rowcount > 0


def beat(
    connection: Connection,
    now: datetime,
    upstream_ok_at: datetime | None = None,
    rate_limit: Mapping[str, str] | None = None,
    notifies: bool = False,
) -> None:
    """A worker is alive; with what it last heard of the upstream, where it heard anything.

    `notifies` says that it can send notifications.
    """
    _ensure(connection)
    values: dict[str, object] = {"worker_seen_at": now}
    if upstream_ok_at is not None:
        values["upstream_ok_at"] = upstream_ok_at
    if rate_limit is not None:
        values["rate_limit"] = dict(rate_limit)
    if notifies:
        values["notifier_seen_at"] = now
    connection.execute(update(HOUSE).values(values))


def set_back(connection: Connection, now: datetime) -> None:
    """No pause ends after `now`, nor the lease on webhooks."""
    for each in (HOUSE.c.paused_until, HOUSE.c.webhooks_until):
        connection.execute(update(HOUSE).where(each > instant(now)).values({each: now}))


def lease_webhooks(connection: Connection, now: datetime, length: timedelta) -> int | None:
    """Lease the right to change our endpoint for platform events upstream; the fence, None while others have it.

    The time is that of the database where it has one: commands run on machines with clocks of their own.
    """
    _ensure(connection)
    now, row = dialect.time(connection) or now, HOUSE.c
    free = or_(row.webhooks_until.is_(None), row.webhooks_until <= instant(now))
    leased = update(HOUSE).where(free).values(webhooks_fence=row.webhooks_fence + 1, webhooks_until=now + length)
    return connection.execute(leased.returning(row.webhooks_fence)).scalar_one_or_none()


def renew_webhooks(connection: Connection, fence: int, now: datetime, length: timedelta) -> bool:
    """Prolong that lease; False where another command has leased it since."""
    until = (dialect.time(connection) or now) + length
    ours = update(HOUSE).where(HOUSE.c.webhooks_fence == fence)
    return connection.execute(ours.values(webhooks_until=until)).rowcount > 0


def free_webhooks(connection: Connection, fence: int) -> None:
    """End that lease, if it is still ours."""
    connection.execute(update(HOUSE).where(HOUSE.c.webhooks_fence == fence).values(webhooks_until=None))


def swept(connection: Connection, started: datetime) -> None:
    """A sweep that began at `started` went through all it had to."""
    _ensure(connection)
    connection.execute(update(HOUSE).values(swept_at=started))


def cut(connection: Connection) -> Cut | None:
    """The sweep that goes on where it was cut; None where the next one begins at the top."""
    row = HOUSE.c
    chosen = select(row.sweep_cursor, row.sweep_began_at, row.sweep_reached_at, row.sweep_met)
    found = connection.execute(chosen).first()
    return None if found is None or found.sweep_cursor is None else Cut(*found)


def leave_sweep(connection: Connection, cut: Cut | None) -> None:
    """Notes where the sweep goes on; None where it came to its end, or begins anew."""
    _ensure(connection)
    values: dict[str, object] = {"sweep_cursor": None, "sweep_began_at": None, "sweep_reached_at": None}
    if cut is not None:
        values = {"sweep_cursor": cut.cursor, "sweep_began_at": cut.began_at, "sweep_reached_at": cut.reached_at}
    values["sweep_met"] = cut is not None and cut.met
    connection.execute(update(HOUSE).values(values))


def follow(connection: Connection, wanted: Follows, now: datetime, *, alone: bool) -> None:
    """Record what a server wants to follow the end of a run: at its start, and while it runs.

    What one server wants holds for the deployment, in whichever order they start. It ends once no server that
    wants it was seen for the time of REMEMBERED, or at once where this one is `alone` on its database.
    """
    _ensure(connection)
    row = HOUSE.c
    notifies = (row.notifies, row.notifies_set_at, wanted.notifies)
    captures = (row.captures, row.captures_set_at, wanted.captures)
    for holds, seen_at, is_wanted in (notifies, captures):
        if is_wanted:
            connection.execute(update(HOUSE).values({holds: True, seen_at: now}))
            continue
        # What an earlier release has set is remembered from here on.
        connection.execute(update(HOUSE).where(holds, seen_at.is_(None)).values({seen_at: now}))
        is_over = literal(alone) | (seen_at <= instant(now - REMEMBERED))
        connection.execute(update(HOUSE).where(is_over).values({holds: False}))


def follows(connection: Connection) -> Follows:
    """What follows the end of a run now; nothing where no server was ever started."""
    row = connection.execute(select(HOUSE.c.notifies, HOUSE.c.captures)).first()
    return Follows() if row is None else Follows(*row)


def origin(connection: Connection) -> Origin:
    """What the store knows of copies of it; nothing where there never was one."""
    row = connection.execute(select(HOUSE.c.restored_at, HOUSE.c.copied_at, HOUSE.c.moved_to)).first()
    return Origin() if row is None else Origin(*row)


def restored(connection: Connection, now: datetime) -> None:
    """From here on this is the store itself, whatever it was before; a pause that held then is over."""
    _ensure(connection)
    over = {"paused_until": None, "pause_reason": None, "pause_streak": 0, "webhooks_until": None}
    connection.execute(update(HOUSE).values(restored_at=now, copied_at=None, moved_to=None, **over))


def moved(connection: Connection, to: str) -> None:
    """Another database took over, called `to`."""
    _ensure(connection)
    connection.execute(update(HOUSE).values(moved_to=to))


def _ensure(connection: Connection) -> None:
    connection.execute(dialect.insert(connection, HOUSE).values(id=1).on_conflict_do_nothing())


_READ = select(
    HOUSE.c.paused_until,
    HOUSE.c.pause_reason,
    HOUSE.c.pause_streak,
    HOUSE.c.rate_limit,
    HOUSE.c.upstream_ok_at,
    HOUSE.c.worker_seen_at,
    HOUSE.c.swept_at,
    HOUSE.c.notifier_seen_at,
)
