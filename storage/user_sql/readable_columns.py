"""The tables and columns that users' SQL may read. Hidden columns of these tables read as NULL.

Hidden are columns that give access, that open a digest (salts, and digests without a salt, by which an erased
prompt could be guessed), or that hold input of unknown senders, which may contain anything. Idempotency keys are
not hidden: readers see them at each run, and they give no access.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from storage.tables import schema

#: The readable tables, each with its hidden columns.
HIDDEN: Mapping[str, frozenset[str]] = {
    "runs": frozenset({"request_sha256"}),
    "run_tags": frozenset(),
    "run_tools": frozenset(),
    "run_steps": frozenset({"salt"}),
    "run_usage": frozenset({"salt"}),
    "run_documents": frozenset({"body", "body_sha256"}),
    "run_events": frozenset(),
    "upstream_links": frozenset(),
    "deliveries": frozenset({"headers", "body", "body_sha256", "dedupe_key"}),
    "rejections": frozenset(),
    "ledger_entries": frozenset({"salts"}),
    "jobs": frozenset(),
    "system_state": frozenset({"moved_to", "sweep_cursor"}),
    "notifications": frozenset({"body"}),
    "webhook_endpoints": frozenset(),
    "backfills": frozenset({"cursor"}),
    "unknown_runs": frozenset(),
    "passages": frozenset(),
    "search_queue": frozenset(),
    "rollup_sums": frozenset(),
}
#: Tables that cannot be read at all, not even the number of their rows.
CLOSED = frozenset({"api_keys", "webhook_secrets"})

#: The PostgreSQL schema of the views, and the role that reads them.
SCHEMA = ROLE = "runledger_sql"


def columns() -> dict[str, dict[str, bool]]:
    """Return the columns of each readable table in order; the value is True for a visible column."""
    return {
        name: {column.name: column.name not in hidden for column in schema.metadata.tables[name].columns}
        for name, hidden in HIDDEN.items()
    }


def views() -> str:
    """Return the SQL that creates the PostgreSQL views: named as the tables, hidden columns as NULL."""
    return "\n".join(_view(schema.metadata.tables[name], hidden) for name, hidden in HIDDEN.items())


def role() -> str:
    """Return the SQL that creates the role and its views.

    The owner of the tables, with the right to create roles, runs it once and again after each `migrate`.
    """
    return f"""DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
        CREATE ROLE {ROLE} LOGIN CONNECTION LIMIT 10;
    END IF;
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO {ROLE}', current_database());
END $$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
ALTER ROLE {ROLE} SET search_path = {SCHEMA};
ALTER ROLE {ROLE} SET default_transaction_read_only = on;
ALTER ROLE {ROLE} SET statement_timeout = '10s';
ALTER ROLE {ROLE} SET work_mem = '16MB';
ALTER ROLE {ROLE} SET max_parallel_workers_per_gather = 0;
DROP SCHEMA IF EXISTS {SCHEMA} CASCADE;
CREATE SCHEMA {SCHEMA};
{views()}
GRANT USAGE ON SCHEMA {SCHEMA} TO {ROLE};
GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {ROLE};
"""


def _view(table: Table, hidden: frozenset[str]) -> str:
    kinds = {column.name: column.type.compile(postgresql.dialect()) for column in table.columns}  # type: ignore[no-untyped-call]
    selects = (
        f"CAST(NULL AS {kinds[column.name]}) AS {column.name}" if column.name in hidden else column.name
        for column in table.columns
    )
    return f"CREATE VIEW {SCHEMA}.{table.name} AS SELECT\n    " + ",\n    ".join(selects) + f"\nFROM {table.name};"
