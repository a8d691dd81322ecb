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
def _engine(url: str) -> Engine:
    """Return the engine of a database. It is made once, since a property has many examples."""
    engine = connections.engine(url, readonly=False, connections=1)
    if url == MEMORY:
        with engine.begin() as connection:
            metadata.create_all(connection)
            fulltext.create_words_table(connection)
    return engine


@contextmanager
def connected(url: str = MEMORY) -> Iterator[Connection]:
    """Open a connection to an empty database; in memory where none is named."""
    with _engine(url).connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


def close(url: str) -> None:
    """Close the connection to a database."""
    _engine(url).dispose()
