"""Statistics of runs."""

from __future__ import annotations

from receiver.schemas import query_parameters, responses
from receiver.web import authentication, operations
from storage.stats import questions

Summing = operations.Call[query_parameters.StatsQuery, None]

router = operations.Router("stats")


@router.operation("GET", "/v1/stats", "Sums over runs", {200: responses.Stats}, authentication.Scope.READ)
async def get_stats(call: Summing) -> operations.Answer:
    """Answer with counts, costs, tokens and durations of the runs that match the filters."""
    found = await call.database.timed_read(questions.find, call.query.grouping, call.query.expression(call.now))
    return operations.Answer(200, responses.Stats.model_validate(found))
