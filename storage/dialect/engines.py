"""Engines: how connections are made, begun and bounded."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.pool import QueuePool

from storage import errors, merkle
from storage.dialect import addresses, session

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
    parsed = addresses.parsed(url)
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite(parsed, readonly, connections, busy_seconds)
        case "postgresql":
            made = _postgresql(parsed, readonly, connections, busy_seconds, pooler)
            _be_impatient(made, silence_seconds)
            return made
    raise errors.Unavailable(f"this release speaks SQLite and PostgreSQL, not {parsed.get_backend_name()}")


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
        json_deserializer=_json,
        json_serializer=_encoded,
    )
    _configure(made, readonly)
    return made


def _postgresql(parsed: URL, readonly: bool, connections: int, busy_seconds: float, pooler: bool) -> Engine:
    """A writer reads what is committed, and locks what it decides upon; a reader has one snapshot."""
    from storage.dialect import loading  # as below

    wanted = _session(parsed, busy_seconds)
    pooler = pooler or addresses.is_pooled(parsed)
    made = create_engine(
        addresses.plain(parsed),
        hide_parameters=True,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=readonly,  # a lost write is begun anew by the door
        use_native_hstore=False,
        json_serializer=_encoded,
        isolation_level="REPEATABLE READ" if readonly else "READ COMMITTED",
        connect_args=_arguments(parsed),
    )

    @event.listens_for(made, "connect", insert=True)  # before SQLAlchemy's own first questions
    def connect(connection: Any, _record: object) -> None:
        connection.read_only = readonly
        loading.be_lenient(connection)
        if pooler:
            session.demand_encoding(connection)
            connection.prepare_threshold = None  # the next transaction may be on another connection of its
        else:
            session.prepare(connection, wanted)

    @event.listens_for(made, "handle_error")
    def terse(context: ExceptionContext) -> None:
        _leave_out_values(context)

    if pooler:

        @event.listens_for(made, "begin")
        def begin(connection: Connection) -> None:
            driver: Any = connection.connection.driver_connection
            set_up = session.statement(driver.info.server_version, local=True, more=wanted)
            connection.exec_driver_sql(set_up)

    return made


def _text(held: bytes) -> str | bytes:
    """Return a text of a file; one that is not UTF-8 as its bytes.

    The driver would raise for the whole answer. Bytes are no value of any text, so that the one row is left out
    and named where it is answered or exported.
    """
    try:
        return held.decode()
    except UnicodeDecodeError:
        return held


def _json(text: str | bytes) -> Any:
    """A JSON value of a file; what is none, since somebody else wrote it, is a text, or bytes as above."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _encoded(value: object) -> str:
    """A JSON value as it is sent to the database; one that is encoded already goes as it is."""
    return value if isinstance(value, merkle.Encoded) else json.dumps(value)


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


def _session(parsed: URL, busy_seconds: float) -> dict[str, str]:
    """What a session is set to beside what all rely on; what the address itself says wins."""
    wanted = (
        {}
        if "lock_timeout" in str(parsed.query.get("options"))
        else {"lock_timeout": str(int(busy_seconds * 1000))}
    )
    schema = addresses.schema(parsed)
    return wanted if schema is None else {**wanted, "search_path": schema}


def _arguments(parsed: URL) -> dict[str, Any]:
    """What libpq is told beside the address; what the address itself says wins, but for how texts are sent."""
    given = {name: value for name, value in PATIENCE.items() if name not in parsed.query}
    return {**given, "client_encoding": session.ENCODING}


def libpq(url: str) -> dict[str, Any]:
    """The arguments with which the driver itself connects to a database server."""
    parsed = addresses.plain(addresses.parsed(url))
    _, found = parsed.get_dialect()().create_connect_args(parsed)
    return {**PATIENCE, **found, "client_encoding": session.ENCODING}


def _keep_private(file: str | None) -> None:
    """Makes a new database file readable by its owner alone. Raises Unavailable."""
    if file and file != ":memory:":
        try:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))
        except (OSError, ValueError) as error:
            raise errors.Unavailable(
                f"{file} cannot be made: {getattr(error, 'strerror', None) or error}"
            ) from error


def _configure(made: Engine, readonly: bool) -> None:
    @event.listens_for(made, "connect")
    def connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, or the driver would begin too late
        for name, value in PRAGMAS.items():
            connection.execute(f"PRAGMA {name}={value}")
        if readonly:
            connection.execute("PRAGMA query_only=ON")
            connection.text_factory = _text

    @event.listens_for(made, "begin")
    def begin(connection: Connection) -> None:
        # IMMEDIATE takes the write lock at once: a read that turns into a write could not wait for it.
        connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")
