"""Compare two stores row by row in the order of their keys: values as the drivers return them, as canonical text.

This module shares neither statements nor types with `moving`, which copies. Instants are compared as points
in time, JSON by its meaning, bytes as bytes.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

import psycopg

#: The kind of a column, by its type in the server's catalogue.
KINDS = {
    "bigint": "number",
    "integer": "number",
    "text": "text",
    "character varying": "text",
    "timestamp with time zone": "instant",
    "jsonb": "json",
    "bytea": "bytes",
    "boolean": "flag",
}
#: The prefixes of the names of derived tables, which are rebuilt and need not be equal.
DERIVED = ("passage", "search_", "rollup_")
#: The rows that are fetched at once.
ROWS = 64
#: JSON readers agree on integers below EXACT; from LARGEST on a float cannot represent them.
EXACT, LARGEST = 2**53, 10**308

Row = tuple[str, str]
Advance = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its name, the kinds of its columns by their names, and the columns of its key."""

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableComparison:
    """The comparison of a table: the rows and a digest of both sides, and the key of the first difference."""

    table: str
    rows: tuple[int, int]
    digests: tuple[str, str]
    first_difference: str | None

    @property
    def is_equal(self) -> bool:
        """Return whether both sides are equal."""
        return self.rows[0] == self.rows[1] and self.digests[0] == self.digests[1]


def compare(file: str, server: psycopg.Connection, advance: Advance) -> Iterator[TableComparison]:
    """Compare each table of the server with that of the file. No program may write to either during it."""
    with closing(sqlite3.connect(file)) as embedded:
        names = {row[0] for row in embedded.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        tables = _tables(server)
        for name in sorted(names - tables.keys() - {"sqlite_sequence"}):
            if not name.startswith(DERIVED):
                yield TableComparison(name, (1, 0), ("", "-"), "all of it")
        for table in tables.values():
            yield _compare(table, _file_rows(embedded, table), _server_rows(server, table), advance)


def _tables(server: psycopg.Connection) -> dict[str, Table]:
    described = server.execute(
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = current_schema() ORDER BY table_name, column_name"
    ).fetchall()
    keys = server.execute(
        "SELECT k.table_name, k.column_name FROM information_schema.table_constraints c "
        "JOIN information_schema.key_column_usage k USING (constraint_schema, constraint_name, table_name) "
        "WHERE c.constraint_type = 'PRIMARY KEY' AND c.table_schema = current_schema() "
        "ORDER BY k.table_name, k.ordinal_position"
    ).fetchall()
    names = {name for name, _, _ in described if not name.startswith(DERIVED)}
    return {
        name: Table(
            name,
            {column: KINDS[kind] for each, column, kind in described if each == name},
            tuple(column for each, column in keys if each == name),
        )
        for name in sorted(names)
    }


def _compare(table: Table, left: Iterator[Row], right: Iterator[Row], advance: Advance) -> TableComparison:
    counts, digests, differs_at = [0, 0], (hashlib.sha256(), hashlib.sha256()), None
    for pair in zip_longest(left, right):
        for side, row in enumerate(pair):
            if row is not None:
                counts[side] += 1
                digests[side].update(row[1].encode() + b"\n")
        if differs_at is None and pair[0] != pair[1]:
            differs_at = next(row[0] for row in pair if row is not None)
        advance(table.name, 1)
    left_digest, right_digest = (each.hexdigest() for each in digests)
    return TableComparison(table.name, (counts[0], counts[1]), (left_digest, right_digest), differs_at)


def _file_rows(embedded: sqlite3.Connection, table: Table) -> Iterator[Row]:
    columns = ", ".join(f'"{name}"' for name in table.columns)
    order = ", ".join(f'"{name}"' for name in table.key)
    rows = embedded.execute(f'SELECT {columns} FROM "{table.name}" ORDER BY {order}')
    return (_row(table, values, _FROM_FILE) for values in rows)


def _server_rows(server: psycopg.Connection, table: Table) -> Iterator[Row]:
    """Yield the rows of a table of the server. Texts are ordered by their bytes, as in the file."""
    columns = ", ".join(_SELECTED_AS.get(kind, '"{}"').format(name) for name, kind in table.columns.items())
    order = ", ".join(f'"{n}" COLLATE "C"' if table.columns[n] == "text" else f'"{n}"' for n in table.key)
    with server.cursor(name="equality") as rows:
        rows.itersize = ROWS
        rows.execute(f'SELECT {columns} FROM "{table.name}" ORDER BY {order}'.encode())
        for values in rows:
            yield _row(table, values, _FROM_SERVER)


def _row(table: Table, values: tuple[Any, ...], read: Mapping[str, Callable[[Any], Any]]) -> Row:
    """Return the key of a row, and all of its values, as text."""
    columns = zip(table.columns.items(), values, strict=True)
    read_values = {name: None if value is None else read[kind](value) for (name, kind), value in columns}
    key = ", ".join(str(read_values[name]) for name in table.key)
    return key, json.dumps(read_values, sort_keys=True, ensure_ascii=True)


def _utc(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).isoformat()


def _normalized(value: Any) -> Any:
    """Return a JSON value with each number in one form: 1.0 as 1, and large integers as floats."""
    if isinstance(value, list):
        return [_normalized(each) for each in value]
    if isinstance(value, dict):
        return {name: _normalized(each) for name, each in value.items()}
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return int(value)
    return float(value) if type(value) is int and EXACT <= abs(value) < LARGEST else value


def _parsed(value: Any) -> Any:
    """Return the JSON value of a column in the file. SQLite stores a single number as a number, not as text."""
    return _normalized(json.loads(value) if isinstance(value, str) else value)


#: In UTC, since in another time zone of the session an instant may lie outside the driver's calendar.
_SELECTED_AS = {"instant": """"{}" AT TIME ZONE 'UTC'"""}
_UNCHANGED: Callable[[Any], Any] = lambda value: value  # noqa: E731
_FROM_SERVER: Mapping[str, Callable[[Any], Any]] = {
    "number": _UNCHANGED,
    "text": _UNCHANGED,
    "flag": bool,
    "bytes": bytes.hex,
    "instant": lambda value: value.replace(tzinfo=UTC).isoformat(),
    "json": _normalized,
}
_FROM_FILE = {**_FROM_SERVER, "instant": _utc, "json": _parsed}
