"""Declarations of tables, columns and indexes. All tables share one metadata, so that constraints have names."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from functools import partial
from typing import Any

import sqlalchemy
from pydantic import ConfigDict
from sqlalchemy import CheckConstraint, Column, Index, MetaData, Table, Text
from sqlmodel import Field, SQLModel

from storage.engine.column_types import NAMING_CONVENTION, Bytes, Instant, Integer64, Json

metadata = MetaData(naming_convention=NAMING_CONVENTION)

#: The key in an index's `info` that names the only database which has the index.
ONLY_ON = "only"
#: The options of a derived table: its content is computed from other tables.
DERIVED = {"info": {"derived": True}}


class Base(SQLModel):
    """The base of all tables, with the metadata that names their constraints."""

    model_config = ConfigDict(defer_build=True)  # type: ignore[assignment]  # rows are never validated, so no validator is built
    metadata = metadata


def seq() -> Any:
    """Declare the integer key: the order of arrival in this database."""
    return Field(default=None, sa_column=Column("seq", Integer64, primary_key=True))


def _column(kind: Any, *, null: bool = True, **options: Any) -> Any:
    return Field(default=None, sa_type=kind, nullable=null, **options)


#: Declare a text, an instant in UTC, a JSON value, bytes. `null=False` forbids null; further options (`index`,
#: `unique`, `primary_key`) are those of Field.
text = partial(_column, Text)
at = partial(_column, Instant)
json = partial(_column, Json)
blob = partial(_column, Bytes)


def integer(*, null: bool = True, default: int | None = None, **options: Any) -> Any:
    """Declare an integer of 64 bits; `default` is also the server's default."""
    server = {} if default is None else {"server_default": str(default)}
    return Field(default=default, sa_type=Integer64, nullable=null, sa_column_kwargs=server, **options)


def flag() -> Any:
    """Declare a boolean, false by default."""
    return Field(default=False, nullable=False, sa_column_kwargs={"server_default": sqlalchemy.text("false")})


def partial_index(name: str, columns: str | tuple[str, ...], condition: str) -> Index:
    """Declare a partial index: small, since it has only the rows of the condition."""
    only, named = sqlalchemy.text(condition), (columns,) if isinstance(columns, str) else columns
    return Index(name, *named, sqlite_where=only, postgresql_where=only)


def filter_index(table: Table, *names: str) -> None:
    """Declare an index for a filter of lists: newest rows first among equal values.

    On SQLite an index implicitly ends with the rowid; on PostgreSQL the key has to be named.
    """
    columns = [table.c[name] for name in names]
    _index(table, names, columns, columns)


def sort_index(table: Table, *names: str) -> None:
    """Declare an index for a sort order of lists, by the last of `names`; nulls come last, as on SQLite."""
    columns = [table.c[name] for name in names]
    _index(table, names, columns, [*columns[:-1], columns[-1].desc().nulls_last()])


def expression_index(table: Table, name: str, sql: str, *names: str) -> None:
    """Declare an index for sorting by an expression (in parentheses unless a call), after the named columns."""
    before = [table.c[each] for each in names]
    embedded, server = sqlalchemy.text(sql), sqlalchemy.text(f"{sql} DESC NULLS LAST")
    _index(table, (*names, name), [*before, embedded], [*before, server])


def _index(table: Table, names: tuple[str, ...], embedded: list[Any], server: list[Any]) -> None:
    name = "_".join(("ix", table.name, *names))
    Index(name, *embedded, info={ONLY_ON: "sqlite"}, _table=table).ddl_if(dialect="sqlite")
    keyed = Index(f"{name}_seq", *server, table.c.seq.desc(), info={ONLY_ON: "postgresql"}, _table=table)
    keyed.ddl_if(dialect="postgresql")


def one_of(column: str, values: Iterable[StrEnum]) -> CheckConstraint:
    """Return a CHECK that the column holds one of an enum's values."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def table(model: type[Base]) -> Table:
    """Return the table of a class."""
    return metadata.tables[str(model.__tablename__)]
