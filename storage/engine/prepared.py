"""Frequent statements, which on a file go straight to the driver.

For a statement about one row SQLAlchemy takes ten times as long as SQLite. So its text, the order of its
parameters, and the functions that turn values into those of the driver and back are taken from the compiled
statement once.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Connection, Select, UpdateBase

from storage.engine import deadlines, dialect, sqlite_driver

#: The most rows of a stream that are in memory.
BUFFERED = 20
#: A row, whose columns are also attributes.
Row = Any
Query = Select[Any] | CompoundSelect[Any]


class Prepared:
    """A SELECT that `build` makes once for each kind of database. A list in it is one parameter (`membership`)."""

    def __init__(self, build: Callable[[Connection], Query]) -> None:
        self._built = dialect.built_once(build)
        self._direct: _Rows | None = None

    def all(self, connection: Connection, parameters: Mapping[str, Any]) -> Sequence[Row]:
        """Return the rows."""
        if dialect.is_embedded(connection):
            return self._of_file(connection).all(connection, parameters)
        return connection.execute(self._built(connection), parameters).all()

    def stream(self, connection: Connection, parameters: Mapping[str, Any]) -> Iterator[Row]:
        """Yield the rows; only a few are in memory at a time."""
        if dialect.is_embedded(connection):
            yield from self._of_file(connection).stream(connection, parameters)
            return
        options = {"stream_results": True, "max_row_buffer": BUFFERED}
        with connection.execute(self._built(connection), parameters, execution_options=options) as rows:
            yield from rows

    def first(self, connection: Connection, parameters: Mapping[str, Any]) -> Row | None:
        """Return the first row, if any."""
        return next(iter(self.all(connection, parameters)), None)

    def _of_file(self, connection: Connection) -> _Rows:
        if self._direct is None:
            self._direct = _Rows(connection, self._built(connection))
        return self._direct


class Change:
    """An UPDATE or DELETE that `build` makes once for each kind of database. A list in it is one parameter."""

    def __init__(self, build: Callable[[Connection], UpdateBase]) -> None:
        self._built = dialect.built_once(build)
        self._direct: _Direct | None = None

    def run(self, connection: Connection, parameters: Mapping[str, Any]) -> int:
        """Execute it, and return how many rows it changed."""
        if not dialect.is_embedded(connection):
            return connection.execute(self._built(connection), parameters).rowcount
        if self._direct is None:
            self._direct = _Direct(connection, self._built(connection))
        return self._direct.execute(connection, parameters).rowcount


class _Direct:
    """The parts of a compiled statement, and how it is executed without SQLAlchemy."""

    def __init__(self, connection: Connection, statement: Query | UpdateBase) -> None:
        on = connection.dialect
        compiled: Any = statement.compile(dialect=on)
        self.sql: str = compiled.string
        self._constants: Mapping[str, Any] = compiled.params
        types = [(name, compiled.binds[name].type.dialect_impl(on)) for name in compiled.positiontup]
        self._parameters = [(name, type_.bind_processor(on)) for name, type_ in types]

    def execute(self, connection: Connection, parameters: Mapping[str, Any]) -> sqlite3.Cursor:
        """Execute it. Raises DBAPIError, StatementTimeout."""
        deadlines.check(connection)
        return sqlite_driver.execute(connection, self.sql, self._values(parameters))

    def _values(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Return the values of the parameters in the order of the statement, as the driver takes them."""
        values = []
        for name, convert in self._parameters:
            value = parameters[name] if name in parameters else self._constants[name]
            values.append(value if convert is None else convert(value))
        return values


class _Rows(_Direct):
    """A SELECT that is executed without SQLAlchemy."""

    def __init__(self, connection: Connection, statement: Query) -> None:
        super().__init__(connection, statement)
        columns: list[ColumnElement[Any]] = list(statement.selected_columns)
        row: Any = namedtuple
        self._make: Callable[[Sequence[Any]], Row] = row("Row", [str(each.key) for each in columns])._make
        types = [each.type.dialect_impl(connection.dialect) for each in columns]
        readers = enumerate(each.result_processor(connection.dialect, None) for each in types)
        self._readers = [(place, read) for place, read in readers if read is not None]
        self._read = self._read_values if self._readers else self._make

    def all(self, connection: Connection, parameters: Mapping[str, Any]) -> list[Row]:
        """Return the rows."""
        try:
            return [self._read(row) for row in self.execute(connection, parameters)]
        except sqlite3.Error as cause:
            raise sqlite_driver.error(connection, self.sql, cause) from cause

    def stream(self, connection: Connection, parameters: Mapping[str, Any]) -> Iterator[Row]:
        """Yield the rows."""
        try:
            yield from map(self._read, self.execute(connection, parameters))
        except sqlite3.Error as cause:
            raise sqlite_driver.error(connection, self.sql, cause) from cause

    def _read_values(self, row: Sequence[Any]) -> Row:
        values = list(row)
        for place, read in self._readers:
            if values[place] is not None:
                values[place] = read(values[place])
        return self._make(values)
