"""Statements of frequent reads, which on a file go straight to the driver.

For a read of one row SQLAlchemy takes ten times as long as SQLite. So its text, the order of its parameters, and
the functions that read its columns are taken from the compiled statement once.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, exc

from storage.engine import dialect

#: A row, whose columns are also attributes.
Row = Any


class Prepared:
    """A SELECT without lists of parameters. `build` makes it for a kind of database, once."""

    def __init__(self, build: Callable[[Connection], Select[Any]]) -> None:
        self._built = dialect.built_once(build)
        self._direct: _Direct | None = None

    def all(self, connection: Connection, parameters: Mapping[str, Any]) -> Sequence[Row]:
        """Return the rows."""
        if dialect.is_embedded(connection):
            if self._direct is None:
                self._direct = _Direct(connection, self._built(connection))
            return self._direct.all(connection, parameters)
        return connection.execute(self._built(connection), parameters).all()

    def first(self, connection: Connection, parameters: Mapping[str, Any]) -> Row | None:
        """Return the first row, if any."""
        return next(iter(self.all(connection, parameters)), None)


class _Direct:
    """The parts of a compiled statement, and how it is executed without SQLAlchemy."""

    def __init__(self, connection: Connection, statement: Select[Any]) -> None:
        compiled: Any = statement.compile(dialect=connection.dialect)
        columns = list(statement.selected_columns)
        self._sql: str = compiled.string
        self._constants: Mapping[str, Any] = compiled.params
        self._names: Sequence[str] = compiled.positiontup
        row: Any = namedtuple
        self._make: Callable[[Sequence[Any]], Row] = row("Row", [str(each.key) for each in columns])._make
        types = [each.type.dialect_impl(connection.dialect) for each in columns]
        readers = enumerate(each.result_processor(connection.dialect, None) for each in types)
        self._readers = [(place, read) for place, read in readers if read is not None]

    def all(self, connection: Connection, parameters: Mapping[str, Any]) -> Sequence[Row]:
        values = [parameters[name] if name in parameters else self._constants[name] for name in self._names]
        driver: Any = connection.connection.driver_connection
        try:
            rows = driver.execute(self._sql, values).fetchall()
        except sqlite3.Error as error:
            raise exc.DBAPIError.instance(
                self._sql, None, error, sqlite3.Error, hide_parameters=True, dialect=connection.dialect
            ) from error
        return [self._read(row) for row in rows]

    def _read(self, row: Sequence[Any]) -> Row:
        values = list(row)
        for place, read in self._readers:
            values[place] = read(values[place])
        return self._make(values)
