"""Statements about the one row that all workers obey: the shared pause, the rate limit, who was last seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, or_, select, update

from storage import dialect
from storage.columns import instant
from storage.tables import HOUSE


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

    def is_paused(self, now: datetime) -> bool:
        """Whether nothing may be asked of the upstream at `now`."""
        return self.paused_until is not None and self.paused_until > now


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
) -> None:
    """A worker is alive; with what it last heard of the upstream, where it heard anything."""
    _ensure(connection)
    values: dict[str, object] = {"worker_seen_at": now}
    if upstream_ok_at is not None:
        values["upstream_ok_at"] = upstream_ok_at
    if rate_limit is not None:
        values["rate_limit"] = dict(rate_limit)
    connection.execute(update(HOUSE).values(values))


def set_back(connection: Connection, now: datetime) -> None:
    """No pause ends after `now`."""
    connection.execute(update(HOUSE).where(HOUSE.c.paused_until > instant(now)).values(paused_until=now))


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


def follow(connection: Connection, wanted: Follows) -> None:
    """From here on this follows the end of a run: for the server at its start, out of its settings."""
    _ensure(connection)
    connection.execute(update(HOUSE).values(notifies=wanted.notifies, captures=wanted.captures))


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
    over = {"paused_until": None, "pause_reason": None, "pause_streak": 0}
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
)
