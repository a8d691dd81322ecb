"""Whether two stores hold the same: their rows in the order of keys, as the drivers give them, as canonical text.

It shares no code with what copies: neither the statements nor the types. Instants are compared as moments, JSON as
what it means, bytes as bytes.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

import psycopg

#: What a column holds, by its type in the server's catalogue.
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
#: How the names of tables begin that are made of others.
DERIVED = ("passage", "search_", "rollup_")
#: Rows that are fetched at once.
ROWS = 64
#: Integers below are the same to all readers of JSON; from the other one on they are no floats any more.
EXACT, LARGEST = 2**53, 10**308

Row = tuple[str, str]
Advance = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Table:
    """A table by its name, the kinds of its columns by theirs, and its key."""

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """What was found of a table: rows and a digest of either side, and the key of the first row that differs."""

    table: str
    rows: tuple[int, int]
    digests: tuple[str, str]
    differs_at: str | None

    @property
    def is_equal(self) -> bool:
        """Whether both sides hold the same."""
        return self.rows[0] == self.rows[1] and self.digests[0] == self.digests[1]


def compare(file: str, server: psycopg.Connection, advance: Advance) -> Iterator[Compared]:
    """Each table of the server's schema beside the same of the file. Nobody may write to either meanwhile."""
    with closing(sqlite3.connect(file)) as embedded:
        named = {row[0] for row in embedded.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        found = _tables(server)
        for name in sorted(named - found.keys() - {"sqlite_sequence"} - _derived(named)):
            yield Compared(name, (1, 0), ("", "-"), "all of it")
        for table in found.values():
            yield _compare(table, _embedded(embedded, table), _served(server, table), advance)


def _derived(names: Iterable[str]) -> set[str]:
    """Those of tables that are made of others: they are as good when they are made anew."""
    return {name for name in names if name.startswith(DERIVED)}


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
    names = {name for name, _, _ in described}
    return {
        name: Table(
            name,
            {column: KINDS[kind] for each, column, kind in described if each == name},
            tuple(column for each, column in keys if each == name),
        )
        for name in sorted(names - _derived(names))
    }


def _compare(table: Table, left: Iterator[Row], right: Iterator[Row], advance: Advance) -> Compared:
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
    return Compared(table.name, (counts[0], counts[1]), (left_digest, right_digest), differs_at)


def _embedded(embedded: sqlite3.Connection, table: Table) -> Iterator[Row]:
    columns = ", ".join(f'"{name}"' for name in table.columns)
    order = ", ".join(f'"{name}"' for name in table.key)
    rows = embedded.execute(f'SELECT {columns} FROM "{table.name}" ORDER BY {order}')
    return (_row(table, values, _FROM_FILE) for values in rows)


def _served(server: psycopg.Connection, table: Table) -> Iterator[Row]:
    """Texts are ordered by their bytes, as in the file."""
    columns = ", ".join(_SPELLED.get(kind, '"{}"').format(name) for name, kind in table.columns.items())
    order = ", ".join(f'"{n}" COLLATE "C"' if table.columns[n] == "text" else f'"{n}"' for n in table.key)
    with server.cursor(name="equality") as rows:
        rows.itersize = ROWS
        rows.execute(f'SELECT {columns} FROM "{table.name}" ORDER BY {order}'.encode())
        for values in rows:
            yield _row(table, values, _FROM_SERVER)


def _row(table: Table, values: tuple[Any, ...], read: Mapping[str, Callable[[Any], Any]]) -> Row:
    """The key of a row, and all of it, as text."""
    columns = zip(table.columns.items(), values, strict=True)
    told = {name: None if value is None else read[kind](value) for (name, kind), value in columns}
    key = ", ".join(str(told[name]) for name in table.key)
    return key, json.dumps(told, sort_keys=True, ensure_ascii=True)


def _moment(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).isoformat()


def _meaning(value: Any) -> Any:
    """JSON with each number in one spelling: 1.0 is 1, and large ones are what readers of JSON make of them."""
    if isinstance(value, list):
        return [_meaning(each) for each in value]
    if isinstance(value, dict):
        return {name: _meaning(each) for name, each in value.items()}
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return int(value)
    return float(value) if type(value) is int and EXACT <= abs(value) < LARGEST else value


def _parsed(value: Any) -> Any:
    """JSON of the file; a number alone is no text there, since the column takes it for what it is."""
    return _meaning(json.loads(value) if isinstance(value, str) else value)


#: In the time zone of the session an instant may lie outside the driver's calendar.
_SPELLED = {"instant": """"{}" AT TIME ZONE 'UTC'"""}
_SAME: Callable[[Any], Any] = lambda value: value  # noqa: E731
_FROM_SERVER: Mapping[str, Callable[[Any], Any]] = {
    "number": _SAME,
    "text": _SAME,
    "flag": bool,
    "bytes": bytes.hex,
    "instant": lambda value: value.replace(tzinfo=UTC).isoformat(),
    "json": _meaning,
}
_FROM_FILE = {**_FROM_SERVER, "instant": _moment, "json": _parsed}
