"""The worker's heartbeat, and what it looks at between two jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from storage import house, jobs, states


@dataclass(frozen=True, slots=True)
class Outlook:
    """The shared state, and when the next job that nobody holds is due: of each lane of `states`."""

    state: house.State
    upstream_due_at: datetime | None
    backend_due_at: datetime | None
    stream_due_at: datetime | None


def beat(
    connection: Connection,
    claims: Sequence[jobs.Claim],
    until: datetime,
    now: datetime,
    upstream_ok_at: datetime | None,
    rate_limit: Mapping[str, str] | None,
) -> None:
    """A worker is alive, holds its jobs until `until`, and last heard this of the upstream."""
    house.beat(connection, now, upstream_ok_at, rate_limit)
    if claims:
        jobs.renew(connection, claims, until)


def outlook(connection: Connection, now: datetime) -> Outlook:
    """What there is to do, and whether it may be done."""
    lanes = (states.UPSTREAM_LANE, states.BACKEND_LANE, states.STREAM_LANE)
    return Outlook(house.read(connection), *(jobs.next_due(connection, now, lane) for lane in lanes))
