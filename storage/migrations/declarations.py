"""Declarations that the versions of the schema share.

Applied versions are history: what these functions declare must never change, whatever `storage.tables` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from storage.engine import column_types

TEXT, FLAG, INSTANT = sa.Text(), sa.Boolean(), column_types.Instant()
INTEGER, JSON, BYTES = column_types.Integer64, column_types.Json, column_types.Bytes


def columns(kind: Any, *names: str, null: bool = False, default: Any = None) -> list[sa.Column[Any]]:
    """Return columns of one type; `default` is the server's."""
    return [sa.Column(name, kind, server_default=default, nullable=null) for name in names]


def table(
    name: str,
    *groups: list[sa.Column[Any]],
    key: tuple[str, ...] = ("id",),
    unique: tuple[tuple[str, ...], ...] = (),
    checks: Mapping[str, str] | None = None,
) -> None:
    """Create a table; its constraints are named after it and their columns, each check as the mapping says."""
    conditions = (checks or {}).items()
    op.create_table(
        name,
        *(column for group in groups for column in group),
        *(sa.CheckConstraint(condition, name=op.f(f"ck_{name}_{each}")) for each, condition in conditions),
        sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{name}")),
        *(sa.UniqueConstraint(*each, name=op.f("_".join(("uq", name, *each)))) for each in unique),
    )


def add(table: str, added: list[sa.Column[Any]]) -> None:
    """Add columns to a table."""
    for column in added:
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
