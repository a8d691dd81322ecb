"""Statements that are given so many seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, exc

from storage import errors
from storage.dialect import faults

#: Instructions of SQLite's machine between two looks at the clock.
STEPS = 5000


@contextmanager
def deadline(connection: Connection, seconds: float) -> Iterator[None]:
    """No statement of the block takes longer, on SQLite not even all of them together. Raises TooSlow."""
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
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
    try:
        yield
    except exc.DBAPIError as error:
        if faults.sqlstate(error) == faults.CANCELLED:
            raise errors.TooSlow(_said(seconds)) from error
        raise


def _said(seconds: float) -> str:
    return (
        f"it was not answered within {seconds:g} s: ask for less at once, by a narrower `created`, an agent or a "
        "state, or in the order of acceptance"
    )
