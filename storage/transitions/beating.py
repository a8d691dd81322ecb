"""The worker's heartbeat, and what it looks at between two jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from storage import house, jobs


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


def outlook(connection: Connection, now: datetime) -> tuple[house.State, datetime | None]:
    """The shared state, and when the next job that nobody holds is due."""
    return house.read(connection), jobs.next_due(connection, now)
