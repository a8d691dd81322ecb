"""Statements of frequent reads, which on a file go straight to the driver.

For a read of one row SQLAlchemy takes ten times as long as SQLite. So its text, the order of its parameters, and
the functions that read its columns are taken from the compiled statement once.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import CompoundSelect, Connection, Select

from storage.engine import dialect, sqlite_driver

#: A row, whose columns are also attributes.
Row = Any
Query = Select[Any] | CompoundSelect[Any]


class Prepared:
    """A SELECT. `build` makes it for a kind of database, once; a list of values is one parameter (`is_among`)."""

    def __init__(self, build: Callable[[Connection], Query]) -> None:
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

    def __init__(self, connection: Connection, statement: Query) -> None:
        on = connection.dialect
        compiled: Any = statement.compile(dialect=on)
        columns = list(statement.selected_columns)
        self._sql: str = compiled.string
        self._constants: Mapping[str, Any] = compiled.params
        types = {name: bound.type.dialect_impl(on) for name, bound in compiled.binds.items()}
        self._names = [(name, types[name].bind_processor(on)) for name in compiled.positiontup]
        row: Any = namedtuple
        self._make: Callable[[Sequence[Any]], Row] = row("Row", [str(each.key) for each in columns])._make
        readers = [each.type.dialect_impl(on).result_processor(on, None) for each in columns]
        self._readers = [(place, read) for place, read in enumerate(readers) if read is not None]

    def all(self, connection: Connection, parameters: Mapping[str, Any]) -> Sequence[Row]:
        values = [self._value(parameters, name, convert) for name, convert in self._names]
        return [self._read(row) for row in sqlite_driver.fetch_all(connection, self._sql, values)]

    def _value(self, parameters: Mapping[str, Any], name: str, convert: Callable[[Any], Any] | None) -> Any:
        value = parameters[name] if name in parameters else self._constants[name]
        return value if convert is None else convert(value)

    def _read(self, row: Sequence[Any]) -> Row:
        values = list(row)
        for place, read in self._readers:
            values[place] = read(values[place])
        return self._make(values)
