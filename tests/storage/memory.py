"""A database in memory without the door: for laws that are tried many times over."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from storage import dialect
from storage.tables import metadata


@functools.cache
def _engine() -> Engine:
    engine = dialect.engine("sqlite://", readonly=False, connections=1)
    with engine.begin() as connection:
        metadata.create_all(connection)
    return engine


@contextmanager
def scratch() -> Iterator[Connection]:
    """An empty database; what is written is gone afterwards."""
    with _engine().connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()
