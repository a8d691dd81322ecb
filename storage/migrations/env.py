"""The script that Alembic executes: runs our migrations on the connection in its configuration."""

from typing import Any, Literal

from alembic import context

from storage.engine import column_types
from storage.migrations import schema_version
from storage.tables.schema import metadata

NAMED = {
    id(column_types.Json): "columns.Json",
    id(column_types.Integer64): "columns.Integer64",
    id(column_types.Bytes): "columns.Bytes",
}


def render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Return the name of one of our column types, for a new migration, instead of its definition."""
    if kind == "type" and isinstance(item, column_types.Instant):
        return "columns.Instant()"
    return NAMED.get(id(item), False) if kind == "type" else False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    render_item=render,
    include_object=lambda item, _name, kind, _reflected, _other: schema_version.is_included(
        connection, item, kind
    ),
)
with context.begin_transaction():
    context.run_migrations()
