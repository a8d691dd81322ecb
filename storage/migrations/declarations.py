"""Declarations that the versions of the schema share.

Applied versions are history: what these functions declare must never change, whatever `storage.tables` does.
Columns are written as `column_types.declared` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op

from storage.engine.column_types import declared


def table(
    name: str,
    columns: str,
    unique: tuple[tuple[str, ...], ...] = (),
    checks: Mapping[str, str] | None = None,
) -> None:
    """Create a table; its constraints are named after it and their columns, each check as the mapping says."""
    made, conditions = declared(columns), (checks or {}).items()
    key = (column.name for column in made if column.primary_key)
    op.create_table(
        name,
        *made,
        *(sa.CheckConstraint(condition, name=op.f(f"ck_{name}_{each}")) for each, condition in conditions),
        sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{name}")),
        *(sa.UniqueConstraint(*each, name=op.f("_".join(("uq", name, *each)))) for each in unique),
    )


def add(table: str, columns: str) -> None:
    """Add columns to a table."""
    for column in declared(columns):
        op.add_column(table, column)


def index(table: str, *names: str) -> None:
    """Create an index that is named after the table and the columns."""
    op.create_index("_".join(("ix", table, *names)), table, names)


def partial_index(name: str, table: str, names: list[str], condition: str) -> None:
    """Create an index of the rows that meet the condition."""
    only = sa.text(condition)
    op.create_index(name, table, names, sqlite_where=only, postgresql_where=only)


def is_server() -> bool:
    """Return whether the database is a server's."""
    return bool(op.get_context().dialect.name == "postgresql")


def sort_index(name: str, sql: str, *before: str) -> None:
    """Create an index of runs for a sort order. On a server it names the key, and puts last what has no value."""
    if is_server():
        newest = [sa.text(f"{sql} DESC NULLS LAST"), sa.text("seq DESC")]
        op.create_index(f"ix_runs_{name}_seq", "runs", [*before, *newest])
    else:
        op.create_index(f"ix_runs_{name}", "runs", [*before, sa.text(sql)])
