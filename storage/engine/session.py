"""The PostgreSQL session settings that this code needs, independent of the settings of role, database and server.

`ALTER DATABASE … SET`, `ALTER ROLE … SET` and postgresql.conf can change each of these. We set them on each new
connection; behind a pooler in transaction mode, at the beginning of each transaction. Startup options would do the
same, but poolers reject them. Other settings do not matter here, or are the operator's choice (`search_path`,
memory, plans, `idle_in_transaction_session_timeout`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from storage import errors

if TYPE_CHECKING:  # the driver is slow to import, and not needed for an embedded database
    import psycopg

#: The settings and their required values.
REQUIRED_SETTINGS: Mapping[str, str] = {
    # The text forms of values.
    "TimeZone": "UTC",  # the driver cannot read distant instants in some other zones
    "DateStyle": "ISO, MDY",  # the driver reads no other style
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",  # a float is read exactly as it was written
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    # With a limit, an index would return a random part of its matches.
    "gin_fuzzy_search_limit": "0",
    # Timeouts: queries and locks have timeouts of our own, and a listening connection is idle.
    "statement_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    # A violated constraint ends a statement, not the connection.
    "exit_on_error": "off",
}
#: Settings that older servers do not have, with the version that introduced them.
SINCE: Mapping[str, int] = {"idle_session_timeout": 140_000, "transaction_timeout": 170_000}
#: An acknowledged callback must survive a crash. Values other than "off" are the operator's choice.
_COMMIT = (
    "set_config('synchronous_commit', CASE current_setting('synchronous_commit') "
    "WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, {local})"
)
ENCODING = "UTF8"


def settings_statement(version: int, *, local: bool, more: Mapping[str, str] | None = None) -> str:
    """Return the statement that sets all settings on a server of that version; `local` for one transaction."""
    is_local = "true" if local else "false"
    values = {name: value.replace("'", "''") for name, value in {**REQUIRED_SETTINGS, **(more or {})}.items()}
    known = [name for name in values if version >= SINCE.get(name, 0)]
    calls = [f"set_config('{name}', '{values[name]}', {is_local})" for name in known]
    return f"SELECT {', '.join([*calls, _COMMIT.format(local=is_local)])}"


def configure(connection: psycopg.Connection[Any], more: Mapping[str, str] | None = None) -> None:
    """Set the settings on a new connection. Raises WrongEncoding."""
    require_encoding(connection)
    was, connection.autocommit = connection.autocommit, True  # a rollback would undo the settings
    connection.execute(settings_statement(connection.info.server_version, local=False, more=more).encode())
    connection.autocommit = was


def require_encoding(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Raise WrongEncoding for a database that cannot store every text."""
    found = connection.info.parameter_status("server_encoding")
    if found is not None and found != ENCODING:
        condition = ", once its texts are known to be UTF-8" if found == "SQL_ASCII" else ""
        raise errors.WrongEncoding(
            f"the database has the encoding {found}, and texts of runs need UTF8: create a new one with "
            "`createdb --encoding=UTF8 --template=template0 NAME`, and set RUNLEDGER_DATABASE_URL to it. Copy the "
            f"contents of the old one with `pg_dump --encoding=UTF8` and `pg_restore`{condition}"
        )
