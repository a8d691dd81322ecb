"""The tables of a store, read with plain SQL over a connection of its driver, in one snapshot.

Instants are read as their text in UTC with six decimals, and JSON as its text, on both databases.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

#: The rows that are fetched at once.
FETCHED = 2000
#: The bytes of values that are read together: of more where one alone has more.
BYTES = 8 * 1024 * 1024
Row = tuple[Any, ...]


class Source(Protocol):
    """A store. In statements `?` is a parameter. `is_embedded`: it is a file, with one writer at a time."""

    @property
    def is_embedded(self) -> bool: ...

    def stream(self, sql: str, *parameters: object, fetched: int = FETCHED) -> Iterator[Row]:
        """Yield rows of a large answer, of which so many are in memory."""

    def batches(self, sql: str, *parameters: object, fetched: int = FETCHED) -> Iterator[list[Row]]:
        """Yield the same, some rows at a time."""

    def rows(self, sql: str, *parameters: object) -> list[Row]:
        """Return the rows of a small answer."""

    def instant(self, column: str) -> str:
        """Return the SQL of an instant as its text."""

    def json(self, column: str) -> str:
        """Return the SQL of a JSON value as its text."""

    def among(self, column: str) -> str:
        """Return the SQL of the condition that a column is one of the values of a list, which `listed` makes."""

    def listed(self, values: Sequence[str]) -> object:
        """Return the parameter of such a condition."""


def over(connection: Any, *, is_lenient: bool = False) -> Source:
    """Return the store behind a connection of `sqlite3` or `psycopg`, which is in a transaction.

    `is_lenient`: texts of a file that are not UTF-8 are read with their bytes marked, which is slower.
    """
    if not isinstance(connection, sqlite3.Connection):
        return _Postgresql(connection)
    connection.text_factory = _text if is_lenient else str
    return _Sqlite(connection)


def is_undecodable(error: Exception) -> bool:
    """Return whether a file has a text that is not UTF-8."""
    return isinstance(error, sqlite3.OperationalError) and "Could not decode to UTF-8" in str(error)


class _Sqlite:
    is_embedded = True

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def stream(self, sql: str, *parameters: object, fetched: int = FETCHED) -> Iterator[Row]:
        return itertools.chain.from_iterable(self.batches(sql, *parameters, fetched=fetched))

    def batches(self, sql: str, *parameters: object, fetched: int = FETCHED) -> Iterator[list[Row]]:
        cursor = self._connection.execute(sql, parameters)
        cursor.arraysize = fetched
        while found := cursor.fetchmany():
            yield found

    def rows(self, sql: str, *parameters: object) -> list[Row]:
        return self._connection.execute(sql, parameters).fetchall()

    def instant(self, column: str) -> str:
        return column

    def json(self, column: str) -> str:
        return column

    def among(self, column: str) -> str:
        return f"{column} IN (SELECT value FROM json_each(?))"

    def listed(self, values: Sequence[str]) -> object:
        return json.dumps(values)


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogateescape")


class _Postgresql:
    is_embedded = False
    _numbers = itertools.count()

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def stream(self, sql: str, *parameters: object, fetched: int = FETCHED) -> Iterator[Row]:
        return itertools.chain.from_iterable(self.batches(sql, *parameters, fetched=fetched))

    def batches(self, sql: str, *parameters: object, fetched: int = FETCHED) -> Iterator[list[Row]]:
        with self._connection.cursor(f"verify_{next(self._numbers)}", binary=True) as cursor:
            cursor.execute(_placed(sql), parameters)
            while found := cursor.fetchmany(fetched):
                yield found

    def rows(self, sql: str, *parameters: object) -> list[Row]:
        with self._connection.cursor(binary=True) as cursor:
            found: list[Row] = cursor.execute(_placed(sql), parameters).fetchall()
            return found

    def instant(self, column: str) -> str:
        return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

    def json(self, column: str) -> str:
        return f"{column}::text"

    def among(self, column: str) -> str:
        return f"{column} = ANY(?)"

    def listed(self, values: Sequence[str]) -> object:
        return list(values)


def _placed(sql: str) -> str:
    return sql.replace("?", "%s")
