"""Engines: how connections are opened and configured, and how their transactions begin."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.pool import QueuePool

from storage import errors, merkle
from storage.engine import column_types, session, sqlite_driver, urls

#: SQLite's number for the incremental mode of auto_vacuum, in which a file can release its free pages.
INCREMENTAL = 2

PRAGMAS = {
    "auto_vacuum": "INCREMENTAL",  # works only for a new file, so it comes first
    "journal_mode": "WAL",
    "synchronous": "FULL",  # an acknowledged callback survives a power cut
    "foreign_keys": "ON",
    "secure_delete": "ON",  # removed content is overwritten
    "cache_size": "-65536",
    "temp_store": "MEMORY",
    "journal_size_limit": "67108864",
}


#: Options of libpq that notice a lost PostgreSQL server: keepalives while a response is awaited, and a limit for
#: data that was sent and not acknowledged (in milliseconds).
CONNECTION_TIMEOUTS: Mapping[str, Any] = {
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
    response_seconds: float | None = None,
    pooler: bool = False,
) -> Engine:
    """Return an engine with at most `connections` connections; the database rejects writes of a read-only one.

    A statement waits `busy_seconds` for a lock of another program before it is Unavailable, and `response_seconds`
    for the response of a server that hangs (None: without limit). `pooler` means that a pooler in transaction mode
    is in between, where no setting outlasts a transaction. Raises Unavailable for an unsupported database.
    """
    parsed = urls.parse(url)
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite(parsed, readonly, connections, busy_seconds)
        case "postgresql":
            return _postgresql(parsed, readonly, connections, busy_seconds, response_seconds, pooler)
    raise errors.Unavailable(f"this release supports SQLite and PostgreSQL, not {parsed.get_backend_name()}")


def _sqlite(parsed: URL, readonly: bool, connections: int, busy_seconds: float) -> Engine:
    if not readonly:
        _create_private(parsed.database)
    new_engine = create_engine(
        parsed,
        **_COMMON,
        pool_size=connections,
        connect_args={"check_same_thread": False, "timeout": busy_seconds},
        json_deserializer=column_types.decode_json,
    )

    @event.listens_for(new_engine, "connect")
    def connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we send BEGIN ourselves: the driver would begin too late
        for name, value in PRAGMAS.items():
            connection.execute(f"PRAGMA {name}={value}")
        if readonly:
            connection.execute("PRAGMA query_only=ON")

    @event.listens_for(new_engine, "begin")
    def begin(connection: Connection) -> None:
        if readonly:
            sqlite_driver.execute(connection, "BEGIN")
        else:
            # This takes the write lock at once: a read that turns into a write could not wait for it.
            sqlite_driver.execute(connection, "BEGIN IMMEDIATE")

    return new_engine


def _postgresql(
    parsed: URL,
    readonly: bool,
    connections: int,
    busy_seconds: float,
    response_seconds: float | None,
    pooler: bool,
) -> Engine:
    """Return an engine. A writer reads committed rows and locks those it depends on; a reader has a snapshot."""
    # The driver is slow to import, and not needed for an embedded database.
    from storage.engine.postgresql import connection_timeouts, instant_loader

    settings = _session_settings(parsed, busy_seconds)
    pooler = pooler or urls.is_pooled(parsed)
    new_engine = create_engine(
        urls.without_foreign_options(parsed),
        **_COMMON,
        pool_size=connections,
        pool_pre_ping=readonly,  # the writer begins a lost transaction again
        use_native_hstore=False,
        isolation_level="REPEATABLE READ" if readonly else "READ COMMITTED",
        connect_args=_libpq_options(parsed),
    )
    event.listen(new_engine, "handle_error", _remove_values)

    @event.listens_for(new_engine, "do_connect")
    def open_connection(_dialect: object, _record: object, args: Any, kwargs: Any) -> Any:
        opened = connection_timeouts.Connection.connect(*args, **kwargs)
        opened.response_seconds = response_seconds
        return opened

    @event.listens_for(new_engine, "connect", insert=True)  # before SQLAlchemy's own first statements
    def connect(connection: Any, _record: object) -> None:
        connection.read_only = readonly
        instant_loader.register(connection)
        if pooler:
            session.require_encoding(connection)
            connection.prepare_threshold = None  # the pooler may use another connection next time
        else:
            session.configure(connection, settings)

    if pooler:

        @event.listens_for(new_engine, "begin")
        def begin(connection: Connection) -> None:
            driver: Any = connection.connection.driver_connection
            set_up = session.settings_statement(driver.info.server_version, local=True, more=settings)
            connection.exec_driver_sql(set_up)

    return new_engine


def is_undecodable(error: exc.SQLAlchemyError) -> bool:
    """Return whether a file has a text that is not UTF-8: the driver then raises for the whole answer."""
    return isinstance(error, exc.OperationalError) and str(error.orig).startswith("Could not decode to UTF-8")


@contextmanager
def lenient_texts(connection: Connection) -> Iterator[None]:
    """Read a text that is not UTF-8 as its bytes within the block, which is slow.

    Bytes are no value of any text, so that the one row is left out and named where it is answered or exported.
    """
    driver: Any = connection.connection.driver_connection
    driver.text_factory = _text
    try:
        yield
    finally:
        driver.text_factory = str


def _text(held: bytes) -> str | bytes:
    try:
        return held.decode()
    except UnicodeDecodeError:
        return held


def _encode(value: object) -> str:
    """Return the text of a JSON value for the database; an encoded one is sent as it is."""
    return value if isinstance(value, merkle.CanonicalJson) else json.dumps(value)


#: The options of every engine: a fixed number of connections, and no values in errors.
_COMMON: Mapping[str, Any] = {
    "hide_parameters": True,
    "poolclass": QueuePool,
    "max_overflow": 0,
    "json_serializer": _encode,
}


def _remove_values(context: ExceptionContext) -> None:
    """Remove values from an error: PostgreSQL names those that broke a constraint, and they may be secrets."""
    original, shown = context.original_exception, context.sqlalchemy_exception
    whole, primary = str(original), getattr(getattr(original, "diag", None), "message_primary", None)
    if primary is not None and shown is not None:
        shown.args = tuple(str(each).replace(whole, primary) for each in shown.args)
        original.args = (primary,)


def _session_settings(parsed: URL, busy_seconds: float) -> dict[str, str]:
    """Return the session settings of this engine alone. Options of the URL take precedence."""
    schema = urls.search_path(parsed)
    settings = {} if schema is None else {"search_path": schema}
    if "lock_timeout" not in str(parsed.query.get("options")):
        settings["lock_timeout"] = str(int(busy_seconds * 1000))
    return settings


def _libpq_options(parsed: URL) -> dict[str, Any]:
    """Return further options for libpq. Options of the URL take precedence, except for the encoding."""
    options = {name: value for name, value in CONNECTION_TIMEOUTS.items() if name not in parsed.query}
    return {**options, "client_encoding": session.ENCODING}


def libpq_arguments(url: str) -> dict[str, Any]:
    """Return the arguments with which the driver connects to a database server."""
    parsed = urls.without_foreign_options(urls.parse(url))
    _, found = parsed.get_dialect()().create_connect_args(parsed)
    return {**CONNECTION_TIMEOUTS, **found, "client_encoding": session.ENCODING}


def _create_private(file: str | None) -> None:
    """Create a new database file that only its owner can read. Raises Unavailable."""
    if file and file != ":memory:":
        try:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))
        except (OSError, ValueError) as error:
            raise errors.Unavailable(
                f"{file} cannot be created: {getattr(error, 'strerror', None) or error}"
            ) from error
