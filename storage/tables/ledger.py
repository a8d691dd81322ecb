"""The columns of the tables of `storage/models/ledger.py`, made from it by `make docs`."""

from sqlalchemy import Boolean, Column, Table, Text, text

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

LEDGER_NODES = Table(
    "ledger_nodes",
    metadata,
    Column("row", Integer64, primary_key=True),
    Column("position", Integer64, primary_key=True),
    Column("hash", Bytes, nullable=False),
)

LEDGER_CHECKPOINTS = Table(
    "ledger_checkpoints",
    metadata,
    Column("size", Integer64, primary_key=True),
    Column("root", Bytes, nullable=False),
    Column("note", Text, nullable=False),
    Column("signed_at", Instant, nullable=False),
)

LEDGER_COSIGNATURES = Table(
    "ledger_cosignatures",
    metadata,
    Column("size", Integer64, primary_key=True),
    Column("witness", Text, primary_key=True),
    Column("line", Text, nullable=False),
    Column("received_at", Instant, nullable=False),
)

LEDGER_REPORTS = Table(
    "ledger_reports",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("origin", Text, nullable=False),
    Column("size", Integer64),
    Column("reached_at", Instant),
    Column("problem", Text),
    Column("since", Instant),
    Column("halts", Boolean, nullable=False, default=False, server_default=text("false")),
)

COMPLETENESS_REPORTS = Table(
    "completeness_reports",
    metadata,
    Column("id", Text, primary_key=True),
    Column("checked_at", Instant, nullable=False),
    Column("body", Text, nullable=False),
)
