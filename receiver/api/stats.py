"""Sums over runs."""

from __future__ import annotations

from receiver import access, endpoint, shapes
from storage import stats

Summing = endpoint.Call[shapes.StatsQuery, None]


async def get_stats(call: Summing) -> endpoint.Answer:
    """Counts, costs, tokens and durations of the runs that the filters choose."""
    found = await call.database.ask(stats.find, call.query.grouping, call.query.wanted(call.now))
    return endpoint.Answer(200, shapes.Stats.model_validate(found))


OPERATIONS = (
    endpoint.Operation(
        "GET",
        "/v1/stats",
        "Sums over runs",
        get_stats,
        {200: shapes.Stats},
        access.Scope.READ,
        query=shapes.StatsQuery,
        tag="stats",
    ),
)
