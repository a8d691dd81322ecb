"""Another program at the same database: it looks, or it is in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import NullPool, create_engine, text

Look = Callable[[str], list[tuple[Any, ...]]]


@contextmanager
def looking(url: str) -> Iterator[Look]:
    """Answers statements as it sees the database just then, from whatever thread."""
    arguments = {"check_same_thread": False} if url.startswith("sqlite") else {}
    engine = create_engine(url, poolclass=NullPool, connect_args=arguments)

    def look(statement: str) -> list[tuple[Any, ...]]:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    yield look
    engine.dispose()


@contextmanager
def locking(url: str, table: str = "api_keys") -> Iterator[None]:
    """Keeps everybody else from writing to a table."""
    engine = create_engine(url, poolclass=NullPool)
    taken = f"LOCK TABLE {table} IN EXCLUSIVE MODE" if engine.dialect.name == "postgresql" else "BEGIN IMMEDIATE"
    with engine.connect() as connection:
        connection.exec_driver_sql(taken)
        yield
        connection.rollback()
    engine.dispose()
