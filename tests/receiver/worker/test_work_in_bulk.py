"""The job of bulk actions, as a worker runs it."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from receiver import telemetry, timeouts
from receiver.upstream import client
from receiver.worker import context as worker_context
from receiver.worker.tasks import registry
from storage import states
from storage.actions import bulk, bulk_parts
from storage.engine.database import Database
from storage.states import BulkKind
from tests import life

pytestmark = pytest.mark.anyio


async def created(database: Database, question: str, action: BulkKind = BulkKind.TAG) -> bulk.Action:
    request = bulk.Request(action, "ops", "key:ops", life.NOW, question, tags={"done": "yes"})
    return await database.write(bulk.create, await database.read(bulk.plan, request))


async def carried_out(database: Database, action: bulk.Action) -> bulk.Action:
    """Run the job once; return the action afterwards."""
    upstream, timing = client.Client("https://upstream.test", "sk_case_test"), timeouts.Timing()
    context = worker_context.Context(
        database, upstream, timing, lambda: life.at(1), lambda _: None, telemetry.Telemetry(), 60.0
    )
    await registry.run(context, await life.claimed(database, states.Kind.BULK))
    found = await database.read(bulk.find, action.id)
    assert found is not None
    return found


async def test_the_job_does_all_parts_of_all_actions_and_is_done(database: Database) -> None:
    count = bulk_parts.RUNS_AT_ONCE[BulkKind.TAG] + 3
    for _ in range(count):
        await life.accepted(database)
    first, second = await created(database, ""), await created(database, "agent:none")
    done = await carried_out(database, first)
    other = await database.read(bulk.find, second.id)
    assert (done.state, done.done) == ("finished", count)
    assert other is not None
    assert (other.state, other.total) == ("finished", 0)
    assert await life.open_jobs(database, "") == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # a server stores only values of the type
async def test_a_row_that_cannot_be_read_is_left_out_and_stops_no_other(database: Database) -> None:
    run_ids = [(await life.accepted(database, tags={"a": "1"})).id for _ in range(5)]
    spoil = text("UPDATE runs SET input_tokens = 'much' WHERE id = :id")
    await database.write(lambda connection: connection.execute(spoil, {"id": run_ids[2]}))
    done = await carried_out(database, await created(database, "", BulkKind.CANCEL))
    assert (done.state, done.done, done.failed) == ("finished", 4, 1)
    assert [each["runId"] for each in done.errors or ()] == [run_ids[2]]
