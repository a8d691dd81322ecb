"""The columns of the tables of `storage/models/deliveries.py`, made from it by `make docs`."""

from sqlalchemy import Boolean, Column, Table, Text, text

from storage.engine.column_types import Bytes, Instant, Integer64, Json
from storage.tables.declare import metadata

DELIVERIES = Table(
    "deliveries",
    metadata,
    Column("seq", Integer64, primary_key=True),
    Column("id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("run_id", Text),
    Column("upstream_id", Text),
    Column("event_id", Text),
    Column("event_type", Text),
    Column("received_at", Instant, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text),
    Column("duplicate_of", Text),
    Column("repeats", Integer64, nullable=False, default=0, server_default="0"),
    Column("last_repeat_at", Instant),
    Column("remote_addr", Text),
    Column("headers", Json),
    Column("body", Bytes, nullable=False),
    Column("body_sha256", Text, nullable=False),
    Column("size", Integer64, nullable=False),
    Column("secret_used", Text),
    Column("dedupe_key", Text),
)

REJECTIONS = Table(
    "rejections",
    metadata,
    Column("hour", Instant, primary_key=True),
    Column("cause", Text, primary_key=True),
    Column("count", Integer64, nullable=False, default=0, server_default="0"),
    Column("counted", Boolean, nullable=False, default=False, server_default=text("false")),
)
