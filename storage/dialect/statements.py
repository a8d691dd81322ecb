"""Expressions, locks and hints that are spelled differently."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    String,
    Table,
    Text,
    case,
    cast,
    extract,
    func,
    literal,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.dialects import postgresql, sqlite

from storage import bounds, columns

#: The channel on which PostgreSQL tells other processes that there is news.
CHANNEL = "runledger"


def insert(connection: Connection, table: Table) -> Any:
    """An INSERT that knows ON CONFLICT, in the dialect of the connection."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def day(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The UTC day of an instant, as text: 2026-11-23."""
    if connection.dialect.name == "postgresql":
        return func.to_char(func.timezone("UTC", column), "YYYY-MM-DD")
    return func.substr(type_coerce(column, String), 1, 10)


def month(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The same of a month: 2026-11."""
    if connection.dialect.name == "postgresql":
        return func.to_char(func.timezone("UTC", column), "YYYY-MM")
    return func.substr(type_coerce(column, String), 1, 7)


def hour(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The same of an hour, by its beginning: 2026-11-23T14:00Z."""
    if connection.dialect.name == "postgresql":
        return func.to_char(func.timezone("UTC", column), 'YYYY-MM-DD"T"HH24:00"Z"')
    return func.substr(type_coerce(column, String), 1, 13).op("||")(":00Z")


def milliseconds(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """An instant as milliseconds since 1970, rounded down."""
    if connection.dialect.name == "postgresql":
        return cast(func.floor(extract("epoch", column) * 1000), BigInteger)
    told = type_coerce(column, String)
    return cast(func.strftime("%s", told), Integer) * 1000 + cast(func.substr(told, 21, 3), Integer)


def total(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The sum of a column, `bounds.SUM` where it is more; null of nothing.

    SQLite's own sum fails beyond 64 bits, so halves of the numbers are added up and put together.
    """
    most = _number(bounds.SUM)
    if connection.dialect.name == "postgresql":
        summed = func.sum(column)
        return cast(case((summed > most, most), else_=summed), BigInteger)
    whole = cast(column, Integer)
    low = func.sum(whole.bitwise_and(_number(0xFFFFFFFF)))
    high = func.sum(whole.bitwise_rshift(_number(32))) + low.bitwise_rshift(_number(32))
    put = high.bitwise_lshift(_number(32)).bitwise_or(low.bitwise_and(_number(0xFFFFFFFF)))
    return case((high > _number(bounds.SUM >> 32), most), else_=put)


def _number(value: int) -> ColumnElement[int]:
    """Spelled out, so that the same expression is worked out once."""
    return literal_column(str(value), BigInteger)


def hold_tables(connection: Connection, tables: Iterable[Table]) -> None:
    """Nobody else writes to these tables until the transaction ends. On SQLite nobody does anyway."""
    if connection.dialect.name == "postgresql":
        for table in tables:
            connection.exec_driver_sql(f"LOCK TABLE {table.name} IN EXCLUSIVE MODE")


def one_by_one(connection: Connection, names: Iterable[str]) -> None:
    """Transactions that name the same thing pass here one after the other. On SQLite all of them do anyway."""
    if connection.dialect.name == "postgresql":
        each = func.unnest(literal(sorted(names), postgresql.ARRAY(Text))).column_valued("name")
        connection.execute(select(func.pg_advisory_xact_lock(_key(each))))


def is_alone(connection: Connection, name: str) -> bool:
    """Whether no other transaction does what is called `name` at this moment; until the end of ours none will."""
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.execute(select(func.pg_try_advisory_xact_lock(_key(literal(name))))).scalar_one())


def _key(name: ColumnElement[str]) -> ColumnElement[int]:
    return func.hashtextextended(literal("runledger ") + name, 0)


def time(connection: Connection) -> datetime | None:
    """What time it is for all who share the database; None for an embedded one, where we are alone."""
    if connection.dialect.name != "postgresql":
        return None
    found: datetime = connection.execute(select(func.clock_timestamp(type_=columns.Instant()))).scalar_one()
    return found


def tell(connection: Connection) -> None:
    """There will be news once this transaction is committed."""
    connection.info["news"] = True


def announce(connection: Connection) -> None:
    """Has other processes told of the news at the commit. A hint: who was not told looks from time to time."""
    if connection.info.pop("news", False) and connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(CHANNEL, "")))
