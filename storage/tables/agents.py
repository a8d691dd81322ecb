"""The columns of the tables of `storage/models/agents.py`, made from it by `make docs`."""

from sqlalchemy import Column, Table, Text

from storage.engine.column_types import Instant
from storage.tables.declare import metadata

AGENTS = Table(
    "agents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("seen_at", Instant, nullable=False),
)
