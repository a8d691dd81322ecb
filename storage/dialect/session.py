"""What a session of PostgreSQL must be like for this code, whatever a role, a database or a server has set.

`ALTER DATABASE … SET`, `ALTER ROLE … SET` and postgresql.conf can change each of these. They are set once a
connection is made; behind a pooler in transaction mode at the beginning of each transaction. Startup options would
do it too, but poolers refuse them. What is not in the list is not relied on, or is the operator's to decide
(`search_path`, memory, plans, `idle_in_transaction_session_timeout`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from storage import errors

if TYPE_CHECKING:  # the driver is slow to import, and an embedded database does without
    import psycopg

#: Settings and what they must be.
RELIED_ON: Mapping[str, str] = {
    # How values are written and read.
    "TimeZone": "UTC",  # far instants cannot be read in some other zones
    "DateStyle": "ISO, MDY",  # the driver reads no other style
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",  # what is read is what was written
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    # What is found: the bound makes an index answer a random part of what is there.
    "gin_fuzzy_search_limit": "0",
    # How long anything may take: bounds of our own exist for questions and locks. What waits for news is idle.
    "statement_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    # A constraint that is broken ends a statement, not the connection.
    "exit_on_error": "off",
}
#: Settings that older servers do not know, with the version that brought them.
SINCE: Mapping[str, int] = {"idle_session_timeout": 140_000, "transaction_timeout": 170_000}
#: An acknowledged callback survives a crash; what is stronger than "off" was chosen by the operator.
_COMMIT = (
    "set_config('synchronous_commit', CASE current_setting('synchronous_commit') "
    "WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, {local})"
)
ENCODING = "UTF8"


def statement(version: int, *, local: bool, more: Mapping[str, str] | None = None) -> str:
    """The statement that sets all of it, of a server of that version; `local` holds for a transaction."""
    lasts = "true" if local else "false"
    calls = [_call(name, value, lasts) for name, value in _wanted(version, more or {})]
    return f"SELECT {', '.join([*calls, _COMMIT.format(local=lasts)])}"


def _wanted(version: int, more: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in {**RELIED_ON, **more}.items():
        if version >= SINCE.get(name, 0):
            yield name, value


def _call(name: str, value: str, local: str) -> str:
    escaped = value.replace("'", "''")
    return f"set_config('{name}', '{escaped}', {local})"


def prepare(connection: psycopg.Connection[Any], more: Mapping[str, str] | None = None) -> None:
    """Has a new connection be as it must for as long as it lasts. Raises WrongEncoding."""
    demand_encoding(connection)
    was, connection.autocommit = connection.autocommit, True  # what a rollback takes back was not set
    connection.execute(statement(connection.info.server_version, local=False, more=more).encode())
    connection.autocommit = was


def demand_encoding(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Raises WrongEncoding for a database that cannot hold every text."""
    found = connection.info.parameter_status("server_encoding")
    if found is not None and found != ENCODING:
        raise errors.WrongEncoding(
            f"the database has the encoding {found}, and texts of runs need UTF8: make a new one with "
            "`createdb --encoding=UTF8 --template=template0 NAME`, and set RUNLEDGER_DATABASE_URL to it. What is "
            f"in the old one goes over with `pg_dump --encoding=UTF8` and `pg_restore`{_lossy(found)}"
        )


def _lossy(encoding: str) -> str:
    return ", once its texts are known to be UTF-8" if encoding == "SQL_ASCII" else ""
