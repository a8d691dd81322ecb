"""The modules of `storage/tables`, made from the classes in `storage/models`: columns alone, no mapped classes."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from types import ModuleType
from typing import Any

from sqlalchemy import Boolean, Column, Table, Text

from storage.engine import column_types
from storage.models import declare, schema

#: The characters of a line.
LINE = 115
TYPES: list[tuple[Any, str]] = [
    (Text, "text"),
    (Boolean, "flag"),
    (column_types.Instant, "instant"),
    (type(column_types.Integer64), "integer"),
    (column_types.Json, "json"),
    (type(column_types.Bytes), "bytes"),
]


def module(models: ModuleType) -> str:
    """Return the code of the module that has the tables of these classes."""
    classes = [each for each in declare.Base.__subclasses__() if each.__module__ == models.__name__]
    name = models.__name__.rpartition(".")[2]
    head = f'"""The columns of the tables of `storage/models/{name}.py`, made from it by `make docs`."""'
    code = "\n".join(_table(declare.table(each)) for each in classes)
    return f"{head}\n\nfrom storage.tables.declare import table\n\n{code}"


def _table(table: Table) -> str:
    assert table.info in ({}, declare.DERIVED["info"])
    text, is_derived = " ".join(_words(table.columns)), bool(table.info)
    line = f'{table.name.upper()} = table("{table.name}", "{text}"{", derived=True" * is_derived})\n'
    if len(line) <= LINE:
        return line
    lines = textwrap.wrap(
        text, LINE - 7, initial_indent='    """', subsequent_indent="    ", break_on_hyphens=False
    )
    columns = "\n".join(lines) + '""",\n' + "    derived=True,\n" * is_derived
    return f'{table.name.upper()} = table(\n    "{table.name}",\n{columns})\n'


def _words(columns: Iterable[Column[Any]]) -> Iterator[str]:
    """Yield the words that `column_types.declared` reads."""
    for kind, group in groupby(columns, _kind):
        yield f"{kind}:"
        for column in group:
            default = "" if column.server_default is None or kind == "flag" else f"={_argument(column.default)}"
            yield column.name + ("*" if column.primary_key else "?" if column.nullable else default)


def _kind(column: Column[Any]) -> str:
    return next(name for of, name in TYPES if type(column.type) is of)


def _argument(default: Any) -> object:
    return default.arg


PAGES: dict[str, Callable[[], str]] = {
    f"storage/tables/{each.__name__.rpartition('.')[2]}.py": partial(module, each) for each in schema.MODULES
}
