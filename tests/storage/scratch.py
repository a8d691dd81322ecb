"""A connection past the door whose writes are gone afterwards: for laws that are tried many times over."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from storage import dialect
from storage.tables import metadata

MEMORY = "sqlite://"


@functools.cache
def _in_memory() -> Engine:
    engine = dialect.engine(MEMORY, readonly=False, connections=1)
    with engine.begin() as connection:
        metadata.create_all(connection)
        dialect.make_words(connection)
    return engine


@contextmanager
def connected(url: str = MEMORY) -> Iterator[Connection]:
    """A connection to an empty database; in memory where none is named."""
    engine = _in_memory() if url == MEMORY else dialect.engine(url, readonly=False, connections=1)
    try:
        with engine.connect() as connection, connection.begin() as transaction:
            yield connection
            transaction.rollback()
    finally:
        if url != MEMORY:
            engine.dispose()
