"""Submitting, cancelling, refreshing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import rfc8785
from sqlalchemy import Connection, Table, func, select

from storage import states
from storage.engine.database import Database
from storage.repositories import jobs, runs
from storage.states import Kind
from storage.tables.jobs import JOBS
from storage.tables.ledger import LEDGER_ENTRIES
from storage.tables.runs import RUN_TAGS, RUNS
from storage.transitions import endings, submitting
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio

KEYED = {"idempotency_key": "once", "request_sha256": "a" * 64}
WRITTEN = (RUNS, RUN_TAGS, JOBS, LEDGER_ENTRIES)


async def count(database: Database, table: Table) -> int:
    counted = select(func.count()).select_from(table)
    return await database.read(lambda connection: connection.execute(counted).scalar_one())


async def submit(database: Database, submission: runs.Submission) -> submitting.Submitted:
    return await database.write(submitting.submit, submission)


async def test_a_submission_is_a_run_that_was_accepted(database: Database) -> None:
    submission = life.submission(guidance="Be brief.", model="m-1", object_ids=("o1", "o2"), tags={"matter": "7"})
    made = await submit(database, submission)
    run = made.run
    stored = (run.agent_id, run.prompt, run.guidance, run.model, tuple(run.object_ids or ()), run.tags)
    expected = (submission.agent_id, submission.prompt, "Be brief.", "m-1", ("o1", "o2"), {"matter": "7"})
    assert (made.is_new, run.status, stored) == (True, states.ACCEPTED, expected)


async def test_the_answer_to_a_submission_is_the_stored_run(database: Database) -> None:
    batch = [
        life.submission(guidance="Be brief.", object_ids=("o1",), tags={"b": "2", "a": "é"}, **KEYED),
        life.submission(agent_id=None, instructions="Review.", object_ids=()),
        life.submission(),
    ]
    made = await asyncio.gather(*(submit(database, each) for each in batch))
    assert [each.run for each in made] == [await database.read(runs.find, each.id) for each in batch]


async def test_a_submission_has_a_job_that_starts_it(database: Database) -> None:
    run = await life.accepted(database)
    claim = await life.claimed(database, Kind.START, run.id)
    assert (claim.fence, claim.trigger) == (1, states.Source.REQUEST)


async def test_a_submission_expects_an_end(database: Database) -> None:
    run = await life.accepted(database)
    assert run.expected_by == life.at(3600)


async def test_the_ledger_records_a_submission(database: Database) -> None:
    run = await life.accepted(database, model="m-1")
    (entry,) = await ledgers.entries(database, run.id)
    facts = {"origin": "submitted", "agentId": "agent_1", "model": "m-1", "submittedBy": "backend"}
    assert (entry.kind, entry.actor, entry.facts) == ("run.accepted", "key:backend", facts)


async def test_the_ledger_can_prove_what_was_asked(database: Database) -> None:
    asked: dict[str, Any] = {"guidance": "Kürze.", "object_ids": ("o1", "o2"), "tags": {"b": "2", "a": "é"}}
    run = await life.accepted(database, prompt="Prüfe.", **asked)
    entry = await ledgers.last(database, run.id)
    values = {"prompt": "Prüfe.".encode(), "guidance": "Kürze.".encode()}
    values |= {"objectIds": rfc8785.dumps(["o1", "o2"]), "tags": rfc8785.dumps({"a": "é", "b": "2"})}
    assert set(entry.digests) == set(values)
    assert all(entry.proves(name, value) for name, value in values.items())


async def test_what_was_not_asked_has_no_digest(database: Database) -> None:
    run = await life.accepted(database)
    assert set((await ledgers.last(database, run.id)).digests) == {"prompt"}


async def test_an_empty_list_of_objects_is_not_the_same_as_none(database: Database) -> None:
    run = await life.accepted(database, object_ids=())
    assert (run.object_ids, "objectIds" in (await ledgers.last(database, run.id)).digests) == ([], True)


@pytest.mark.parametrize("table", WRITTEN, ids=lambda table: table.name)
async def test_a_submission_that_is_rolled_back_leaves_nothing(table: Table, database: Database) -> None:
    def submit_and_fail(connection: Connection) -> None:
        life.submitted(connection, tags={"matter": "7"})
        raise LookupError

    await asyncio.gather(database.write(submit_and_fail), return_exceptions=True)
    assert await count(database, table) == 0


async def test_the_same_key_with_the_same_content_is_the_same_run(database: Database) -> None:
    first = await submit(database, life.submission(**KEYED))
    again = await submit(database, life.submission(**KEYED))
    assert (again.run, again.is_new, again.is_same) == (first.run, False, True)


async def test_the_same_key_with_other_content_is_reported(database: Database) -> None:
    first = await submit(database, life.submission(**KEYED))
    again = await submit(database, life.submission(**KEYED | {"request_sha256": "b" * 64}))
    assert (again.run.id, again.is_new, again.is_same) == (first.run.id, False, False)


@pytest.mark.parametrize("table", [RUNS, JOBS, LEDGER_ENTRIES], ids=lambda table: table.name)
async def test_a_repeated_submission_writes_nothing(table: Table, database: Database) -> None:
    for _ in range(2):
        await submit(database, life.submission(**KEYED))
    assert await count(database, table) == 1


async def test_keys_of_different_submitters_are_different(database: Database) -> None:
    await submit(database, life.submission(**KEYED))
    other = await submit(database, life.submission(**KEYED, submitted_by="another"))
    assert other.is_new


async def test_without_a_key_equal_submissions_are_two_runs(database: Database) -> None:
    made = [await submit(database, life.submission(prompt="same")) for _ in range(2)]
    assert [each.is_new for each in made] == [True, True]


async def test_many_equal_submissions_at_once_are_one_run(database: Database) -> None:
    made = await asyncio.gather(*(submit(database, life.submission(**KEYED)) for _ in range(20)))
    assert (len({each.run.id for each in made}), sum(each.is_new for each in made)) == (1, 1)


async def test_a_submission_that_came_in_by_an_earlier_try_is_recognised(database: Database) -> None:
    submission = life.submission(**KEYED, tags={"matter": "7"})
    first = await submit(database, submission)
    assert await submit(database, submission) == first


async def cancel(database: Database, run_id: str, second: float = 5) -> runs.Run:
    run = await database.write(submitting.request_cancel, run_id, "key:backend", life.at(second))
    assert run is not None
    return run


async def test_a_run_that_the_upstream_does_not_know_is_cancelled_here(database: Database) -> None:
    run = await cancel(database, (await life.accepted(database)).id)
    stored = (run.status, run.settled_at, run.settled_by, run.cancel_requested_at)
    assert stored == (states.CANCELLED, life.at(5), states.Source.REQUEST, life.at(5))


async def test_a_cancel_here_is_recorded_as_request_and_end(database: Database) -> None:
    run = await cancel(database, (await life.accepted(database)).id)
    assert await life.ledger_kinds(database, run.id) == ["run.accepted", "run.cancel_requested", "run.cancelled"]


async def test_a_cancel_here_may_leave_a_lost_create(database: Database) -> None:
    run = await cancel(database, (await life.accepted(database)).id)
    assert run.lost_create_since == life.at(5)


async def test_a_run_with_an_upstream_id_is_cancelled_by_a_job(database: Database) -> None:
    run = await cancel(database, (await life.running(database)).id)
    assert (run.status, await life.open_jobs(database, run.id)) == (states.RUNNING, ["cancel"])


async def test_a_run_that_was_created_meanwhile_is_not_cancelled_here(database: Database) -> None:
    run = await life.queued(database)
    end = endings.End(states.CANCELLED, life.at(5), states.Source.REQUEST, "key:backend")
    assert not await database.write(endings.end_before_create, run, end)
    assert await life.get_run(database, run.id) == run


async def test_a_requested_cancel_is_recorded_once(database: Database) -> None:
    run = await life.running(database)
    for second in (5, 6):
        run = await cancel(database, run.id, second)
    kinds = await life.ledger_kinds(database, run.id)
    assert (kinds.count("run.cancel_requested"), run.cancel_requested_at) == (1, life.at(5))


async def test_the_entry_of_a_cancel_names_its_actor(database: Database) -> None:
    run = await cancel(database, (await life.running(database)).id)
    entry = await ledgers.last(database, run.id)
    assert (entry.actor, entry.facts) == ("key:backend", {"by": "key:backend"})


@pytest.mark.parametrize("status", sorted(states.REPORTED))
async def test_a_run_that_ended_stays_as_it_is(status: states.Status, database: Database) -> None:
    run = await life.settled_run(database, status)
    assert await cancel(database, run.id) == run


@pytest.mark.parametrize("ask", [cancel, None], ids=["cancel", "refresh"])
async def test_an_unknown_run_is_none(ask: Callable[..., Any] | None, database: Database) -> None:
    if ask is None:
        assert await database.write(submitting.request_refresh, "nothing", life.NOW) is None
    else:
        assert await database.write(submitting.request_cancel, "nothing", "key:x", life.NOW) is None


async def test_a_refresh_asks_the_upstream_now(database: Database) -> None:
    run = await life.running(database)
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SETTLE, run.id, life.NOW, None, life.at(500))])
    await database.write(submitting.request_refresh, run.id, life.at(5))
    assert (await life.claimed(database, Kind.SETTLE, run.id, life.at(5))).trigger is states.Source.REQUEST


async def test_a_settled_run_can_be_refreshed(database: Database) -> None:
    run = await life.settled_run(database)
    refreshed = await database.write(submitting.request_refresh, run.id, life.at(70))
    assert refreshed is not None
    assert (refreshed.refresh_requested_at, await life.open_jobs(database, run.id)) == (life.at(70), ["settle"])


async def test_there_is_nothing_to_refresh_before_the_upstream_knows_the_run(database: Database) -> None:
    run = await life.accepted(database)
    refreshed = await database.write(submitting.request_refresh, run.id, life.at(5))
    assert (refreshed, await life.open_jobs(database, run.id)) == (run, ["start"])
