"""A statement of anybody's on PostgreSQL: as a subquery of ours, by a role that can read views and nothing else.

As a subquery it can be nothing but a question: no SET, no COPY, no DO, no second statement. Its role, which is
looked at each time, could not do more if it were something else.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NoReturn, cast

import psycopg

from storage import errors, patience
from storage.dialect import asking, engines, faults, session

#: Bytes of one row as JSON: they are in memory at once.
ROW = 1 << 20
#: Columns that are answered at most.
COLUMNS = 200
UNBOUND = "08P01"
_SET = b"SELECT set_config($1, $2, true)"
#: SQLSTATEs of statements that reach for what they may not.
DENIED = ("42501", "25006")
#: ... or their classes, that tell of the server rather than of the statement.
TROUBLE = ("08", "28", "3D", "53", "57", "58", "XX")
#: Functions that do more than compute, or carry out a text as a statement of its own. The role could harm nothing
#: by most of them; but locks and notifications are open to every role.
_CLOSED = re.compile(
    r"""(?<!\w)(pg_\w+|lo_\w+|loread|lowrite|dblink\w*|set_config|current_setting|nextval|setval|currval|lastval
        |txid_\w+|\w*(?:query|table|cursor|schema|database)_to_xml\w*|ts_stat|ts_rewrite|U&(?=["']))""",
    re.IGNORECASE | re.VERBOSE,
)

#: What stands before a statement when it is looked at, and what behind it.
_BEFORE, _AFTER = "SELECT asked.* FROM (\n", "\n) AS asked"
#: Types that JSON has, and those that it has as plain texts; of all others the text is told that PostgreSQL makes.
_PLAIN = frozenset(
    ("bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "timestamptz", "timestamp",
     "date", "bytea")
)  # fmt: skip
#: The first thing that the role can do beyond reading the views, None where there is none.
_BEYOND = b"""
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


def asked(url: str, statement: asking.Statement, bounds: asking.Bounds, schema: str) -> asking.Answer:
    """What the role of that address is answered, in a transaction that only reads. Raises as `asking.asked`."""
    found = _CLOSED.search(statement.text)
    if found is not None:
        raise errors.NotReadable(f"{found[0]} cannot be used here; as a mere text give it as a parameter")
    with _translated(statement, bounds), _connected(url, bounds, schema) as cursor:
        _demand_confined(cursor, schema)
        ends_at = time.monotonic() + bounds.seconds
        columns = _columns(cursor, statement)
        _give(cursor, ends_at - time.monotonic())
        return _rows(cursor, statement, bounds, columns)


@contextmanager
def _connected(url: str, bounds: asking.Bounds, schema: str) -> Iterator[psycopg.RawCursor[Any]]:
    """A cursor whose placeholders are `$1`, in a transaction that reads and ends with the connection."""
    with patience.Connection.connect(**engines.libpq(url)) as connection:
        connection.seconds = bounds.seconds + asking.GRACE
        connection.prepare_threshold = None
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        cursor = psycopg.RawCursor(connection)
        session.demand_encoding(connection)
        cursor.execute(session.statement(connection.info.server_version, local=True).encode())
        for name, value in (("lock_timeout", "1000"), ("search_path", schema)):
            cursor.execute(_SET, [name, value])
        _give(cursor, bounds.seconds)
        yield cursor
        connection.rollback()


def _give(cursor: psycopg.RawCursor[Any], seconds: float) -> None:
    """So long each of the next statements may take."""
    cursor.execute(_SET, ["statement_timeout", str(max(1, int(seconds * 1000)))])


def _demand_confined(cursor: psycopg.RawCursor[Any], schema: str) -> None:
    beyond = cursor.execute(_BEYOND, [schema]).fetchone()
    if beyond is None or beyond[0] is not None:
        told = "it is unknown" if beyond is None else beyond[0]
        raise errors.Unconfined(f"the role for SQL is refused, since {told}: make one with deploy/sql-role.sql")


def _inside(statement: asking.Statement) -> str:
    """The statement as a part of ours; a comment at its end ends with its line."""
    return statement.text.rstrip().rstrip(";") + _AFTER


def _columns(cursor: psycopg.RawCursor[Any], statement: asking.Statement) -> list[tuple[str, bool]]:
    """The names of what it answers, each with whether JSON has its type, before anything is carried out."""
    query = f"{_BEFORE}{_inside(statement)} LIMIT 0"
    cursor.execute(query.encode(), list(statement.parameters), binary=True)  # one statement, whatever it holds
    found = [(column.name, _name(column.type_code) in _PLAIN) for column in cursor.description or ()]
    if not 0 < len(found) <= COLUMNS:
        raise errors.BadStatement(statement.text, f"it answers {len(found)} columns; 1 to {COLUMNS} are taken")
    return found


def _name(oid: int) -> str:
    known = psycopg.adapters.types.get(oid)
    return "" if known is None or known.array_oid == oid else known.name


def _rows(
    cursor: psycopg.RawCursor[Any],
    statement: asking.Statement,
    bounds: asking.Bounds,
    columns: Sequence[tuple[str, bool]],
) -> asking.Answer:
    """Row by row, each as JSON, so that what is not wanted any more is never sent."""
    rows: list[list[asking.Value]] = []
    names, room = [name for name, _ in columns], bounds.size
    streamed = cursor.stream(_as_json(statement, columns).encode(), list(statement.parameters))
    with closing(cast(Generator[Any], streamed)) as told:  # closed, it cancels what is not wanted any more
        for (line,) in told:
            if line is None:
                raise errors.BadStatement(statement.text, f"a row of the answer is larger than {ROW} bytes")
            room -= len(line)
            if len(rows) == statement.rows or room < 0:
                return asking.Answer(names, rows, True)
            rows.append(list(json.loads(line, parse_int=_integer, parse_float=_float).values()))
    return asking.Answer(names, rows, False)


def _as_json(statement: asking.Statement, columns: Sequence[tuple[str, bool]]) -> str:
    """Our statement around theirs. Columns are named anew, since several may have one name."""
    own = [f"c{place}" for place in range(len(columns))]
    told = (
        name if is_plain else f"{name}::text AS {name}" for name, (_, is_plain) in zip(own, columns, strict=True)
    )
    return (
        f"SELECT CASE WHEN octet_length(line) <= {ROW} THEN line END "
        "FROM (SELECT to_json(told)::text AS line FROM ("
        f"SELECT {', '.join(told)} FROM (\n{_inside(statement)} ({', '.join(own)}) LIMIT {statement.rows + 1}"
        ") AS told) AS lines"
    )


def _integer(digits: str) -> int | str:
    """What 64 bits do not hold stays a text."""
    return int(digits) if len(digits) < 19 else digits


def _float(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits


@contextmanager
def _translated(statement: asking.Statement, bounds: asking.Bounds) -> Iterator[None]:
    """Turns the driver's errors into ours."""
    try:
        yield
    except psycopg.Error as error:
        _raise(error, statement, bounds)


def _raise(error: psycopg.Error, statement: asking.Statement, bounds: asking.Bounds) -> NoReturn:
    state, said = error.sqlstate or "", error.diag.message_primary or str(error).strip()
    said = said.replace(f"{_AFTER} LIMIT 0", "")
    if state == faults.CANCELLED or isinstance(
        error, patience.Silence
    ):  # it makes a large text without looking up
        raise errors.TooSlow(asking.said(bounds)) from error
    if state in DENIED:
        raise errors.NotReadable(said) from error
    if state == UNBOUND:
        raise errors.BadStatement(statement.text, "it has more parameters than are given, or fewer") from error
    if state.startswith(TROUBLE) or (not state and isinstance(error, psycopg.OperationalError)):
        raise errors.Unavailable(said) from error
    raise errors.BadStatement(statement.text, said, _place(error, statement)) from error


def _place(error: psycopg.Error, statement: asking.Statement) -> int | None:
    """The character of theirs that PostgreSQL complains of; what stands in ours is nobody's."""
    place = int(error.diag.statement_position or 0) - 1 - len(_BEFORE)
    return place if 0 <= place <= len(statement.text) else None
