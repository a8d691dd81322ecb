"""Statements that go to SQLite's driver as they are, in the transaction of a connection.

SQLAlchemy takes longer for each of them than SQLite. Errors are those that SQLAlchemy would raise.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, exc


def fetch_all(connection: Connection, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Execute a statement and return its rows. Raises DBAPIError."""
    with _raised(connection, sql):
        found: list[tuple[Any, ...]] = _driver(connection).execute(sql, values).fetchall()
    return found


def execute_many(connection: Connection, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    """Execute a statement for each row of values. Raises DBAPIError."""
    with _raised(connection, sql):
        _driver(connection).executemany(sql, rows)


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


@contextmanager
def _raised(connection: Connection, sql: str) -> Iterator[None]:
    """Turn an error of the driver into the one of SQLAlchemy, without the values."""
    try:
        yield
    except sqlite3.Error as error:
        raise exc.DBAPIError.instance(
            sql, None, error, sqlite3.Error, hide_parameters=True, dialect=connection.dialect
        ) from error
