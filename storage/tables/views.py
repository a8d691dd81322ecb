"""The columns of the tables of `storage/models/views.py`, made from it by `make docs`."""

from sqlalchemy import Boolean, Column, Table, Text, text

from storage.engine.column_types import Instant, Json
from storage.tables.declare import metadata

SAVED_VIEWS = Table(
    "saved_views",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("is_shared", Boolean, nullable=False, default=False, server_default=text("false")),
    Column("question", Text, nullable=False),
    Column("columns", Json),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)
