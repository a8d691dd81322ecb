"""The number of statements in the transaction of a settle: each one holds up every other write for as long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from storage import states
from storage.engine.database import Database
from storage.repositories import jobs
from storage.transitions import settling
from tests import life

pytestmark = pytest.mark.anyio

#: The statements of a first settle: it reads the run once, and nothing that cannot be stored yet.
MOST = 17
#: Statements around those of the transition: the notice of a commit on PostgreSQL, the begin on SQLite.
AROUND = ("BEGIN", "SELECT pg_notify", "SELECT set_config", "SHOW")


@contextmanager
def recorded() -> Iterator[list[str]]:
    """The statements that are sent in the block."""
    sent: list[str] = []

    def record(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(AROUND):
            sent.append(" ".join(statement.split()))

    event.listen(Engine, "before_cursor_execute", record)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", record)


async def test_a_settle_needs_few_statements(database: Database) -> None:
    await life.request_follow_ups(database, notifies=True)
    run = await life.running(database)
    await database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SETTLE, run.id, life.at(63))])
    job = await life.claimed(database, states.Kind.SETTLE, run.id, life.at(63))
    with recorded() as sent:
        assert await database.write(settling.record_result, job, life.result(), life.at(63), None)
    assert len(sent) <= MOST, sent
