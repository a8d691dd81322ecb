"""The columns of the tables of `storage/models/rollups.py`, made from it by `make docs`."""

from sqlalchemy import Column, Table, Text

from storage.engine.column_types import Bytes, Integer64
from storage.tables.declare import DERIVED, metadata

ROLLUP_SUMS = Table(
    "rollup_sums",
    metadata,
    Column("dimension", Text, primary_key=True),
    Column("span", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("runs", Integer64, nullable=False),
    Column("cost_micros", Integer64, nullable=False),
    Column("input_tokens", Integer64, nullable=False),
    Column("output_tokens", Integer64, nullable=False),
    Column("timed", Integer64, nullable=False),
    Column("duration_ms", Integer64, nullable=False),
    Column("max_duration_ms", Integer64, nullable=False),
    Column("p50_ms", Integer64),
    Column("p90_ms", Integer64),
    Column("p95_ms", Integer64),
    Column("p99_ms", Integer64),
    Column("histogram", Bytes, nullable=False),
    info=DERIVED,
)
