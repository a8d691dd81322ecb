"""The columns of the tables of `storage/models/ledger.py`, made from it by `make docs`."""

from sqlalchemy import Column, Table, Text

from storage.engine.column_types import Bytes, Instant, Integer64, Json
from storage.tables.declare import metadata

LEDGER_ENTRIES = Table(
    "ledger_entries",
    metadata,
    Column("seq", Integer64, primary_key=True),
    Column("id", Text, nullable=False),
    Column("run_id", Text),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("body", Text, nullable=False),
    Column("leaf_index", Integer64),
    Column("leaf_hash", Bytes, nullable=False),
    Column("salts", Json),
)
