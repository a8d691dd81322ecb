"""Wait until one connection to a server waits for a lock of another."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, text

from storage.engine import connections
from tests.patience import until

_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


@contextmanager
def connected(url: str) -> Iterator[Engine]:
    """Open connections to a server past the writer, for the block."""
    engine = connections.engine(url, readonly=False, connections=4)
    try:
        yield engine
    finally:
        engine.dispose()


def until_waiting(engine: Engine, count: int = 1) -> None:
    """Wait until this many connections of this database wait for a lock."""
    until(lambda: _is_waiting(engine, count), why="no connection waits for a lock")


def _is_waiting(engine: Engine, count: int) -> bool:
    with engine.connect() as connection:
        return int(connection.execute(_WAITING).scalar_one()) >= count


def until_waiting_or_done(engine: Engine, work: Future[Any]) -> None:
    """Wait until a connection waits for a lock or the work is done."""
    until(lambda: work.done() or _is_waiting(engine, 1), why="it neither waited nor ended")
