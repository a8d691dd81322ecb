"""Anybody's own SQL, to read."""

from __future__ import annotations

from receiver import access, endpoint, errors, shapes
from storage import sql

Asking = endpoint.Call[None, shapes.Question]


async def ask_sql(call: Asking) -> endpoint.Answer:
    """Carries out one statement that reads, where that is turned on."""
    if call.context.ask_sql is None:
        raise errors.NoSql(
            "POST /v1/sql takes no statements unless RUNLEDGER_SQL is on, and on PostgreSQL "
            "RUNLEDGER_SQL_DATABASE_URL names a role for them"
        )
    asked = sql.Statement(call.body.sql, tuple(call.body.parameters), call.body.limit)
    return endpoint.Answer(200, shapes.Rows.of(await call.context.ask_sql(asked)))


OPERATIONS = (
    endpoint.Operation(
        "POST",
        "/v1/sql",
        "Read with SQL",
        ask_sql,
        {200: shapes.Rows},
        access.Scope.ADMIN,
        body=shapes.Question,
        problems=(403,),
        tag="sql",
    ),
)
