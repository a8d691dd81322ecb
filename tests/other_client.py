"""Another client of the same database, which reads or holds locks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import NullPool, create_engine, text

Look = Callable[[str], list[tuple[Any, ...]]]


@contextmanager
def looking(url: str) -> Iterator[Look]:
    """Return a function that runs a statement on a connection of its own, from any thread."""
    arguments = {"check_same_thread": False} if url.startswith("sqlite") else {}
    engine = create_engine(url, poolclass=NullPool, connect_args=arguments)

    def look(statement: str) -> list[tuple[Any, ...]]:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    yield look
    engine.dispose()


@contextmanager
def locking(url: str, table: str = "api_keys") -> Iterator[None]:
    """Lock a table against writes for as long as the block."""
    engine = create_engine(url, poolclass=NullPool)
    taken = f"LOCK TABLE {table} IN EXCLUSIVE MODE" if engine.dialect.name == "postgresql" else "BEGIN IMMEDIATE"
    with engine.connect() as connection:
        connection.exec_driver_sql(taken)
        yield
        connection.rollback()
    engine.dispose()


@contextmanager
def locking_jobs(url: str, run_id: str) -> Iterator[None]:
    """Lock the jobs of a run for as long as the block, as a transaction that stores its result does."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1 FROM jobs WHERE run_id = :run FOR UPDATE"), {"run": run_id})
        yield
    engine.dispose()
