"""A time limit for all statements of a block."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, event, exc

from storage import errors
from storage.engine import error_translation

#: The instructions of SQLite's virtual machine between two checks of the time.
STEPS = 1000
#: The timeout of a server is set again once the remaining time has fallen by this many seconds.
SLACK = 0.05
_KEY = "deadline"
#: One plan cannot fit all: words and ranges differ too much in how many rows they match.
_CUSTOM_PLANS = "SET LOCAL plan_cache_mode = force_custom_plan"


@contextmanager
def deadline(connection: Connection, seconds: float) -> Iterator[None]:
    """Limit the statements of the block to `seconds`, all of them together. Raises StatementTimeout."""
    is_server = connection.dialect.name == "postgresql"
    limit = _Deadline(seconds, time.monotonic() + seconds, is_server)
    info = connection.info  # a lost connection has none in the end
    info[_KEY] = limit
    try:
        with nullcontext() if is_server else _interrupted(connection, limit.ends_at):
            yield
    except exc.DBAPIError as error:
        if is_server:
            is_over = error_translation.sqlstate(error) == error_translation.CANCELLED
        else:
            is_over = "interrupted" in str(error.orig)
        if is_over:
            raise errors.StatementTimeout(_message(seconds)) from error
        raise
    finally:
        info.pop(_KEY, None)


@dataclass(slots=True)
class _Deadline:
    """When the statements of a block have to end, and the timeout that is set on the server."""

    seconds: float
    ends_at: float
    is_server: bool
    timeout: float = float("inf")


def watch(engine: Engine) -> None:
    """Check the deadline before each statement of the engine's connections: many short ones may take long too."""
    event.listen(engine, "before_cursor_execute", _begin)


def check(connection: Connection) -> None:
    """Raise StatementTimeout where the deadline has passed. Statements that bypass SQLAlchemy call it."""
    limit: _Deadline | None = connection.info.get(_KEY)
    if limit is not None:
        _left(limit)


def _left(limit: _Deadline) -> float:
    left = limit.ends_at - time.monotonic()
    if left <= 0:
        raise errors.StatementTimeout(_message(limit.seconds))
    return left


def _begin(connection: Connection, cursor: Any, *_: Any) -> None:
    limit: _Deadline | None = connection.info.get(_KEY)
    if limit is None:
        return
    left = _left(limit)
    if limit.is_server and limit.timeout - left > SLACK:  # most blocks set it only once
        cursor.execute(f"SET LOCAL statement_timeout = {max(1, int(left * 1000))}; {_CUSTOM_PLANS}")
        limit.timeout = left


@contextmanager
def _interrupted(connection: Connection, ends_at: float) -> Iterator[None]:
    """Make SQLite check the time while a statement runs."""
    driver = connection.connection.driver_connection
    assert driver is not None, "an open connection has one"
    driver.set_progress_handler(lambda: time.monotonic() > ends_at, STEPS)
    try:
        yield
    finally:
        driver.set_progress_handler(None, 0)


def _message(seconds: float) -> str:
    return (
        f"the query did not end within {seconds:g} s: restrict it by a narrower `created`, an agent or a status, "
        "write more letters before a `*`, or sort in the order of acceptance"
    )
