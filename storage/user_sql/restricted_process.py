"""A program that runs one statement of a user on an embedded database, in a process that can do nothing else.

It uses only Python's standard library and no module of ours. It reads a JSON object from standard input and writes
one to standard output. SQLite checks the time only between two instructions, and one instruction may search a text
of megabytes for minutes: so the process sets its own resource limits, and its parent kills it after a timeout.
"""

from __future__ import annotations

import json
import math
import re
import resource
import secrets
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

#: The instructions of SQLite's virtual machine between two checks of the time.
STEPS = 1000
#: The most bytes of a file that the process may write: SQLite may have to create the index of the WAL.
FILE = 16 << 20

#: Limits of SQLite: bytes of a value or row, bytes of the statement, and everything that makes plans large.
LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 16 << 20,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 25_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 100,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 100,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}

#: Functions that only compute.
_PURE_FUNCTIONS = """
    -> ->> abs acos acosh asin asinh atan atan2 atanh avg ceil ceiling char coalesce cos cosh count cume_dist
    current_date current_time current_timestamp date datetime degrees dense_rank exp first_value floor format glob
    group_concat hex ifnull iif instr json json_array json_array_length json_extract json_group_array
    json_group_object json_insert json_object json_patch json_quote json_remove json_replace json_set json_type
    json_valid julianday lag last_value lead length like likelihood likely ln log log10 log2 lower ltrim match
    max min mod nth_value ntile nullif octet_length percent_rank pi pow power printf quote radians random rank
    replace round row_number rtrim sign sin sinh sqrt strftime string_agg substr substring sum tan tanh time
    timediff total trim trunc typeof unicode unixepoch unlikely upper zeroblob bm25
"""
FUNCTIONS = frozenset(_PURE_FUNCTIONS.split())
#: Table-valued functions.
COMPUTED = ("json_each", "json_tree")
#: Internal tables of SQLite.
_INTERNAL = re.compile(r"(?<!\w)(?:sqlite|pragma)_\w+|(?<!\w)dbstat(?!\w)", re.IGNORECASE)
#: The full-text table, and its shadow tables, which FTS5 reads through this connection.
WORDS = "passage_words"
SHADOW_TABLES = tuple(f"{WORDS}_{part}" for part in ("data", "idx", "docsize", "config"))


#: The columns of each table in order; the value is True for a visible column.
Columns = Mapping[str, Mapping[str, bool]]


class Authorizer:
    """The authorizer callback of SQLite: denies every action that is not listed; `denied` names the first one.

    SQLite does not call it for columns in USING, whose values FULL JOIN even returns. So it is not the only
    protection: the file is attached under a random name, and its tables' names belong to views of ours.
    """

    def __init__(self, columns: Columns, known: frozenset[str], hidden: str) -> None:
        self._tables = frozenset(columns)
        self._known = known
        self._hidden = hidden
        self.denied: str | None = None

    def __call__(
        self, action: int, first: str | None, second: str | None, schema: str | None, source: str | None
    ) -> int:
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ:
            may = self._may_read((first or "").lower(), (second or "").lower(), schema, source)
            return sqlite3.SQLITE_OK if may else self._deny(f"the table {first}")
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in FUNCTIONS:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA and (first, second) == ("data_version", None):
            return sqlite3.SQLITE_OK  # FTS5 reads it; it is a number
        return self._deny(_description(action, first, second))

    def _may_read(self, table: str, column: str, schema: str | None, source: str | None) -> bool:
        if schema == self._hidden:
            is_ours = source == f"{schema}_{table}" or (not column and table in self._tables)
            return is_ours or table == WORDS or table in SHADOW_TABLES
        if table in COMPUTED or table in self._tables or table == WORDS or table.startswith(self._hidden):
            return True
        # Otherwise it is a common table expression whose rows are only counted.
        return not column and table not in self._known

    def _deny(self, action: str) -> int:
        self.denied = self.denied or action
        return sqlite3.SQLITE_DENY


def _description(action: int, first: str | None, second: str | None) -> str:
    """Return the name of a denied action."""
    match action:
        case sqlite3.SQLITE_FUNCTION:
            return f"the function {second}"
        case sqlite3.SQLITE_PRAGMA:
            return f"PRAGMA {first}"
        case sqlite3.SQLITE_ATTACH | sqlite3.SQLITE_DETACH:
            return "ATTACH and DETACH"
        case sqlite3.SQLITE_TRANSACTION | sqlite3.SQLITE_SAVEPOINT:
            return "transactions"
        case _ if first == "sqlite_master":  # a virtual table is declared at its first use
            return "a table outside the store"
        case sqlite3.SQLITE_INSERT | sqlite3.SQLITE_UPDATE | sqlite3.SQLITE_DELETE:
            return f"a change of {first}"
    return "a statement that does not only read"


def open_database(request: Mapping[str, Any]) -> tuple[sqlite3.Connection, Authorizer]:
    """Open a read-only connection, whose authorizer checks every action."""
    hidden = f"hidden_{secrets.token_hex(16)}"
    connection = sqlite3.connect("file::memory:", uri=True, timeout=1.0)
    connection.isolation_level = None
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    for pragma in ("trusted_schema=OFF", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(f"ATTACH ? AS {hidden}", [f"{Path(request['file']).absolute().as_uri()}?mode=ro"])
    connection.execute(f"PRAGMA {hidden}.cache_size=-16384")
    connection.execute("BEGIN")  # one snapshot for all that follows
    objects = {
        row[0] for row in connection.execute(f"SELECT name FROM {hidden}.sqlite_master WHERE type <> 'index'")
    }
    for statement in views(request["columns"], objects, hidden):
        connection.execute(statement)
    for table in (*COMPUTED, *(f"{hidden}.{name}" for name in objects & {WORDS})):
        connection.execute(f"SELECT 1 FROM {table} LIMIT 0")  # the first use of a virtual table declares it
    modules = {row[0] for row in connection.execute("SELECT name FROM pragma_module_list")}
    connection.execute("PRAGMA query_only=ON")
    for limit, most in LIMITS.items():
        connection.setlimit(limit, most)
    authorizer = Authorizer(request["columns"], frozenset(each.lower() for each in modules | objects), hidden)
    connection.set_authorizer(authorizer)
    return connection, authorizer


def views(columns: Columns, objects: set[str], hidden: str) -> Iterator[str]:
    """Yield the statements that create two views for each table: one that reads it, and one with its name.

    SQLite gives the authorizer the name of the innermost view or common table expression that reads a table, so
    the name of the reading view must be unknown to users. An unreadable table has a view with its name as well,
    since otherwise the name would mean the table itself.
    """
    for table in sorted(name for name in objects - {WORDS} if not name.startswith("sqlite_")):
        if table not in columns:
            yield f'CREATE TEMP VIEW "{table}" AS SELECT * FROM {hidden}."{table}"'
            continue
        selected = ", ".join(name if visible else f"NULL AS {name}" for name, visible in columns[table].items())
        yield f"CREATE TEMP VIEW {hidden}_{table} AS SELECT {selected} FROM {hidden}.{table}"
        yield f"CREATE TEMP VIEW {table} AS SELECT * FROM {hidden}_{table}"


def run(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run the statement. A failure has a `kind`: denied, slow, large, unavailable, wrong."""
    ends_at = time.monotonic() + request["seconds"]
    if (found := _INTERNAL.search(request["text"])) is not None:
        return {"kind": "denied", "message": f"the table {found[0].lower()}"}
    try:
        connection, authorizer = open_database(request)
    except sqlite3.Error as error:
        return {"kind": "unavailable", "message": str(error)}
    connection.set_progress_handler(lambda: time.monotonic() > ends_at, STEPS)
    try:
        parameters = {str(number): value for number, value in enumerate(request["parameters"], 1)}
        cursor = connection.execute(request["text"], parameters)
        if cursor.description is None:
            return {"kind": "wrong", "message": "it contains no statement that returns rows"}
        return _result(cursor, request["rows"], request["size"])
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        return _failure(error, authorizer)


def _failure(error: Exception, authorizer: Authorizer) -> dict[str, Any]:
    code = getattr(error, "sqlite_errorcode", None)
    if authorizer.denied is not None:
        return {"kind": "denied", "message": authorizer.denied}
    if code == sqlite3.SQLITE_INTERRUPT:
        return {"kind": "slow"}
    if code in (sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_FULL):
        return {"kind": "large"}
    if code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT):
        return {"kind": "unavailable", "message": str(error)}
    if isinstance(error, sqlite3.ProgrammingError) and "inding" in str(error):
        return {"kind": "wrong", "message": "its parameters are $1, $2 and so on, and each needs a value"}
    return {"kind": "wrong", "message": str(error)}


def _result(cursor: sqlite3.Cursor, most_rows: int, most_bytes: int) -> dict[str, Any]:
    """Return rows up to the limits, and whether there are more."""
    rows: list[list[Any]] = []
    room, is_truncated = most_bytes, False
    for row in cursor:
        values = [_value(each) for each in row]
        room -= len(json.dumps(values))
        if len(rows) == most_rows or room < 0:
            is_truncated = True
            break
        rows.append(values)
    return {"columns": [column[0] for column in cursor.description], "rows": rows, "truncated": is_truncated}


def _value(value: Any) -> Any:
    """Return a value that JSON can represent: bytes in PostgreSQL's hex format, and infinities as words."""
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _limit(kind: int, most: int) -> None:
    """Set a resource limit that cannot be raised again, and never above an existing one."""
    _, hard = resource.getrlimit(kind)
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (least, least))


def main() -> None:
    """Limit this process, read the request, and write the response."""
    request = json.load(sys.stdin)
    _limit(resource.RLIMIT_AS, request["memory"])
    _limit(resource.RLIMIT_CPU, math.ceil(request["seconds"]) + 1)
    _limit(resource.RLIMIT_FSIZE, FILE)
    _limit(resource.RLIMIT_CORE, 0)
    try:
        response = run(request)
    except MemoryError:
        response = {"kind": "large"}
    json.dump(response, sys.stdout)


if __name__ == "__main__":
    main()
