"""How a table and its columns are declared. All tables share one metadata, so that constraints have names."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import sqlalchemy
from sqlalchemy import CheckConstraint, Column, Index, MetaData, Table, Text
from sqlmodel import Field, SQLModel

from storage.columns import NAMES, Bytes, Instant, Integer64, Json

metadata = MetaData(naming_convention=NAMES)

#: Under this an index says which database alone has it.
ONLY = "only"
#: Options of a table that is made of what stands in others.
DERIVED = {"info": {"derived": True}}


class Base(SQLModel):
    """All tables of ours share one metadata, so that constraints have names."""

    metadata = metadata


def is_derived(table: Table) -> bool:
    """Whether it is made of what stands in others, and can be made anew."""
    return bool(table.info.get("derived"))


def seq() -> Any:
    """The integer key: order of arrival inside this database."""
    return Field(default=None, sa_column=Column("seq", Integer64, primary_key=True))


def text(*, null: bool = True, **options: Any) -> Any:
    """A text; `options` go to Field."""
    return Field(default=None, sa_type=Text, nullable=null, **options)


def at(*, null: bool = True) -> Any:
    """An instant in UTC."""
    return Field(default=None, sa_type=Instant, nullable=null)


def integer(*, null: bool = True, default: int | None = None) -> Any:
    """A number of 64 bits on either database; `default` is also the server's."""
    server = {} if default is None else {"server_default": str(default)}
    return Field(default=default, sa_type=Integer64, nullable=null, sa_column_kwargs=server)


def flag() -> Any:
    """Yes or no, no by default."""
    return Field(default=False, nullable=False, sa_column_kwargs={"server_default": sqlalchemy.text("false")})


def json(*, null: bool = True) -> Any:
    """A JSON value."""
    return Field(default=None, sa_type=Json, nullable=null)


def blob(*, null: bool = True) -> Any:
    """Bytes."""
    return Field(default=None, sa_type=Bytes, nullable=null)


def where(name: str, columns: str | tuple[str, ...], condition: str) -> Index:
    """A partial index: small, since it holds the rows in question only."""
    only, named = sqlalchemy.text(condition), (columns,) if isinstance(columns, str) else columns
    return Index(name, *named, sqlite_where=only, postgresql_where=only)


def listed(table: Table, *names: str) -> None:
    """Indexes of a table for what lists choose by: newest first among equals.

    On SQLite an index ends with the rowid by itself, on PostgreSQL the key has to be named.
    """
    _each(table, names, [table.c[name] for name in names])


def ordered(table: Table, *names: str) -> None:
    """The same for what lists are ordered by, the last of `names`; where it is null comes last, as on SQLite."""
    *before, last = (table.c[name] for name in names)
    _each(table, names, [*before, last.desc().nulls_last()])


def ordered_by(table: Table, name: str, sql: str, *names: str) -> None:
    """The same for an expression, in parentheses unless it is a call, behind the columns that are named."""
    before = [table.c[each] for each in names]
    made, served = sqlalchemy.text(sql), sqlalchemy.text(f"{sql} DESC NULLS LAST")
    _index(table, "_".join(("ix", table.name, *names, name)), [*before, made], [*before, served])


def _each(table: Table, names: tuple[str, ...], server: list[Any]) -> None:
    _index(table, f"ix_{table.name}_{'_'.join(names)}", [table.c[each] for each in names], server)


def _index(table: Table, name: str, embedded: list[Any], server: list[Any]) -> None:
    Index(name, *embedded, info={ONLY: "sqlite"}, _table=table).ddl_if(dialect="sqlite")
    served = Index(f"{name}_seq", *server, table.c.seq.desc(), info={ONLY: "postgresql"}, _table=table)
    served.ddl_if(dialect="postgresql")


def one_of(column: str, values: Iterable[StrEnum]) -> CheckConstraint:
    """A CHECK that the column holds one of an enum's values."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def table(model: type[Base]) -> Table:
    """The Core table of a class: what statements use."""
    return metadata.tables[str(model.__tablename__)]
