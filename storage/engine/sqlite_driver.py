"""Statements that go to SQLite's driver as they are, in the transaction of a connection.

SQLAlchemy takes longer for each of them than SQLite. Errors are those that SQLAlchemy would raise.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Connection, exc


def of(connection: Connection) -> sqlite3.Connection:
    """Return the driver's connection."""
    driver: Any = connection.connection.driver_connection
    return cast(sqlite3.Connection, driver)


def error(connection: Connection, sql: str, cause: sqlite3.Error) -> BaseException:
    """Return the error that SQLAlchemy raises for one of the driver, without the values."""
    return exc.DBAPIError.instance(
        sql, None, cause, sqlite3.Error, hide_parameters=True, dialect=connection.dialect
    )


def execute(connection: Connection, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
    """Execute a statement. Raises DBAPIError."""
    try:
        return of(connection).execute(sql, values)
    except sqlite3.Error as cause:
        raise error(connection, sql, cause) from cause


def execute_many(connection: Connection, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    """Execute a statement for each row of values. Raises DBAPIError."""
    try:
        of(connection).executemany(sql, rows)
    except sqlite3.Error as cause:
        raise error(connection, sql, cause) from cause
