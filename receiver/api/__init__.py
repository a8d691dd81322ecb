"""The JSON API, a file per noun; `OPERATIONS` are all of them."""

from receiver.api import (
    changes,
    deliveries,
    events,
    export,
    health,
    jobs,
    public,
    runs,
    sql,
    stats,
    submissions,
)

OPERATIONS = (
    *submissions.OPERATIONS,
    *runs.OPERATIONS,
    *events.OPERATIONS,
    *export.OPERATIONS,
    *deliveries.OPERATIONS,
    *jobs.OPERATIONS,
    *stats.OPERATIONS,
    *sql.OPERATIONS,
    *changes.OPERATIONS,
    *health.OPERATIONS,
    *public.OPERATIONS,
)

__all__ = ["OPERATIONS"]
