"""A connection past the writer whose writes are rolled back: for properties with many examples."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from storage.engine import connections
from storage.models.schema import metadata
from storage.search import fulltext

MEMORY = "sqlite://"


@functools.cache
def _in_memory() -> Engine:
    engine = connections.engine(MEMORY, readonly=False, connections=1)
    with engine.begin() as connection:
        metadata.create_all(connection)
        fulltext.create_words_table(connection)
    return engine


@contextmanager
def connected(url: str = MEMORY) -> Iterator[Connection]:
    """Open a connection to an empty database; in memory where none is named."""
    engine = _in_memory() if url == MEMORY else connections.engine(url, readonly=False, connections=1)
    try:
        with engine.connect() as connection, connection.begin() as transaction:
            yield connection
            transaction.rollback()
    finally:
        if url != MEMORY:
            engine.dispose()
