"""The worker's heartbeat, and what it looks at between two jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from storage import backlog, dialect, house, jobs, runs, states
from storage.tables import RUNS

#: A heartbeat of a moment so far ahead of now was made by a clock that has gone back since.
ASTRAY = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Outlook:
    """The shared state, and when the next job that nobody holds is due: of each lane of `states`.

    `at` is the time of a database server as it was read, None of an embedded one.
    """

    state: house.State
    upstream_due_at: datetime | None
    unhurried_due_at: datetime | None
    backend_due_at: datetime | None
    stream_due_at: datetime | None
    at: datetime | None = None


def beat(
    connection: Connection,
    claims: Sequence[jobs.Claim],
    until: datetime,
    now: datetime,
    latest: datetime | None,
    upstream_ok_at: datetime | None,
    rate_limit: Mapping[str, str] | None,
    *,
    notifies: bool = False,
    is_shared: bool = False,
) -> timedelta | None:
    """A worker is alive, holds its jobs until `until`, and last heard this of the upstream.

    `notifies` says that it can send notifications.

    Answers how far the clock went back since the heartbeat before, or since `latest`, which it told in between;
    None where it did not. Where the clock is the database's (`is_shared`) its own time is taken for `now`, so that
    a worker whose clock is wrong says nothing of when others are due.
    """
    at = dialect.time(connection) if is_shared else None
    if at is not None:
        now, until, latest = at, at + (until - now), None
    told = [each for each in (house.read(connection).worker_seen_at, latest) if each is not None]
    seen = max(told, default=None)
    gone_back = None if seen is None or seen - now <= ASTRAY else seen - now
    if gone_back is not None:
        _set_back(connection, now, until)
    house.beat(connection, now, upstream_ok_at, rate_limit, notifies)
    jobs.renew(connection, claims, until)
    return gone_back


def _set_back(connection: Connection, now: datetime, until: datetime) -> None:
    """Nothing waits for what the clock said before it was set right: nobody can tell how long it has waited."""
    jobs.set_back(connection, now, until)
    house.set_back(connection, now)
    runs.change(connection, RUNS.c.asked_at > now, {"asked_at": now})


def outlook(connection: Connection, now: datetime) -> Outlook:
    """What there is to do, and whether it may be done."""
    lanes = (states.UPSTREAM_LANE, states.UNHURRIED_LANE, states.BACKEND_LANE, states.STREAM_LANE)
    upstream, unhurried, backend, stream = (backlog.next_due(connection, now, lane) for lane in lanes)
    return Outlook(house.read(connection), upstream, unhurried, backend, stream, dialect.time(connection))
