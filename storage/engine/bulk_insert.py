"""Inserts of many rows into one table by a statement whose text never changes.

SQLAlchemy builds each execution of an INSERT anew, which takes longer than the database needs for a row. Here the
driver gets the rows as they are: on SQLite one after the other, on PostgreSQL as an array for each column.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, LargeBinary, Table

from storage.engine import dialect, prepared

#: A row: the values of columns by their names.
Row = Mapping[str, Any]


def insert(connection: Connection, table: Table, rows: Sequence[Row], end: str = "") -> None:
    """Insert rows, all of which have the columns of the first one; `end` is the end of the statement.

    Raises IntegrityError where a row conflicts, unless the end says otherwise.
    """
    if rows and dialect.is_embedded(connection):
        statement = _statement(connection.dialect, table, tuple(rows[0]))
        values, sql = [statement.values(row) for row in rows], statement.by_rows + end
        try:
            prepared.driver_of(connection).executemany(sql, values)
        except sqlite3.Error as error:
            raise prepared.error_of(connection, sql, error) from error
    elif rows:
        _insert_arrays(connection, table, rows, end)


def insert_new(connection: Connection, table: Table, rows: Sequence[Row]) -> set[str]:
    """Insert rows on PostgreSQL, and return their ids, without those that conflict with a row."""
    inserted = _insert_arrays(connection, table, rows, " ON CONFLICT DO NOTHING RETURNING id")
    return {row.id for row in inserted}


def insert_numbered(connection: Connection, table: Table, rows: Sequence[Row]) -> dict[str, int]:
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
        head = f"INSERT INTO {quote(table.name)} ({', '.join(map(quote, names))})"
        # Bytes are sent as they are: as text they would be twice as long.
        forms = ("b" if isinstance(each, LargeBinary) else "s" for each in types)
        arrays = (
            f"%(a{at}){form}::{each.compile(dialect=on)}[]"
            for at, (each, form) in enumerate(zip(types, forms, strict=True))
        )
        self.by_rows = f"{head} VALUES ({', '.join('?' * len(names))})"
        self.by_arrays = f"{head} SELECT * FROM unnest({', '.join(arrays)})"
        #: Each column with the function that turns its values into what the driver takes.
        self._columns = [
            (name, each.dialect_impl(on).bind_processor(on)) for name, each in zip(names, types, strict=True)
        ]

    def values(self, row: Row) -> list[Any]:
        """Return the values of a row for the driver."""
        return [row[name] if convert is None else convert(row[name]) for name, convert in self._columns]


@functools.lru_cache(256)
def _statement(on: Dialect, table: Table, names: tuple[str, ...]) -> _Statement:
    return _Statement(on, table, names)
