"""Statements that are given so many seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event, exc

from storage import errors
from storage.dialect import faults

#: Instructions of SQLite's machine between two looks at the clock.
STEPS = 1000
#: A server is told anew what is left once it is so many seconds less than it was told.
SLACK = 0.05
#: Words and ranges differ too much for one plan to be good for all.
_PLANNED = "SET LOCAL plan_cache_mode = force_custom_plan"


@contextmanager
def deadline(connection: Connection, seconds: float) -> Iterator[None]:
    """The statements of the block take no longer, all of them together. Raises TooSlow."""
    limited = (
        _served(connection, seconds) if connection.dialect.name == "postgresql" else _embedded(connection, seconds)
    )
    with limited:
        yield


@contextmanager
def _embedded(connection: Connection, seconds: float) -> Iterator[None]:
    driver = connection.connection.driver_connection
    assert driver is not None, "a connection that is in use has one"
    ends_at = time.monotonic() + seconds
    driver.set_progress_handler(lambda: time.monotonic() > ends_at, STEPS)
    try:
        yield
    except exc.OperationalError as error:
        if "interrupted" in str(error.orig):
            raise errors.TooSlow(_said(seconds)) from error
        raise
    finally:
        driver.set_progress_handler(None, 0)


@contextmanager
def _served(connection: Connection, seconds: float) -> Iterator[None]:
    ends_at, told = time.monotonic() + seconds, float("inf")

    def tell(_connection: Connection, cursor: Any, *_: Any) -> None:
        nonlocal told
        left = ends_at - time.monotonic()
        if left <= 0:
            raise errors.TooSlow(_said(seconds))
        if told - left > SLACK:  # most are answered after one such word
            cursor.execute(f"SET LOCAL statement_timeout = {max(1, int(left * 1000))}; {_PLANNED}")
            told = left

    event.listen(connection, "before_cursor_execute", tell)
    try:
        yield
    except exc.DBAPIError as error:
        if faults.sqlstate(error) == faults.CANCELLED:
            raise errors.TooSlow(_said(seconds)) from error
        raise
    finally:
        event.remove(connection, "before_cursor_execute", tell)


def _said(seconds: float) -> str:
    return (
        f"it was not answered within {seconds:g} s: ask for less at once, by a narrower `created`, an agent or a "
        "state, more letters of a word that goes on, or in the order of acceptance"
    )
