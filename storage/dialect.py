"""The complete list of what differs between SQLite and PostgreSQL; everything above is written once.

Column types that differ stand in `columns`. Foreign errors are translated here and nowhere else.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    String,
    Table,
    Text,
    create_engine,
    event,
    exc,
    func,
    literal,
    select,
    type_coerce,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.pool import QueuePool

from storage import columns, errors

#: The number of SQLite's mode in which a file can give back what is free in it.
INCREMENTAL = 2

PRAGMAS = {
    "auto_vacuum": "INCREMENTAL",  # holds for a file that is new: it has to come before all else
    "journal_mode": "WAL",
    "synchronous": "FULL",  # an acknowledged callback survives a power cut
    "foreign_keys": "ON",
    "secure_delete": "ON",  # what is removed is overwritten
    "cache_size": "-65536",
    "temp_store": "MEMORY",
    "journal_size_limit": "67108864",
}


#: How a PostgreSQL that went silent is noticed: keepalives for one that says nothing while it is asked, and a
#: bound for what was sent and never acknowledged (milliseconds), all of it libpq's own.
PATIENCE: Mapping[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
#: The channel on which PostgreSQL tells other processes that there is news.
CHANNEL = "runledger"
#: SQLSTATEs, or their classes, that tell of trouble rather than of a bug: connections, a standby, logins, an
#: unknown database, what was rolled back, missing rights, resources, locks, shutdowns, the system, the server.
TROUBLE = ("08", "25006", "28", "3D", "40", "42501", "53", "55", "57", "58", "F0", "XX")
LOCKED = "55P03"
#: What a transaction lost against another one, and wins when it is begun anew.
TAKEN_BACK = ("40001", "40P01")


def engine(
    url: str,
    *,
    readonly: bool,
    connections: int,
    busy_seconds: float = 5.0,
    silence_seconds: float | None = None,
    pooler: bool = False,
) -> Engine:
    """An engine with `connections` connections at most; a read-only one cannot write even by mistake.

    A statement waits `busy_seconds` for somebody else's lock before it is Unavailable, and `silence_seconds` for
    the answer of a server that hangs (None: for ever). `pooler` says that a transaction-mode pooler stands in
    between, where nothing outlasts a transaction. Raises Unavailable where the URL names a database that this
    build cannot speak to.
    """
    parsed = _parsed(url)
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite(parsed, readonly, connections, busy_seconds)
        case "postgresql":
            made = _postgresql(parsed, readonly, connections, busy_seconds, pooler)
            _be_impatient(made, silence_seconds)
            return made
    raise errors.Unavailable(f"this release speaks SQLite and PostgreSQL, not {parsed.get_backend_name()}")


def _parsed(url: str) -> URL:
    """The address, with the one driver of PostgreSQL that we have, whatever it is called there."""
    parsed = make_url(url)
    is_server = parsed.drivername in ("postgres", "postgresql")
    return parsed.set(drivername="postgresql+psycopg") if is_server else parsed


def _sqlite(parsed: URL, readonly: bool, connections: int, busy_seconds: float) -> Engine:
    if not readonly:
        _keep_private(parsed.database)
    made = create_engine(
        parsed,
        hide_parameters=True,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        connect_args={"check_same_thread": False, "timeout": busy_seconds},
    )
    _configure(made, readonly)
    return made


def _postgresql(parsed: URL, readonly: bool, connections: int, busy_seconds: float, pooler: bool) -> Engine:
    """A writer reads what is committed, and locks what it decides upon; a reader has one snapshot."""
    made = create_engine(
        parsed,
        hide_parameters=True,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=readonly,  # a lost write is begun anew by the door
        use_native_hstore=False,
        isolation_level="REPEATABLE READ" if readonly else "READ COMMITTED",
        connect_args=_arguments(parsed, busy_seconds, pooler),
    )

    @event.listens_for(made, "connect")
    def connect(connection: Any, _record: object) -> None:
        connection.read_only = readonly
        if pooler:
            connection.prepare_threshold = None  # the next transaction may be on another connection of its

    @event.listens_for(made, "handle_error")
    def terse(context: ExceptionContext) -> None:
        _leave_out_values(context)

    if pooler:

        @event.listens_for(made, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(busy_seconds * 1000)}")

    return made


def _be_impatient(made: Engine, seconds: float | None) -> None:
    """Has a server that hangs given up after so many seconds."""
    from storage import patience  # the driver is slow to import, and an embedded database does without

    @event.listens_for(made, "do_connect")
    def connect(_dialect: object, _record: object, given: Any, named: Any) -> patience.Connection:
        opened = patience.Connection.connect(*given, **named)
        opened.seconds = seconds
        return opened


def _leave_out_values(context: ExceptionContext) -> None:
    """PostgreSQL tells which values broke a constraint: they may be anybody's secret."""
    original, shown = context.original_exception, context.sqlalchemy_exception
    whole, primary = str(original), getattr(getattr(original, "diag", None), "message_primary", None)
    if primary is not None and shown is not None:
        shown.args = tuple(str(each).replace(whole, primary) for each in shown.args)
        original.args = (primary,)


def _arguments(parsed: URL, busy_seconds: float, pooler: bool) -> dict[str, Any]:
    """What libpq is told beside the address; what the address itself says wins."""
    given = {name: value for name, value in PATIENCE.items() if name not in parsed.query}
    if not pooler:  # poolers know no options, and a setting would outlast the transaction there
        options = parsed.query.get("options", "")
        given["options"] = f"-c lock_timeout={int(busy_seconds * 1000)} {options}".rstrip()
    return given


def libpq(url: str) -> dict[str, Any]:
    """The arguments with which the driver itself connects to a database server."""
    parsed = _parsed(url)
    _, found = parsed.get_dialect()().create_connect_args(parsed)
    return {**PATIENCE, **found}


def _keep_private(file: str | None) -> None:
    """Makes a new database file readable by its owner alone: it will hold prompts and results."""
    if file and file != ":memory:":
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))


def _configure(made: Engine, readonly: bool) -> None:
    @event.listens_for(made, "connect")
    def connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, or the driver would begin too late
        for name, value in PRAGMAS.items():
            connection.execute(f"PRAGMA {name}={value}")
        if readonly:
            connection.execute("PRAGMA query_only=ON")

    @event.listens_for(made, "begin")
    def begin(connection: Connection) -> None:
        # IMMEDIATE takes the write lock at once: a read that turns into a write could not wait for it.
        connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")


def is_url(text: str) -> bool:
    """Whether it can be read as the address of a database that this release speaks to."""
    try:
        return make_url(text).get_backend_name() in ("sqlite", "postgres", "postgresql")
    except exc.ArgumentError:
        return False


def shown(url: str) -> str:
    """The address without its password."""
    return unquote(make_url(url).render_as_string(hide_password=True))


def file_of(url: str) -> str | None:
    """The path of an embedded database, None for a server's."""
    parsed: URL = make_url(url)
    return parsed.database if parsed.get_backend_name() == "sqlite" else None


@contextmanager
def sole_server(url: str) -> Iterator[None]:
    """Holds the lock file beside an embedded database for as long as a server runs on it. Raises InUse.

    A database server needs none: leases and locks of its own keep replicas apart.
    """
    file = file_of(url)
    if file is None:
        yield
        return
    path = Path(f"{file}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise errors.InUse(
                f"another Runledger server is running on {file} (it holds {path.name}): stop it, or give this "
                "one a data folder of its own. An embedded database takes one `runledger serve` or `runledger "
                "work`; several need PostgreSQL"
            ) from None
        yield


def insert(connection: Connection, table: Table) -> Any:
    """An INSERT that knows ON CONFLICT, in the dialect of the connection."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def day(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The UTC day of an instant, as text: 2026-11-23."""
    if connection.dialect.name == "postgresql":
        return func.to_char(func.timezone("UTC", column), "YYYY-MM-DD")
    return func.substr(type_coerce(column, String), 1, 10)


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


def translate(error: exc.SQLAlchemyError) -> Exception:
    """What a failed statement means to callers: trouble of the database is Unavailable, a bug stays as it is."""
    # DatabaseError itself, none of its kinds, is what the driver says of a file that is no database.
    trouble = isinstance(error, exc.OperationalError | exc.TimeoutError | exc.InterfaceError)
    if trouble or _is_lost(error) or type(error) is exc.DatabaseError or _sqlstate(error).startswith(TROUBLE):
        return errors.Unavailable(_cause(error))
    return error


def is_taken_back(error: exc.SQLAlchemyError) -> bool:
    """Whether nothing of the transaction holds and it may well pass when it is begun anew: it lost a race, or its
    connection before the commit was asked for.

    One that was not answered would most likely not be answered again.
    """
    return (_is_lost(error) and not _was_silent(error)) or _sqlstate(error) in TAKEN_BACK


def is_locked(error: BaseException | None) -> bool:
    """Whether a statement waited in vain for somebody else's lock; SQLite's stands before the first one."""
    return isinstance(error, exc.SQLAlchemyError) and _sqlstate(error) == LOCKED


def _is_lost(error: exc.SQLAlchemyError) -> bool:
    return isinstance(error, exc.DBAPIError) and error.connection_invalidated


def _was_silent(error: exc.SQLAlchemyError) -> bool:
    from storage import patience

    return isinstance(getattr(error, "orig", None), patience.Silence)


def _sqlstate(error: exc.SQLAlchemyError) -> str:
    """PostgreSQL's code of an error; empty where it has none."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _cause(error: exc.SQLAlchemyError) -> str:
    """The driver's own sentence in one line, without the statement."""
    return " ".join(str(getattr(error, "orig", None) or type(error).__name__).split())
