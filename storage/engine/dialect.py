"""Expressions, locks and notifications that differ between the databases."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    ColumnElement,
    Connection,
    Float,
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
from sqlalchemy.dialects import sqlite

from storage import bounds
from storage.engine import column_types

#: The channel on which PostgreSQL notifies other processes of commits.
CHANNEL = "runledger"
#: The payload of a notification whose commit has no work for a worker. With any other payload it may have some.
NO_WORK = "no work"

P = ParamSpec("P")
StatementT = TypeVar("StatementT")


def insert(connection: Connection, table: Table) -> Any:
    """Return an INSERT with support for ON CONFLICT, in the dialect of the connection."""
    if connection.dialect.name != "postgresql":
        return sqlite.insert(table)
    # Slow to import, and not needed for an embedded database.
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def built_once(
    build: Callable[Concatenate[Connection, P], StatementT],
) -> Callable[Concatenate[Connection, P], StatementT]:
    """Build a statement once for each kind of database and values of the further arguments."""
    built: dict[tuple[Any, ...], StatementT] = {}

    @functools.wraps(build)
    def statement(connection: Connection, /, *arguments: P.args, **named: P.kwargs) -> StatementT:
        key = connection.dialect.name, arguments, *named.items()
        if key not in built:
            built[key] = build(connection, *arguments, **named)
        return built[key]

    return statement


def plan_for_values(connection: Connection) -> None:
    """Have PostgreSQL plan the further statements of this transaction for their values.

    After some executions it would use one plan for all values, which for a range of keys reads half a table.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_custom_plan")


def day(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the UTC day of an instant, as text: 2026-11-23."""
    if connection.dialect.name == "postgresql":
        return func.to_char(func.timezone("UTC", column), "YYYY-MM-DD")
    return func.substr(type_coerce(column, String), 1, 10)


def month(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the UTC month of an instant, as text: 2026-11."""
    if connection.dialect.name == "postgresql":
        return func.to_char(func.timezone("UTC", column), "YYYY-MM")
    return func.substr(type_coerce(column, String), 1, 7)


def hour(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the beginning of the UTC hour of an instant, as text: 2026-11-23T14:00Z."""
    if connection.dialect.name == "postgresql":
        return func.to_char(func.timezone("UTC", column), 'YYYY-MM-DD"T"HH24:00"Z"')
    return func.substr(type_coerce(column, String), 1, 13).op("||")(":00Z")


def minute(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the beginning of the UTC minute of an instant, as text: 2026-11-23T14:05Z."""
    if connection.dialect.name == "postgresql":
        return func.to_char(func.timezone("UTC", column), 'YYYY-MM-DD"T"HH24:MI"Z"')
    return func.substr(type_coerce(column, String), 1, 16).op("||")("Z")


def milliseconds(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return an instant as milliseconds since 1970, rounded down."""
    if connection.dialect.name == "postgresql":
        return cast(func.floor(extract("epoch", column) * 1000), BigInteger)
    instant = type_coerce(column, String)
    return cast(func.strftime("%s", instant), Integer) * 1000 + cast(func.substr(instant, 21, 3), Integer)


def milliseconds_between(connection: Connection, start: ColumnElement[Any], end: ColumnElement[Any]) -> Any:
    """Return the milliseconds between two instants; a file takes half as long as for the difference of two."""
    if connection.dialect.name == "postgresql":
        return cast((extract("epoch", end) - extract("epoch", start)) * 1000, BigInteger)
    days = func.julianday(type_coerce(end, String)) - func.julianday(type_coerce(start, String))
    return cast(func.round(days * literal_column("86400000.0")), Integer)


def ten_minutes(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the beginning of the UTC ten minutes of an instant, as text: 2026-11-23T14:00Z."""
    return func.substr(minute(connection, column), 1, 15).op("||")("0Z")


def json_object(connection: Connection, key: ColumnElement[str], value: ColumnElement[str]) -> ColumnElement[Any]:
    """Return an aggregate: the JSON object of all rows, in their order. It is empty without rows."""
    if connection.dialect.name == "postgresql":
        return func.coalesce(func.json_object_agg(key, value, type_=JSON()), cast({}, JSON()), type_=JSON())
    return func.json_group_object(key, value, type_=column_types.Json)


def total(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the sum of a column, capped at `bounds.SUM`; null without rows.

    SQLite's own sum fails beyond 64 bits, so the halves of the numbers are summed separately and then combined.
    """
    most = _number(bounds.SUM)
    if connection.dialect.name == "postgresql":
        summed = func.sum(column)
        return cast(case((summed > most, most), else_=summed), BigInteger)
    whole = cast(column, Integer)
    low = func.sum(whole.bitwise_and(_number(0xFFFFFFFF)))
    high = func.sum(whole.bitwise_rshift(_number(32))) + low.bitwise_rshift(_number(32))
    combined = high.bitwise_lshift(_number(32)).bitwise_or(low.bitwise_and(_number(0xFFFFFFFF)))
    return case((high > _number(bounds.SUM >> 32), most), else_=combined)


def rough_total(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the sum of a column as a floating-point number, which no sum exceeds: exact up to 2^53."""
    return func.sum(cast(column, Float)) if connection.dialect.name == "postgresql" else func.total(column)


def _number(value: int) -> ColumnElement[int]:
    """Return a literal without a parameter, so that the database evaluates equal expressions only once."""
    return literal_column(str(value), BigInteger)


def acquire_locks(connection: Connection, names: Iterable[str]) -> None:
    """Take named locks until the transaction ends; wait for them. On SQLite a writer is alone anyway."""
    if connection.dialect.name == "postgresql":
        each = func.unnest(literal(sorted(names), ARRAY(Text))).column_valued("name")
        connection.execute(select(func.pg_advisory_xact_lock(_key(each))))


def try_acquire_lock(connection: Connection, name: str) -> bool:
    """Try to take a named lock until the transaction ends; return whether it was free. Always True on SQLite."""
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.execute(select(func.pg_try_advisory_xact_lock(_key(literal(name))))).scalar_one())


def _key(name: ColumnElement[str]) -> ColumnElement[int]:
    return func.hashtextextended(literal("runledger ") + name, 0)


def server_time(connection: Connection) -> datetime | None:
    """Return the time of the database server, which all processes share; None for an embedded database."""
    if connection.dialect.name != "postgresql":
        return None
    now: datetime = connection.execute(select(func.clock_timestamp(type_=column_types.Instant()))).scalar_one()
    return now


def is_embedded(connection: Connection) -> bool:
    """Return whether the database is embedded: then one transaction writes at a time."""
    return bool(connection.dialect.name == "sqlite")


def notify_on_commit(connection: Connection) -> None:
    """Request that other processes are notified when this transaction commits."""
    connection.info["notify"] = True


def send_notify(connection: Connection, has_work: bool) -> None:
    """Send the requested notification with the commit. It is only a hint: other processes also poll.

    `has_work` is false where the commit has no work for a worker.
    """
    if connection.info.pop("notify", False) and connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(CHANNEL, "" if has_work else NO_WORK)))
