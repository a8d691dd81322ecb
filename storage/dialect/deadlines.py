"""Statements that are given so many seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
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
    ends_at, told = time.monotonic() + seconds, float("inf")
    is_served = connection.dialect.name == "postgresql"

    def begin(_connection: Connection, cursor: Any, *_: Any) -> None:
        nonlocal told
        left = ends_at - time.monotonic()
        if left <= 0:
            raise errors.TooSlow(_said(seconds))
        if is_served and told - left > SLACK:  # most are answered after one such word
            cursor.execute(f"SET LOCAL statement_timeout = {max(1, int(left * 1000))}; {_PLANNED}")
            told = left

    event.listen(connection, "before_cursor_execute", begin)
    try:
        with nullcontext() if is_served else _interrupted(connection, ends_at):
            yield
    except exc.DBAPIError as error:
        is_ended = faults.sqlstate(error) == faults.CANCELLED if is_served else "interrupted" in str(error.orig)
        if is_ended:
            raise errors.TooSlow(_said(seconds)) from error
        raise
    finally:
        event.remove(connection, "before_cursor_execute", begin)


@contextmanager
def _interrupted(connection: Connection, ends_at: float) -> Iterator[None]:
    """Has SQLite look at the clock within a statement."""
    driver = connection.connection.driver_connection
    assert driver is not None, "a connection that is in use has one"
    driver.set_progress_handler(lambda: time.monotonic() > ends_at, STEPS)
    try:
        yield
    finally:
        driver.set_progress_handler(None, 0)


def _said(seconds: float) -> str:
    return (
        f"it was not answered within {seconds:g} s: ask for less at once, by a narrower `created`, an agent or a "
        "state, more letters of a word that goes on, or in the order of acceptance"
    )
