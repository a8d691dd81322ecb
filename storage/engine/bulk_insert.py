"""Inserts of many rows into one table, which the driver of an embedded database gets as they are.

SQLAlchemy builds each execution of an INSERT anew, which takes longer than the database needs for a row.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, Table

from storage.engine import dialect

#: A row: the values of columns by their names.
Row = Mapping[str, Any]


def insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows, all of which have the columns of the first one. Raises IntegrityError where one conflicts."""
    if rows and dialect.is_embedded(connection):
        statement = _statement(connection.dialect, table, tuple(rows[0]))
        connection.exec_driver_sql(statement.sql, [statement.values(row) for row in rows])
    elif rows:
        connection.execute(table.insert(), list(rows))


class _Statement:
    """An INSERT of these columns; the others get their default of the database."""

    def __init__(self, on: Dialect, table: Table, names: tuple[str, ...]) -> None:
        quote = on.identifier_preparer.quote
        columns, places = ", ".join(map(quote, names)), ", ".join("?" * len(names))
        self.sql = f"INSERT INTO {quote(table.name)} ({columns}) VALUES ({places})"
        #: Each column with the function that turns its values into what the driver takes.
        self._columns = [(name, table.c[name].type.dialect_impl(on).bind_processor(on)) for name in names]

    def values(self, row: Row) -> tuple[Any, ...]:
        """Return the parameters for a row."""
        return tuple([row[name] if convert is None else convert(row[name]) for name, convert in self._columns])


@functools.lru_cache(256)
def _statement(on: Dialect, table: Table, names: tuple[str, ...]) -> _Statement:
    return _Statement(on, table, names)
