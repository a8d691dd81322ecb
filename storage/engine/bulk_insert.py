"""Inserts of many rows into one table by a statement whose text never changes.

SQLAlchemy builds each execution of an INSERT anew, which takes longer than the database needs for a row. Here the
driver gets the rows as they are: on SQLite as lists of values, on PostgreSQL as an array for each column.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, Table

from storage.engine import dialect, sqlite_driver

#: A row: the values of columns by their names.
Row = Mapping[str, Any]


def insert(connection: Connection, table: Table, rows: Sequence[Row], end: str = "") -> None:
    """Insert rows, all of which have the columns of the first one; `end` is appended to the statement.

    Raises IntegrityError where a row conflicts, unless `end` has an ON CONFLICT.
    """
    if rows and dialect.is_embedded(connection):
        statement = _statement(connection.dialect, table, tuple(rows[0]))
        sqlite_driver.insert(connection, statement.head, list(map(statement.values, rows)), end)
    elif rows:
        _insert_arrays(connection, table, rows, end)


def insert_new(connection: Connection, table: Table, rows: Sequence[Row]) -> dict[str, int]:
    """Insert rows on PostgreSQL, and return the seq of each by its id, without those that conflict with a row."""
    inserted = _insert_arrays(connection, table, rows, " ON CONFLICT DO NOTHING RETURNING id, seq")
    return {row.id: row.seq for row in inserted}


def _insert_arrays(connection: Connection, table: Table, rows: Sequence[Row], end: str = "") -> Any:
    statement = _statement(connection.dialect, table, tuple(rows[0]))
    columns = zip(*map(statement.values, rows), strict=True)
    arrays = {f"a{at}": list(values) for at, values in enumerate(columns)}
    return connection.exec_driver_sql(statement.by_arrays + end, arrays)


class _Statement:
    """An INSERT of these columns; the others get their default of the database."""

    def __init__(self, on: Dialect, table: Table, names: tuple[str, ...]) -> None:
        quote = on.identifier_preparer.quote
        types = [table.c[name].type for name in names]
        self.head = f"INSERT INTO {quote(table.name)} ({', '.join(map(quote, names))})"
        # The arrays are sent in binary form: for their text form the driver escapes each quote in Python.
        arrays = (f"%(a{at})b::{each.compile(dialect=on)}[]" for at, each in enumerate(types))
        self.by_arrays = f"{self.head} SELECT * FROM unnest({', '.join(arrays)})"
        self._of_row = operator.itemgetter(*names, names[0])  # a tuple, also for one name
        converters = [each.dialect_impl(on).bind_processor(on) for each in types]
        #: The positions of the values that the driver takes in another form, with the function that converts them.
        self._converters = [(at, convert) for at, convert in enumerate(converters) if convert is not None]

    def values(self, row: Row) -> tuple[Any, ...]:
        """Return the values of a row for the driver."""
        *values, _ = self._of_row(row)
        for at, convert in self._converters:
            values[at] = convert(values[at])
        return tuple(values)


@functools.lru_cache(256)
def _statement(on: Dialect, table: Table, names: tuple[str, ...]) -> _Statement:
    return _Statement(on, table, names)
