"""What Alembic runs: our migrations on the connection that we hand it."""

from typing import Any, Literal

from alembic import context

from storage import columns, migrations
from storage.tables import metadata

NAMED = {
    id(columns.Json): "columns.Json",
    id(columns.Integer64): "columns.Integer64",
    id(columns.Bytes): "columns.Bytes",
}


def render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """A new migration names our column types instead of spelling out what they are made of."""
    if kind == "type" and isinstance(item, columns.Instant):
        return "columns.Instant()"
    return NAMED.get(id(item), False) if kind == "type" else False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    render_item=render,
    include_object=lambda item, _name, kind, _reflected, _other: migrations.is_of(connection, item, kind),
)
with context.begin_transaction():
    context.run_migrations()
