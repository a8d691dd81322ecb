"""The columns of the tables of `storage/models/search.py`, made from it by `make docs`."""

from sqlalchemy import Column, Table, Text

from storage.engine.column_types import Instant, Integer64
from storage.tables.declare import DERIVED, metadata

SEARCH_QUEUE = Table(
    "search_queue",
    metadata,
    Column("run_seq", Integer64, primary_key=True),
    Column("version", Integer64, nullable=False),
    Column("enqueued_at", Instant, nullable=False),
    info=DERIVED,
)

PASSAGES = Table(
    "passages",
    metadata,
    Column("id", Integer64, primary_key=True),
    Column("part", Text, nullable=False),
    Column("step", Integer64),
    Column("start", Integer64, nullable=False),
    Column("stop", Integer64, nullable=False),
    info=DERIVED,
)
