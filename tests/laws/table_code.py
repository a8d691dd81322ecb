"""The modules of `storage/tables`, made from the classes in `storage/models`: columns alone, no mapped classes."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from sqlalchemy import Boolean, Column, Table, Text

from storage.engine import column_types
from storage.models import declare, schema

TYPES: list[tuple[Any, str]] = [
    (Text, "Text"),
    (Boolean, "Boolean"),
    (column_types.Instant, "Instant"),
    (type(column_types.Integer64), "Integer64"),
    (column_types.Json, "Json"),
    (type(column_types.Bytes), "Bytes"),
]


def module(models: ModuleType) -> str:
    """Return the code of the module that has the tables of these classes."""
    classes = [each for each in declare.Base.__subclasses__() if each.__module__ == models.__name__]
    tables = [_table(declare.table(each)) for each in classes]
    name = models.__name__.rpartition(".")[2]
    head = f'"""The columns of the tables of `storage/models/{name}.py`, made from it by `make docs`."""'
    return "\n\n".join([head, _imports("\n".join(tables)), *tables]) + "\n"


def _imports(code: str) -> str:
    words = set(re.findall(r"\w+", code))
    of_library = sorted({"Boolean", "Column", "Table", "Text", "text"} & words)
    ours = sorted({"Bytes", "Instant", "Integer64", "Json"} & words)
    shared = ["DERIVED", "metadata"] if "DERIVED" in words else ["metadata"]
    return "\n".join(
        [
            f"from sqlalchemy import {', '.join(of_library)}\n",
            f"from storage.engine.column_types import {', '.join(ours)}",
            f"from storage.tables.declare import {', '.join(shared)}",
        ]
    )


def _table(table: Table) -> str:
    lines = [f'"{table.name}"', "metadata", *map(_column, table.columns)]
    if table.info:
        assert table.info == declare.DERIVED["info"]
        lines.append("info=DERIVED")
    return f"{table.name.upper()} = Table(\n" + "".join(f"    {line},\n" for line in lines) + ")"


def _column(column: Column[Any]) -> str:
    kind = next(name for of, name in TYPES if type(column.type) is of)
    options = [f'"{column.name}"', kind]
    if column.primary_key:
        options.append("primary_key=True")
    elif not column.nullable:
        options.append("nullable=False")
    if column.default is not None:
        options.append(f"default={_quoted(_argument(column.default))}")
    if column.server_default is not None:
        options.append(f"server_default={_quoted(_argument(column.server_default))}")
    return f"Column({', '.join(options)})"


def _argument(default: Any) -> object:
    return default.arg


def _quoted(value: object) -> str:
    """Return the code of a value, as the formatter writes it."""
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value) if isinstance(value, int) else f'text("{value}")'


PAGES: dict[str, Callable[[], str]] = {
    f"storage/tables/{each.__name__.rpartition('.')[2]}.py": partial(module, each) for each in schema.MODULES
}
