"""The columns of the tables of `storage/models/rollups.py`, made from it by `make docs`."""

from sqlalchemy import Boolean, Column, Table, Text

from storage.engine.column_types import Integer64
from storage.tables.declare import DERIVED, metadata

ROLLUP_MODELS = Table(
    "rollup_models",
    metadata,
    Column("day", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("created", Boolean, primary_key=True),
    Column("runs", Integer64, nullable=False),
    Column("cost_micros", Integer64, nullable=False),
    Column("input_tokens", Integer64, nullable=False),
    Column("output_tokens", Integer64, nullable=False),
    Column("timed", Integer64, nullable=False),
    Column("duration_ms", Integer64, nullable=False),
    Column("max_duration_ms", Integer64, nullable=False),
    info=DERIVED,
)

ROLLUP_AGENTS = Table(
    "rollup_agents",
    metadata,
    Column("day", Text, primary_key=True),
    Column("agent_id", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("created", Boolean, primary_key=True),
    Column("runs", Integer64, nullable=False),
    Column("cost_micros", Integer64, nullable=False),
    Column("input_tokens", Integer64, nullable=False),
    Column("output_tokens", Integer64, nullable=False),
    Column("timed", Integer64, nullable=False),
    Column("duration_ms", Integer64, nullable=False),
    Column("max_duration_ms", Integer64, nullable=False),
    info=DERIVED,
)

ROLLUP_DURATIONS = Table(
    "rollup_durations",
    metadata,
    Column("dimension", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("month", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("created", Boolean, primary_key=True),
    Column("bucket", Integer64, primary_key=True),
    Column("runs", Integer64, nullable=False),
    info=DERIVED,
)
