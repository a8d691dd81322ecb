"""The statements of a submission and of a settle: every other write waits while they run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event

from storage import states
from storage.engine import dialect
from storage.engine.database import Database
from storage.repositories import jobs
from storage.transitions import settling, submitting
from tests import life

pytestmark = pytest.mark.anyio

_KIND = re.compile(r"(SELECT|INSERT|UPDATE|DELETE).*?\b(?:FROM|INTO|UPDATE) +(\w+)|UPDATE (\w+)", re.DOTALL)


@contextmanager
def recorded(connection: Connection) -> Iterator[list[str]]:
    """Return the statements of the block, each by its verb and table; one for many rows counts once."""
    sent: list[str] = []

    def record(statement: str) -> None:
        found = _KIND.match(statement)
        kind = f"{found[1] or 'UPDATE'} {found[2] or found[3]}" if found else statement
        if sent[-1:] != [kind]:
            sent.append(kind)

    def execute(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        record(statement)

    if not dialect.is_embedded(connection):
        event.listen(connection, "before_cursor_execute", execute)
        yield sent
        event.remove(connection, "before_cursor_execute", execute)
        return
    driver: Any = connection.connection.driver_connection
    driver.set_trace_callback(record)
    yield sent
    driver.set_trace_callback(None)


async def test_submissions_that_wait_together_share_their_statements(database: Database) -> None:
    batch = [life.submission(tags={"matter": "7", "client": "1"}) for _ in range(3)]

    def submit(connection: Connection) -> list[str]:
        with recorded(connection) as sent:
            submitting.submit(connection, batch)
        return sent

    sent = await database.write(submit)
    written = ["INSERT runs", "INSERT run_tags", "INSERT search_queue", "INSERT jobs", "INSERT ledger_entries"]
    assert [each for each in sent if not each.startswith("SELECT")] == written
    # On a file the runs are read before and after the insert, and the last number of the ledger is read.
    looks = ["SELECT runs", "SELECT runs", "SELECT ledger_entries"]
    assert [each for each in sent if each.startswith("SELECT")] in (looks, [])


async def test_a_settle_needs_few_statements(database: Database) -> None:
    await life.request_follow_ups(database, notifies=True)
    run = await life.running(database)
    await database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SETTLE, run.id, life.at(63))])
    job = await life.claimed(database, states.Kind.SETTLE, run.id, life.at(63))

    def settle(connection: Connection) -> list[str]:
        with recorded(connection) as sent:
            assert settling.record_result(connection, job, life.result(), life.at(63), None)
        return sent

    sent = await database.write(settle)
    assert [each for each in sent if not each.startswith("SELECT")] == [
        "INSERT search_queue",
        "UPDATE runs",
        "INSERT jobs",
        "INSERT run_documents",
        "INSERT run_steps",
        "INSERT run_tools",
        "INSERT run_usage",
        "INSERT ledger_entries",
        "INSERT rollup_sums",
        "DELETE jobs",
    ]
    looks = {each for each in sent if each.startswith("SELECT")}
    # On a server a lock on the sums is taken; on a file the last number of the ledger is read.
    either = {"SELECT unnest", "SELECT ledger_entries"}
    assert looks - either == {"SELECT jobs", "SELECT runs", "SELECT system_state", "SELECT rollup_sums"}
