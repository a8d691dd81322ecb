"""One statement of anybody's on an embedded database, in a process of its own that can do nothing else.

Run as a program with Python's standard library alone; it imports nothing of ours. It is given a JSON object on
standard input and answers with one. SQLite looks at the clock between two of its instructions only, and one of
them may search a text of megabytes for minutes: so the process bounds itself, and whoever started it may kill it.
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

#: Instructions of SQLite's machine between two looks at the clock.
STEPS = 1000
#: Bytes of a file that the process may write at most: of the index of a log that was never read.
FILE = 16 << 20

#: What of SQLite's own is bounded: bytes of a value or a row, bytes of the statement, and what makes plans large.
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

#: Functions that compute, and touch nothing else.
_COMPUTING = """
    -> ->> abs acos acosh asin asinh atan atan2 atanh avg ceil ceiling char coalesce cos cosh count cume_dist
    current_date current_time current_timestamp date datetime degrees dense_rank exp first_value floor format glob
    group_concat hex ifnull iif instr json json_array json_array_length json_extract json_group_array
    json_group_object json_insert json_object json_patch json_quote json_remove json_replace json_set json_type
    json_valid julianday lag last_value lead length like likelihood likely ln log log10 log2 lower ltrim match
    max min mod nth_value ntile nullif octet_length percent_rank pi pow power printf quote radians random rank
    replace round row_number rtrim sign sin sinh sqrt strftime string_agg substr substring sum tan tanh time
    timediff total trim trunc typeof unicode unixepoch unlikely upper zeroblob bm25
"""
FUNCTIONS = frozenset(_COMPUTING.split())
#: Tables that are functions over their arguments.
COMPUTED = ("json_each", "json_tree")
#: Tables of SQLite's own.
_INTERNAL = re.compile(r"(?<!\w)(?:sqlite|pragma)_\w+|(?<!\w)dbstat(?!\w)", re.IGNORECASE)
#: The index of words, and the tables that FTS5 keeps it in and reads through this very connection.
WORDS = "passage_words"
INSIDE = tuple(f"{WORDS}_{part}" for part in ("data", "idx", "docsize", "config"))


#: Of each table its columns in order, each with whether it is shown.
Columns = Mapping[str, Mapping[str, bool]]


class Guard:
    """SQLite asks it about all that a statement is made of. What is not listed is denied; `denied` names it.

    It is not asked about columns of a USING, which FULL JOIN even answers with. So it is not all that keeps
    secrets: the file is attached under a name that nobody can know beforehand, and by the names of its tables go
    views of ours.
    """

    def __init__(self, columns: Columns, known: frozenset[str], hidden: str) -> None:
        self._tables = frozenset(columns)
        self._known = known
        self._hidden = hidden
        self.denied: str | None = None

    def __call__(
        self, action: int, first: str | None, second: str | None, schema: str | None, inside: str | None
    ) -> int:
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ:
            may = self._may_read((first or "").lower(), (second or "").lower(), schema, inside)
            return sqlite3.SQLITE_OK if may else self._deny(f"the table {first}")
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in FUNCTIONS:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA and (first, second) == ("data_version", None):
            return sqlite3.SQLITE_OK  # FTS5 asks for it; it is a number
        return self._deny(_said(action, first, second))

    def _may_read(self, table: str, column: str, schema: str | None, inside: str | None) -> bool:
        if schema == self._hidden:
            is_ours = inside == f"{schema}_{table}" or (not column and table in self._tables)
            return is_ours or table == WORDS or table in INSIDE
        if table in COMPUTED or table in self._tables or table == WORDS or table.startswith(self._hidden):
            return True
        # Else it is the name of a common table expression, of which only rows are counted.
        return not column and table not in self._known

    def _deny(self, what: str) -> int:
        self.denied = self.denied or what
        return sqlite3.SQLITE_DENY


def _said(action: int, first: str | None, second: str | None) -> str:
    """What is denied, in words."""
    match action:
        case sqlite3.SQLITE_FUNCTION:
            return f"the function {second}"
        case sqlite3.SQLITE_PRAGMA:
            return f"PRAGMA {first}"
        case sqlite3.SQLITE_ATTACH | sqlite3.SQLITE_DETACH:
            return "ATTACH and DETACH"
        case sqlite3.SQLITE_TRANSACTION | sqlite3.SQLITE_SAVEPOINT:
            return "transactions"
        case _ if first == "sqlite_master":  # a virtual table that was never used declares itself
            return "a table that is none of the store's"
        case sqlite3.SQLITE_INSERT | sqlite3.SQLITE_UPDATE | sqlite3.SQLITE_DELETE:
            return f"a change of {first}"
    return "anything but reading"


def opened(asked: Mapping[str, Any]) -> tuple[sqlite3.Connection, Guard]:
    """A connection that can only read, and asks its guard about everything."""
    hidden = f"hidden_{secrets.token_hex(16)}"
    connection = sqlite3.connect("file::memory:", uri=True, timeout=1.0)
    connection.isolation_level = None
    connection.text_factory = lambda told: told.decode("utf-8", "replace")
    for pragma in ("trusted_schema=OFF", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(f"ATTACH ? AS {hidden}", [f"{Path(asked['file']).absolute().as_uri()}?mode=ro"])
    connection.execute(f"PRAGMA {hidden}.cache_size=-16384")
    connection.execute("BEGIN")  # what there is from here on stays as it is
    objects = {
        row[0] for row in connection.execute(f"SELECT name FROM {hidden}.sqlite_master WHERE type <> 'index'")
    }
    for statement in views(asked["columns"], objects, hidden):
        connection.execute(statement)
    for table in (*COMPUTED, *(f"{hidden}.{name}" for name in objects & {WORDS})):
        connection.execute(f"SELECT 1 FROM {table} LIMIT 0")  # connecting a virtual table declares its columns
    modules = {row[0] for row in connection.execute("SELECT name FROM pragma_module_list")}
    connection.execute("PRAGMA query_only=ON")
    for limit, most in LIMITS.items():
        connection.setlimit(limit, most)
    guard = Guard(asked["columns"], frozenset(each.lower() for each in modules | objects), hidden)
    connection.set_authorizer(guard)
    return connection, guard


def views(columns: Columns, objects: set[str], hidden: str) -> Iterator[str]:
    """The statements that put a view before each table of the file, and before that the one that may read it.

    SQLite names the innermost view that reads, or the common table expression: so that name must not be known.
    A table that cannot be read has a view as well, or its name would lead to the table.
    """
    for table in sorted(name for name in objects - {WORDS} if not name.startswith("sqlite_")):
        if table not in columns:
            yield f'CREATE TEMP VIEW "{table}" AS SELECT * FROM {hidden}."{table}"'
            continue
        told = ", ".join(name if is_shown else f"NULL AS {name}" for name, is_shown in columns[table].items())
        yield f"CREATE TEMP VIEW {hidden}_{table} AS SELECT {told} FROM {hidden}.{table}"
        yield f"CREATE TEMP VIEW {table} AS SELECT * FROM {hidden}_{table}"


def answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Carries the statement out. An error is told by its `kind`: denied, slow, large, away, wrong."""
    ends_at = time.monotonic() + asked["seconds"]
    if (found := _INTERNAL.search(asked["text"])) is not None:
        return {"kind": "denied", "said": f"the table {found[0].lower()}"}
    try:
        connection, guard = opened(asked)
    except sqlite3.Error as error:
        return {"kind": "away", "said": str(error)}
    connection.set_progress_handler(lambda: time.monotonic() > ends_at, STEPS)
    try:
        given = {str(place): value for place, value in enumerate(asked["parameters"], 1)}
        cursor = connection.execute(asked["text"], given)
        if cursor.description is None:
            return {"kind": "wrong", "said": "there is no statement in it that answers anything"}
        return _told(cursor, asked["rows"], asked["bytes"])
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        return _failed(error, guard)


def _failed(error: Exception, guard: Guard) -> dict[str, Any]:
    code = getattr(error, "sqlite_errorcode", None)
    if guard.denied is not None:
        return {"kind": "denied", "said": guard.denied}
    if code == sqlite3.SQLITE_INTERRUPT:
        return {"kind": "slow"}
    if code in (sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_FULL):
        return {"kind": "large"}
    if code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT):
        return {"kind": "away", "said": str(error)}
    if isinstance(error, sqlite3.ProgrammingError) and "inding" in str(error):
        return {"kind": "wrong", "said": "its parameters are $1, $2 and so on, and each has to be given"}
    return {"kind": "wrong", "said": str(error)}


def _told(cursor: sqlite3.Cursor, most_rows: int, most_bytes: int) -> dict[str, Any]:
    """Rows until there are enough of them; whether there were more."""
    rows: list[list[Any]] = []
    room = most_bytes
    for row in cursor:
        told = [_value(each) for each in row]
        room -= len(json.dumps(told))
        if len(rows) == most_rows or room < 0:
            return {"columns": _names(cursor), "rows": rows, "truncated": True}
        rows.append(told)
    return {"columns": _names(cursor), "rows": rows, "truncated": False}


def _names(cursor: sqlite3.Cursor) -> list[str]:
    return [column[0] for column in cursor.description]


def _value(value: Any) -> Any:
    """A value as JSON has it: bytes as PostgreSQL spells them, and what is no number in JSON as a word."""
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _bound(what: int, most: int) -> None:
    """Sets a limit for good, below one that there is already. Without it nothing is carried out."""
    _, hard = resource.getrlimit(what)
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (least, least))


def main() -> None:
    """Bounds this process, reads, answers."""
    asked = json.load(sys.stdin)
    _bound(resource.RLIMIT_AS, asked["memory"])
    _bound(resource.RLIMIT_CPU, math.ceil(asked["seconds"]) + 1)
    _bound(resource.RLIMIT_FSIZE, FILE)
    _bound(resource.RLIMIT_CORE, 0)
    try:
        told = answer(asked)
    except MemoryError:
        told = {"kind": "large"}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
