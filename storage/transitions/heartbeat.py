"""The worker's heartbeat, and the state that it reads between two jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from storage import states
from storage.engine import dialect
from storage.repositories import job_counts, jobs, runs, system_state
from storage.tables.runs import RUNS

#: A heartbeat this far ahead of now was written by a clock that has gone back since.
MAX_CLOCK_LEAD = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The shared state, and when the next unleased job of each lane of `states` is due.

    `at` is the time of a database server when it was read, None of an embedded database.
    """

    state: system_state.State
    at: datetime | None
    upstream_due_at: datetime | None
    reserved_due_at: datetime | None
    backend_due_at: datetime | None
    stream_due_at: datetime | None
    local_due_at: datetime | None


def record_heartbeat(
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
    worker: system_state.Worker | None = None,
) -> timedelta | None:
    """Record that a worker is alive, extend its leases to `until`, and store the upstream's last answer.

    `worker` is listed with this heartbeat; `notifies` means that it can send notifications. Return how far the
    clock went back since the previous heartbeat, or since `latest`, a later time that it showed; None where it
    did not. Where the clock is the database's (`is_shared`), its time replaces `now`, so that a worker with a
    wrong clock does not decide when the jobs of others are due.
    """
    at = dialect.server_time(connection) if is_shared else None
    if at is not None:
        now, until, latest = at, at + (until - now), None
    seen_times = filter(None, (system_state.read(connection).worker_seen_at, latest))
    lead = max(seen_times, default=now) - now
    gone_back = lead if lead > MAX_CLOCK_LEAD else None
    if gone_back is not None:
        _clamp_to_clock(connection, now, until)
    system_state.record_heartbeat(connection, now, upstream_ok_at, rate_limit, notifies)
    if worker is not None:
        system_state.record_worker(connection, worker, now)
    jobs.renew(connection, claims, until)
    return gone_back


def _clamp_to_clock(connection: Connection, now: datetime, until: datetime) -> None:
    """Clamp all times of the old clock to `now`, since how long anything has waited is unknown."""
    jobs.clamp_to_clock(connection, now, until)
    system_state.clamp_to_clock(connection, now)
    runs.update(connection, RUNS.c.asked_at > now, {"asked_at": now})


def schedule(connection: Connection, now: datetime) -> Schedule:
    """Return when work is due, and whether it may be done."""
    due = job_counts.next_due(connection, now)
    lanes = states.UPSTREAM_LANE, states.RESERVED_LANE, states.BACKEND_LANE, states.STREAM_LANE, states.LOCAL_LANE
    due_at = [job_counts.earliest(due, lane) for lane in lanes]
    return Schedule(system_state.read(connection), dialect.server_time(connection), *due_at)
