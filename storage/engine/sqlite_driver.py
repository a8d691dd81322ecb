"""Statements that go to SQLite's driver as they are, in the transaction of a connection.

SQLAlchemy takes longer for each of them than SQLite. Errors are those that SQLAlchemy would raise.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Connection, exc

#: The most values of one statement; SQLite takes 32,766.
MAX_VALUES = 8192


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


def insert(connection: Connection, head: str, rows: Sequence[Sequence[Any]], end: str = "") -> None:
    """Insert rows of one length: `head` is the statement up to VALUES, `end` what follows the values.

    The number of rows of a statement is a power of two, so that there are few different statements. The driver
    releases Python's lock for each: with one statement per row, waiting to get it back would take most of the time
    of a transaction. Raises DBAPIError.
    """
    begin, most = 0, MAX_VALUES // max(1, len(rows[0])) if rows else 0
    while begin < len(rows):
        count = 1 << min(len(rows) - begin, most).bit_length() - 1
        values = [value for row in rows[begin : begin + count] for value in row]
        execute(connection, _statement(head, len(rows[0]), count, end), values)
        begin += count


@functools.lru_cache(512)
def _statement(head: str, width: int, count: int, end: str) -> str:
    marks = f"({', '.join('?' * width)})"
    return f"{head} VALUES {', '.join([marks] * count)}{end}"
