"""The SQL that creates the role for users' statements on PostgreSQL, and the views that it reads."""

from __future__ import annotations

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from storage.models import schema
from storage.user_sql.readable_columns import HIDDEN, ROLE, SCHEMA


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
