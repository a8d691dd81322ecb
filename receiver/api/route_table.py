"""The JSON API, a file for each resource; `OPERATIONS` holds all operations."""

from receiver.api import (
    changes,
    deliveries,
    export,
    health,
    jobs,
    public_endpoints,
    run_events,
    runs,
    sql,
    stats,
    submissions,
)

OPERATIONS = (
    *submissions.OPERATIONS,
    *runs.OPERATIONS,
    *run_events.OPERATIONS,
    *export.OPERATIONS,
    *deliveries.OPERATIONS,
    *jobs.OPERATIONS,
    *stats.OPERATIONS,
    *sql.OPERATIONS,
    *changes.OPERATIONS,
    *health.OPERATIONS,
    *public_endpoints.OPERATIONS,
)
