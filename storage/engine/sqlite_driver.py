"""Statements that go to SQLite's driver as they are, in the transaction of a connection.

SQLAlchemy takes longer for each of them than SQLite. Errors are those that SQLAlchemy would raise.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, exc


@contextmanager
def of(connection: Connection, sql: str) -> Iterator[sqlite3.Connection]:
    """Return the driver's connection for a statement; its errors in the block become DBAPIError."""
    driver: Any = connection.connection.driver_connection
    try:
        yield driver
    except sqlite3.Error as error:
        raise exc.DBAPIError.instance(
            sql, None, error, sqlite3.Error, hide_parameters=True, dialect=connection.dialect
        ) from error


def execute(connection: Connection, sql: str) -> None:
    """Execute a statement without values or rows. Raises DBAPIError."""
    with of(connection, sql) as driver:
        driver.execute(sql)


def execute_many(connection: Connection, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    """Execute a statement for each row of values. Raises DBAPIError."""
    with of(connection, sql) as driver:
        driver.executemany(sql, rows)
