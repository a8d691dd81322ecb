"""A plain connection of the driver in one read-only snapshot, for programs that bring their own SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from storage import errors
from storage.engine import connections, session, urls


@contextmanager
def opened(url: str) -> Iterator[Any]:
    """Open a connection of `sqlite3` or `psycopg`, which sees one state of the store. Raises Unavailable."""
    file = urls.file_path(url)
    with _server(url) if file is None else _file(file) as connection:
        yield connection


@contextmanager
def _file(file: str) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("PRAGMA query_only=ON")
            connection.execute("BEGIN")
            yield connection
    except sqlite3.DatabaseError as error:
        raise errors.Unavailable(f"the database cannot be read: {error}") from error


@contextmanager
def _server(url: str) -> Iterator[Any]:
    # The driver is slow to import, and not needed for an embedded database.
    import psycopg

    try:
        with psycopg.connect(**connections.libpq_arguments(url)) as connection:
            connection.prepare_threshold = None  # a pooler may use another connection next time
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            schema = urls.search_path(urls.parse(url))
            more = {} if schema is None else {"search_path": schema}
            version = connection.info.server_version
            connection.execute(session.settings_statement(version, local=True, more=more).encode())
            yield connection
            connection.rollback()
    except psycopg.Error as error:
        raise errors.Unavailable(f"the database cannot be read: {error.diag.message_primary or error}") from error
