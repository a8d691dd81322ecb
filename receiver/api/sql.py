"""The operation that executes a caller's own SQL, read-only."""

from __future__ import annotations

from receiver import errors
from receiver.schemas import bodies, responses
from receiver.web import operations
from receiver.web.authentication import Scope
from storage.user_sql import statements

Asking = operations.Call[None, bodies.SqlStatement]

router = operations.Router("sql")


@router.operation(
    "POST", "/v1/sql", "Read the store with SQL", {200: responses.SqlResult}, Scope.ADMIN, problems=(403,)
)
async def ask_sql(call: Asking) -> operations.Answer:
    """Execute one statement that reads, where the settings allow it."""
    if call.context.run_sql is None:
        raise errors.SqlDisabled(
            "POST /v1/sql takes no statements unless RUNLEDGER_SQL is on, and on PostgreSQL "
            "RUNLEDGER_SQL_DATABASE_URL names a role for them"
        )
    statement = statements.Statement(call.body.sql, tuple(call.body.parameters), call.body.limit)
    return operations.Answer(200, responses.SqlResult.model_validate(await call.context.run_sql(statement)))
