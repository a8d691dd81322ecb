"""Sums over runs."""

from __future__ import annotations

from receiver import access, endpoint, shapes
from storage import stats

Summing = endpoint.Call[shapes.StatsQuery, None]


async def get_stats(call: Summing) -> endpoint.Answer:
    """Counts, costs, tokens and durations of the runs that the filters choose."""
    rows = await call.database.ask(stats.by, call.query.by, call.query.wanted(call.now))
    lines = [shapes.StatsRow.model_validate(row) for row in rows]
    return endpoint.Answer(200, shapes.Stats(by=call.query.by, stats=lines))


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
