"""Change the rows of a store behind its back, on either database, and read what is there."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from receiver.verifier.store import source
from storage.tables import schema

INSTANTS = {
    *("accepted_at", "created_at", "started_at", "completed_at", "settled_at", "cancel_requested_at"),
    *("pruned_at", "timestamp", "received_at", "at", "placed_at", "released_at", "checked_at"),
}
JSON = {"object_ids", "tool_input", "tool_output", "metadata", "headers", "salts"}
#: Other values of columns with a closed list of values.
OTHERS: Mapping[str, Mapping[str, str]] = {
    "status": {"completed": "failed"},
    "origin": {"submitted": "adopted", "adopted": "submitted"},
    "settled_by": {"watcher": "platform"},
    "source": {"watcher": "platform", "platform": "watcher"},
    "verdict": {
        "accepted": "duplicate",
        "duplicate": "accepted",
        "approved": "rejected",
        "rejected": "comment",
        "comment": "approved",
    },
    "scope": {"run": "tag", "tag": "question", "question": "tag"},
    "role": {"run": "orphan", "orphan": "run"},
    "review": {"approved": "rejected", "rejected": "approved"},
}
_DEFAULTS = {"status": "completed", "settled_by": "sweep", "review": "rejected"}
#: Columns of integers; the others are texts.
INTEGERS = {
    *(
        "duration_ms",
        "input_tokens",
        "output_tokens",
        "tool_calls",
        "cost_micros",
        "step_count",
        "position",
        "status_code",
    ),
    *("prompt_tokens", "completion_tokens", "total_tokens", "version", "size", "run_seq"),
}
Errors = (sqlite3.IntegrityError, psycopg.IntegrityError)


class Editor:
    """A writable connection whose changes are taken back, and a source of chance."""

    def __init__(self, connection: Any, seed: int) -> None:
        self.connection = connection
        self.random = random.Random(seed)
        self.store = source.over(connection)
        self.is_file = isinstance(connection, sqlite3.Connection)

    def execute(self, sql: str, *parameters: object) -> int:
        """Execute a statement; return how many rows it changed."""
        placed = sql if self.is_file else sql.replace("?", "%s")
        changed: int = self.connection.execute(placed, parameters).rowcount
        return changed

    def rows(self, table: str, where: str = "", *parameters: object) -> list[dict[str, Any]]:
        """Return rows as the verifier reads them."""
        columns = self.columns(table)
        selected = ", ".join(self._read(each) for each in columns)
        condition = f" WHERE {where}" if where else ""
        found = self.store.rows(f"SELECT {selected} FROM {table}{condition} ORDER BY 1, 2", *parameters)
        return [dict(zip(columns, row, strict=True)) for row in found]

    def _read(self, column: str) -> str:
        if column in INSTANTS:
            return self.store.instant(f'"{column}"')
        return self.store.json(f'"{column}"') if column in JSON else f'"{column}"'

    def columns(self, table: str) -> list[str]:
        """Return the columns of a table but those of other instants, which no test changes."""
        return [each.name for each in schema.metadata.tables[table].columns if each.name not in _UNREAD]

    def chosen(self, table: str, where: str = "", *parameters: object) -> dict[str, Any] | None:
        """Return any row; None where there is none."""
        found = self.rows(table, where, *parameters)
        return self.random.choice(found) if found else None

    def update(self, table: str, key: Mapping[str, object], /, **values: object) -> None:
        """Set columns of the row with a key."""
        sets = ", ".join(f'"{name}" = {self._placed(name)}' for name in values)
        where = " AND ".join(f'"{name}" = ?' for name in key)
        changed = self.execute(f"UPDATE {table} SET {sets} WHERE {where}", *values.values(), *key.values())
        assert changed == 1, f"{changed} rows of {table} changed"

    def _placed(self, column: str) -> str:
        if self.is_file:
            return "?"
        return "?::timestamptz" if column in INSTANTS else "?::jsonb" if column in JSON else "?"

    def insert_copy(self, table: str, row: Mapping[str, object], /, **values: object) -> None:
        """Insert a row like another one, with other values."""
        names = schema.metadata.tables[table].columns.keys()
        copied = ", ".join(self._placed(name) if name in values else f'"{name}"' for name in names)
        key = next(name for name in ("seq", "id", "upstream_id", "run_seq") if name in row)
        columns = ", ".join(f'"{name}"' for name in names)
        given = [values[name] for name in names if name in values]
        where = f'"{key}" = ?' + (" AND key = ?" if table == "run_tags" else "")
        rest = [row[key], row["key"]] if table == "run_tags" else [row[key]]
        self.execute(f"INSERT INTO {table} ({columns}) SELECT {copied} FROM {table} WHERE {where}", *given, *rest)

    def other(self, column: str, value: Any) -> Any:
        """Return another value for a column."""
        if column in OTHERS:
            return OTHERS[column].get(value, _DEFAULTS.get(column))
        if column in INSTANTS:
            return "2026-11-23T13:37:00.000001Z" if value != "2026-11-23T13:37:00.000001Z" else None
        if column in JSON:
            return json.dumps({"changed": value is None or self.random.random()})
        if column in INTEGERS or isinstance(value, int):
            return (value or 0) + 1
        if isinstance(value, bytes | memoryview):
            return self.flipped(bytes(value))
        if value and self.random.random() < 0.3:
            return None if column not in _REQUIRED else value + "x"
        return f"{value or ''}{self.random.choice('xyz')}"

    def flipped(self, value: bytes) -> bytes:
        """Return bytes of which one is another."""
        at = self.random.randrange(len(value)) if value else 0
        return value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :] if value else b"x"


_REQUIRED = {
    "id",
    "run_id",
    "key",
    "value",
    "upstream_id",
    "submitted_by",
    "body_sha256",
    "kind",
    "actor",
    "by",
    "body",
}
_UNREAD = {
    *("refresh_requested_at", "expected_by", "asked_at", "missing_since", "lost_create_since", "captured_at"),
    *("restored_at", "fetched_at", "last_repeat_at", "linked_at", "cancelled_at", "signed_at"),
}


def key_of(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the primary key of a row."""
    names: Sequence[str] = {
        "run_tags": ("run_seq", "key"),
        "run_steps": ("id",),
        "run_usage": ("id",),
        "upstream_links": ("upstream_id",),
        "ledger_nodes": ("row", "position"),
        "holds": ("id",),
        "completeness_reports": ("id",),
        "ledger_checkpoints": ("size",),
        "ledger_cosignatures": ("size", "witness"),
    }.get(table, ("seq",))
    return {name: row[name] for name in names}
