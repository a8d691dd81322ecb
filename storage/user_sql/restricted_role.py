"""Run a user's statement on PostgreSQL: as a subquery of ours, by a role that can only read the views.

A subquery can only be a query: no SET, no COPY, no DO, no second statement. The rights of the role are checked
each time, so that even another kind of statement could do no more.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, cast

import psycopg

from storage import errors
from storage.engine import connections, error_translation, session
from storage.engine.postgresql import connection_timeouts
from storage.user_sql import readable_columns, statements

#: The most bytes of a row as JSON, since it is in memory as a whole.
ROW = 1 << 20
#: The most columns of a result.
COLUMNS = 200
PARAMETER_MISMATCH = "08P01"
_SET = b"SELECT set_config($1, $2, true)"
#: SQLSTATEs of statements that do what the role may not.
DENIED = ("42501", "25006")
#: Classes of SQLSTATEs that concern the server, not the statement.
TROUBLE = ("08", "28", "3D", "53", "57", "58", "XX")
#: Functions that do more than compute, or that execute a text as a statement. The role could do no harm with most
#: of them; but every role may take locks and send notifications.
_CLOSED = re.compile(
    r"""(?<!\w)(pg_\w+|lo_\w+|loread|lowrite|dblink\w*|set_config|current_setting|nextval|setval|currval|lastval
        |txid_\w+|\w*(?:query|table|cursor|schema|database)_to_xml\w*|ts_stat|ts_rewrite|U&(?=["']))""",
    re.IGNORECASE | re.VERBOSE,
)

#: The text before a statement when its columns are read, and the text behind it.
_BEFORE, _AFTER = "SELECT asked.* FROM (\n", "\n) AS asked"
#: Types that become JSON values or plain texts; all others become PostgreSQL's text form.
_PLAIN = frozenset(
    ("bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "timestamptz", "timestamp",
     "date", "bytea")
)  # fmt: skip
#: Returns the first right of the role beyond reading the views, or NULL.
_EXCESS_RIGHT = b"""
    WITH me AS (SELECT * FROM pg_roles WHERE rolname = session_user),
    ours AS (
        SELECT c.oid, c.relkind, c.relowner, n.nspname = $1 AS is_ours,
            format('%I.%I', n.nspname, c.relname) AS name
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
            AND n.nspname !~ '^pg_(toast|temp)'
    )
    SELECT CASE
        WHEN session_user <> current_user THEN 'it is another role than the one that logged in'
        WHEN (SELECT rolsuper FROM me) THEN 'it is a superuser'
        WHEN (SELECT rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls FROM me)
            THEN 'it may create roles or databases, replicate, or pass by row security'
        WHEN EXISTS (SELECT FROM pg_auth_members m JOIN me ON m.member = me.oid) THEN 'it has other roles'
        WHEN EXISTS (SELECT FROM ours JOIN me ON ours.relowner = me.oid) THEN 'it owns tables'
        WHEN EXISTS (SELECT FROM pg_database d JOIN me ON d.datdba = me.oid) THEN 'it owns a database'
        WHEN EXISTS (SELECT FROM pg_namespace n WHERE has_schema_privilege(n.oid, 'CREATE'))
            OR has_database_privilege(current_database(), 'CREATE') THEN 'it may create tables'
        WHEN has_database_privilege(current_database(), 'TEMPORARY') THEN 'it may create temporary tables'
        ELSE COALESCE(
            (SELECT 'it can read ' || name FROM ours
                WHERE NOT is_ours AND has_any_column_privilege(oid, 'SELECT') ORDER BY name LIMIT 1),
            (SELECT 'it can change ' || name FROM ours
                WHERE has_any_column_privilege(oid, 'INSERT, UPDATE')
                    OR has_table_privilege(oid, 'DELETE, TRUNCATE')
                ORDER BY name LIMIT 1),
            (SELECT format('it can call %s, which acts as its owner', p.oid::regprocedure) FROM pg_proc p
                WHERE p.prosecdef AND has_function_privilege(p.oid, 'EXECUTE')
                    AND has_schema_privilege(p.pronamespace, 'USAGE')
                ORDER BY p.oid LIMIT 1),
            (SELECT 'it sees no views in the schema ' || $1 WHERE NOT EXISTS (
                SELECT FROM ours WHERE is_ours AND relkind = 'v' AND has_any_column_privilege(oid, 'SELECT')))
        )
    END
"""


def execute(url: str, statement: statements.Statement, bounds: statements.Bounds) -> statements.Answer:
    """Run a statement by the role in the URL, in a read-only transaction. Raises as `statements.execute` does."""
    found = _CLOSED.search(statement.text)
    if found is not None:
        raise errors.NotReadable(f"{found[0]} cannot be used here: if it is only a text, pass it as a parameter")
    try:
        with _connect(url, bounds) as cursor:
            _require_confined(cursor)
            ends_at = time.monotonic() + bounds.seconds
            columns = _columns(cursor, statement)
            _set_timeout(cursor, ends_at - time.monotonic())
            return _rows(cursor, statement, bounds, columns)
    except psycopg.Error as error:
        raise _translated(error, statement, bounds) from error


@contextmanager
def _connect(url: str, bounds: statements.Bounds) -> Iterator[psycopg.RawCursor[Any]]:
    """Open a cursor with `$1` as placeholder, in a read-only transaction that ends with the connection."""
    with connection_timeouts.Connection.connect(**connections.libpq_arguments(url)) as connection:
        connection.response_seconds = bounds.seconds + statements.GRACE
        connection.prepare_threshold = None
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        cursor = psycopg.RawCursor(connection)
        session.require_encoding(connection)
        cursor.execute(session.settings_statement(connection.info.server_version, local=True).encode())
        for name, value in (("lock_timeout", "1000"), ("search_path", readable_columns.SCHEMA)):
            cursor.execute(_SET, [name, value])
        _set_timeout(cursor, bounds.seconds)
        yield cursor
        connection.rollback()


def _set_timeout(cursor: psycopg.RawCursor[Any], seconds: float) -> None:
    """Set the timeout of the next statements."""
    cursor.execute(_SET, ["statement_timeout", str(max(1, int(seconds * 1000)))])


def _require_confined(cursor: psycopg.RawCursor[Any]) -> None:
    (excess,) = cursor.execute(_EXCESS_RIGHT, [readable_columns.SCHEMA]).fetchone() or ("it is unknown",)
    if excess is not None:
        reason = f"the role for SQL is refused, since {excess}: make one with deploy/sql-role.sql"
        raise errors.RoleTooPowerful(reason)


def _as_subquery(statement: statements.Statement) -> str:
    """Return the statement as a part of ours. The line break ends a comment at its end."""
    return statement.text.rstrip().rstrip(";") + _AFTER


def _columns(cursor: psycopg.RawCursor[Any], statement: statements.Statement) -> list[tuple[str, bool]]:
    """Return the column names, each with whether JSON has its type, without executing the statement."""
    query = f"{_BEFORE}{_as_subquery(statement)} LIMIT 0"
    # Only one statement is possible in the binary protocol.
    cursor.execute(query.encode(), list(statement.parameters), binary=True)
    found = [(column.name, _name(column.type_code) in _PLAIN) for column in cursor.description or ()]
    if not 0 < len(found) <= COLUMNS:
        raise errors.BadStatement(statement.text, f"it has {len(found)} columns, and must have 1 to {COLUMNS}")
    return found


def _name(oid: int) -> str:
    known = psycopg.adapters.types.get(oid)
    return "" if known is None or known.array_oid == oid else known.name


def _rows(
    cursor: psycopg.RawCursor[Any],
    statement: statements.Statement,
    bounds: statements.Bounds,
    columns: Sequence[tuple[str, bool]],
) -> statements.Answer:
    """Stream the rows, each as JSON, so that rows beyond the limits are never sent."""
    rows: list[list[statements.Value]] = []
    names, room = [name for name, _ in columns], bounds.size
    streamed = cursor.stream(_as_json(statement, columns).encode(), list(statement.parameters))
    with closing(cast(Generator[Any], streamed)) as lines:  # closing it cancels the rest of the query
        for (line,) in lines:
            if line is None:
                raise errors.BadStatement(statement.text, f"a row of the result is larger than {ROW} bytes")
            room -= len(line)
            if len(rows) == statement.rows or room < 0:
                return statements.Answer(names, rows, True)
            rows.append(list(json.loads(line, parse_int=_integer, parse_float=_float).values()))
    return statements.Answer(names, rows, False)


def _as_json(statement: statements.Statement, columns: Sequence[tuple[str, bool]]) -> str:
    """Return our statement around the user's. Columns get new names, since several may have the same name."""
    own = [f"c{at}" for at in range(len(columns))]
    subquery = f"{_as_subquery(statement)} ({', '.join(own)})"
    selected = (
        name if is_plain else f"{name}::text AS {name}" for name, (_, is_plain) in zip(own, columns, strict=True)
    )
    return (
        f"SELECT CASE WHEN octet_length(line) <= {ROW} THEN line END "
        "FROM (SELECT to_json(result)::text AS line FROM ("
        f"SELECT {', '.join(selected)} FROM (\n{subquery} LIMIT {statement.rows + 1}"
        ") AS result) AS lines"
    )


def _integer(digits: str) -> int | str:
    """Return an integer, or the text where it does not fit into 64 bits."""
    return int(digits) if len(digits) < 19 else digits


def _float(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits


def _translated(
    error: psycopg.Error, statement: statements.Statement, bounds: statements.Bounds
) -> errors.StorageError:
    """Return the error of this package for an error of the driver."""
    state, message = error.sqlstate or "", error.diag.message_primary or str(error).strip()
    message = message.replace(f"{_AFTER} LIMIT 0", "")
    # A server that builds a large text does not check its own timeout meanwhile.
    if state == error_translation.CANCELLED or isinstance(error, connection_timeouts.ResponseTimeout):
        return errors.StatementTimeout(statements.timeout_message(bounds))
    if state in DENIED:
        return errors.NotReadable(message)
    if state == PARAMETER_MISMATCH:
        return errors.BadStatement(statement.text, "the parameters and the values differ in number")
    if state.startswith(TROUBLE) or (not state and isinstance(error, psycopg.OperationalError)):
        return errors.Unavailable(message)
    return errors.BadStatement(statement.text, message, _position(error, statement))


def _position(error: psycopg.Error, statement: statements.Statement) -> int | None:
    """Return the position of an error in the user's statement, None where it lies in ours."""
    position = int(error.diag.statement_position or 0) - 1 - len(_BEFORE)
    return position if 0 <= position <= len(statement.text) else None
