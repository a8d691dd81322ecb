"""For two connections to a server of which one is held open: when the other one has come to wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, text

from storage import dialect
from tests.patience import until

_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


@contextmanager
def connected(url: str) -> Iterator[Engine]:
    """Connections to a server past the writer, for the block."""
    engine = dialect.engine(url, readonly=False, connections=4)
    try:
        yield engine
    finally:
        engine.dispose()


def until_waiting(engine: Engine, count: int = 1) -> None:
    """Waits until so many connections of this database wait for a lock."""

    def look() -> bool:
        with engine.connect() as connection:
            return int(connection.execute(_WAITING).scalar_one()) >= count

    until(look, why="nobody came to wait")
