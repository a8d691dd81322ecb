"""What anybody's own SQL may read: tables by name, of these all columns but the hidden ones, which read as NULL.

Hidden is what lets somebody in, what opens a digest (salts, and digests without one, by which an erased prompt
could be guessed), and what strangers sent, which may hold anything. Idempotency keys are not: whoever may read
sees them at each run, and they let nobody in.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from storage import tables

#: Hidden columns of each table that can be read.
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
    "ledger_entries": frozenset(),
    "jobs": frozenset(),
    "house": frozenset({"moved_to", "sweep_cursor"}),
    "notifications": frozenset({"body"}),
    "webhook_endpoints": frozenset(),
    "backfills": frozenset({"cursor"}),
    "unknown_runs": frozenset(),
    "passages": frozenset(),
    "search_queue": frozenset(),
    "rollup_models": frozenset(),
    "rollup_agents": frozenset(),
    "rollup_durations": frozenset(),
}
#: Tables of which nothing can be read, not even how many rows there are.
CLOSED = frozenset({"api_keys", "ledger_salts", "webhook_secrets"})

#: The schema of PostgreSQL in which the views are, and the role that reads them.
SCHEMA = ROLE = "runledger_sql"


def columns() -> dict[str, dict[str, bool]]:
    """The columns of each readable table in order, each with whether it is shown."""
    return {
        name: {column.name: column.name not in hidden for column in tables.metadata.tables[name].columns}
        for name, hidden in HIDDEN.items()
    }


def views() -> str:
    """The statements that make the views on PostgreSQL: the same names as the tables, what is hidden as NULL."""
    return "\n".join(_view(tables.metadata.tables[name], hidden) for name, hidden in HIDDEN.items())


def role() -> str:
    """All that PostgreSQL is told once, and after each `migrate`, by who owns the tables and may make roles."""
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
    told = (
        f"CAST(NULL AS {kinds[column.name]}) AS {column.name}" if column.name in hidden else column.name
        for column in table.columns
    )
    return f"CREATE VIEW {SCHEMA}.{table.name} AS SELECT\n    " + ",\n    ".join(told) + f"\nFROM {table.name};"
