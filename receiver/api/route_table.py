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

_RESOURCES = (submissions, runs, run_events, export, deliveries, jobs, stats, sql, changes, health)
OPERATIONS = (
    *(operation for resource in _RESOURCES for operation in resource.router.operations),
    *public_endpoints.OPERATIONS,
)
