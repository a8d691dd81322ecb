"""The metadata of the Core tables, and functions about tables and their rows."""

from __future__ import annotations

import dataclasses
from typing import Any

from sqlalchemy import MetaData, Table

metadata = MetaData()

#: The options of a derived table: its content is computed from other tables.
DERIVED = {"derived": True}
#: Rows of a run in a table that is keyed by its seq times ROWS_PER_RUN, plus a position.
ROWS_PER_RUN = 65536


def is_derived(table: Table) -> bool:
    """Return whether the content of a table is computed from other tables and can be rebuilt."""
    return bool(table.info.get("derived"))


def row(table: Table, value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that are columns of the table, by their names."""
    return {each.name: getattr(value, each.name) for each in dataclasses.fields(value) if each.name in table.c}
