"""What the upstream says of a run: it lives, it ended, it is not there."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import rfc8785

from storage import errors, results, states
from storage.engine import column_types
from storage.engine.database import Database
from storage.repositories import documents, job_list, jobs, runs
from storage.states import Kind, Source
from storage.transitions import settling, starting, submitting
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio

FACTS = {
    "settledBy": "watcher",
    "createdAt": "2026-11-23T12:00:01.000000Z",
    "startedAt": "2026-11-23T12:00:02.000000Z",
    "completedAt": "2026-11-23T12:01:02.000000Z",
    "settledAt": "2026-11-23T12:01:03.000000Z",
    "durationMs": 60_000,
    "inputTokens": 90,
    "outputTokens": 36,
    "toolCalls": 2,
    "costMicros": 3000,
    "stepCount": 3,
    "documentVersion": 1,
    "usageCount": 2,
}


async def claimed(
    database: Database, run: runs.Run, second: float, source: Source | None = Source.WATCHER
) -> jobs.Claim:
    """Enqueue and claim the settle of a run."""
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SETTLE, run.id, life.at(second), source)])
    return await life.claimed(database, Kind.SETTLE, run.id, life.at(second))


def canonical(row: results.Step | results.Usage) -> bytes:
    """The bytes of a row, without the writer's code."""
    values: dict[str, Any] = {name: getattr(row, name) for name in row.__slots__ if name != "salt"}
    values["timestamp"] = None if row.timestamp is None else column_types.instant_text(row.timestamp)
    return rfc8785.dumps({name: value for name, value in values.items() if value is not None})


@pytest.mark.parametrize("status", sorted(states.REPORTED))
async def test_a_settled_run_shows_all_that_the_upstream_sent(status: states.Status, database: Database) -> None:
    run = await life.settled_run(database, status)
    found = [getattr(run, name) for name in life.measures().__slots__]
    assert (run.status, found) == (status, [getattr(life.measures(), name) for name in life.measures().__slots__])


async def test_a_settled_run_has_its_time_and_source(database: Database) -> None:
    run = await life.settled_run(database)
    assert (run.settled_at, run.settled_by, run.step_count) == (life.at(63), Source.WATCHER, 3)


async def test_the_ledger_records_the_end_with_every_measure(database: Database) -> None:
    run = await life.settled_run(database)
    entry = await ledgers.last(database, run.id)
    assert (entry.kind, entry.actor, entry.facts) == ("run.completed", "upstream", FACTS)


async def test_the_ledger_records_where_the_reason_of_a_failure_stood(database: Database) -> None:
    measures = life.measures(failure_reason="out of budget", failure_source="logs")
    run = await life.settled_run(database, result=life.result(states.FAILED, measures=measures))
    entry = await ledgers.last(database, run.id)
    assert (entry.kind, entry.facts["failureSource"]) == ("run.failed", "logs")


async def test_the_ledger_can_prove_what_came_back(database: Database) -> None:
    run = await life.settled_run(database, result=life.result(body=b'{"really":1}'))
    entry = await ledgers.last(database, run.id)
    values = {"output": b"The lease is void.", "summary": b"Void.", "document": b'{"really":1}'}
    assert all(entry.proves(name, value) for name, value in values.items())


@pytest.mark.parametrize(("name", "row"), [("steps", results.Step), ("usage", results.Usage)])
async def test_the_ledger_can_prove_every_row(name: str, row: Any, database: Database) -> None:
    run = await life.settled_run(database)
    rows = await database.read(documents.read, run.seq, row)
    root = ledgers.root(name, [(each.salt, canonical(each)) for each in rows])
    assert (await ledgers.last(database, run.id)).digests[name] == root


async def test_the_step_count_is_the_number_of_rows(database: Database) -> None:
    run = await life.settled_run(database, result=life.result(steps=life.steps(17)))
    steps = await database.read(documents.read, run.seq, results.Step)
    usage = await database.read(documents.read, run.seq, results.Usage)
    assert (len(steps), len(usage), run.step_count) == (17, 2, 17)


async def test_the_document_is_kept_as_the_first_version(database: Database) -> None:
    run = await life.settled_run(database, result=life.result(body=b"bytes"))
    assert await database.read(documents.find, run.id) == replace(life.document(b"bytes"), version=1)


async def test_what_the_answer_lacks_is_kept_from_before(database: Database) -> None:
    bare = life.measures(created_at=None, started_at=None)
    run = await life.settled_run(database, result=life.result(measures=bare))
    facts = (await ledgers.last(database, run.id)).facts
    assert (run.created_at, run.started_at, facts["startedAt"]) == (life.at(1), life.at(2), FACTS["startedAt"])


async def test_what_is_not_known_is_no_fact(database: Database) -> None:
    bare = settling.Result(states.COMPLETED, results.Measures(), document=life.document())
    run = await life.settled_run(database, result=bare)
    expected = {
        name: FACTS[name] for name in ("settledBy", "createdAt", "startedAt", "settledAt", "documentVersion")
    }
    assert (await ledgers.last(database, run.id)).facts == expected | {"stepCount": 0}


async def test_a_settled_run_has_no_job(database: Database) -> None:
    run = await life.settled_run(database)
    assert await life.open_jobs(database, run.id) == []


async def test_an_answer_that_lacked_something_is_fetched_again(database: Database) -> None:
    run = await life.running(database)
    claim = await claimed(database, run, 63)
    await database.write(settling.record_result, claim, life.result(), life.at(63), life.at(123))
    assert (await life.claimed(database, Kind.SETTLE, run.id, life.at(123))).attempts == 2


async def test_a_callback_during_the_settle_has_the_upstream_asked_again(database: Database) -> None:
    run = await life.running(database)
    claim = await claimed(database, run, 63)
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SETTLE, run.id, life.at(64), Source.PLATFORM)])
    assert await database.write(settling.record_result, claim, life.result(), life.at(65), None)
    assert await life.open_jobs(database, run.id) == ["settle"]


async def test_a_lost_lease_records_nothing(database: Database) -> None:
    run = await life.running(database)
    stale = await claimed(database, run, 63)
    await life.claimed(database, Kind.SETTLE, run.id, life.at(123))
    with pytest.raises(errors.LeaseLost):
        await database.write(settling.record_result, stale, life.result(), life.at(124), None)
    assert await life.get_run(database, run.id) == run


async def test_two_answers_at_once_settle_once(database: Database) -> None:
    run = await life.running(database)
    stale = await claimed(database, run, 63)
    later = await life.claimed(database, Kind.SETTLE, run.id, life.at(123))
    answers = await asyncio.gather(
        database.write(settling.record_result, stale, life.result(states.FAILED), life.at(124), None),
        database.write(settling.record_result, later, life.result(), life.at(124), None),
        return_exceptions=True,
    )
    assert (isinstance(answers[0], errors.LeaseLost), answers[1]) == (True, True)
    assert (await life.ledger_kinds(database, run.id))[3:] == ["run.completed"]


async def test_the_source_is_that_of_the_first_request(database: Database) -> None:
    run = await life.running(database)
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SETTLE, run.id, life.at(60), Source.SWEEP)])
    await life.settle(database, run, life.result(), source=Source.WATCHER)
    assert (await life.get_run(database, run.id)).settled_by is Source.SWEEP


async def test_a_timer_of_ours_counts_as_the_sweep(database: Database) -> None:
    run = await life.running(database)
    claim = await claimed(database, run, 60)
    await alive(database, claim, states.RUNNING, 60)
    claim = await life.claimed(database, Kind.SETTLE, run.id, life.at(65))
    await database.write(settling.record_result, claim, life.result(), life.at(65), None)
    assert (await life.get_run(database, run.id)).settled_by is Source.SWEEP


async def test_a_settle_answers_the_requested_refresh(database: Database) -> None:
    run = await life.running(database)
    await database.write(submitting.request_refresh, run.id, life.at(5))
    await life.settle(database, run, life.result())
    assert (await life.get_run(database, run.id)).refresh_requested_at is None


async def test_a_refresh_that_is_requested_during_a_fetch_stays_open(database: Database) -> None:
    run = await life.settled_run(database)
    await database.write(submitting.request_refresh, run.id, life.at(70))
    claim = await life.claimed(database, Kind.SETTLE, run.id, life.at(70))
    await database.write(submitting.request_refresh, run.id, life.at(72))
    await database.write(settling.record_result, claim, life.result(), life.at(73), None, life.at(71))
    assert (await life.get_run(database, run.id)).refresh_requested_at == life.at(72)
    assert await life.open_jobs(database, run.id) == ["settle"]


async def test_a_run_may_end_before_we_wrote_that_it_started(database: Database) -> None:
    run = await life.queued(database)
    await life.settle(database, run, life.result())
    assert (await life.get_run(database, run.id)).status is states.COMPLETED


# -- A run that is settled already.


async def amended(database: Database, result: settling.Result, second: float = 100) -> runs.Run:
    """A settled run that was fetched once more."""
    run = await life.settled_run(database)
    settled = await life.settle(database, run, result, life.at(second), Source.REQUEST)
    assert not settled
    return await life.get_run(database, run.id)


async def test_the_same_bytes_again_change_nothing(database: Database) -> None:
    run = await amended(database, life.result(body=b'{"status":"completed"}'))
    assert await database.read(documents.find, run.id, 2) is None
    assert (await life.ledger_kinds(database, run.id))[-1] == "run.completed"


async def test_other_bytes_are_a_further_version(database: Database) -> None:
    run = await amended(database, life.result(body=b"more"))
    entry = await ledgers.last(database, run.id)
    assert (entry.kind, entry.facts["documentVersion"]) == ("run.document", 2)
    assert entry.proves("document", b"more")


async def test_a_further_version_brings_measures_and_texts(database: Database) -> None:
    late = life.measures(output="At last.", cost_micros=5000)
    run = await amended(database, life.result(body=b"more", measures=late))
    facts = (await ledgers.last(database, run.id)).facts
    assert (run.output, run.cost_micros, facts["costMicros"]) == ("At last.", 5000, 5000)


async def test_a_further_version_takes_nothing_away(database: Database) -> None:
    bare = settling.Result(states.COMPLETED, results.Measures(), document=life.document(b"less"))
    run = await amended(database, bare)
    facts = (await ledgers.last(database, run.id)).facts
    assert (run.output, run.cost_micros, run.step_count, facts["stepCount"]) == ("The lease is void.", 3000, 3, 3)


@pytest.mark.parametrize(("asked", "kept"), [("m-1", "m-1"), (None, "m-2")])
async def test_the_model_that_was_requested_is_in_every_version(
    database: Database, asked: str | None, kept: str
) -> None:
    first, later = (life.measures(model=each) for each in ("m-2", "m-3"))
    run = await life.settled_run(database, model=asked, result=life.result(measures=first))
    assert run.model == kept
    await life.settle(database, run, life.result(body=b"more", measures=later), life.at(100))
    assert (await life.get_run(database, run.id)).model == kept


async def test_a_further_version_keeps_when_and_how_the_run_was_settled(database: Database) -> None:
    run = await amended(database, life.result(body=b"more"))
    facts = (await ledgers.last(database, run.id)).facts
    assert (run.settled_at, run.settled_by) == (life.at(63), Source.WATCHER)
    assert (facts["settledAt"], facts["settledBy"]) == (FACTS["settledAt"], "watcher")


async def test_a_further_version_keeps_the_salts_of_rows_that_did_not_change(database: Database) -> None:
    run = await life.settled_run(database)
    before = await database.read(documents.read, run.seq, results.Step)
    await life.settle(database, run, life.result(body=b"more", steps=life.steps(5)), life.at(100))
    after = await database.read(documents.read, run.seq, results.Step)
    assert (after[:3], len(after)) == (before, 5)


async def test_the_root_of_a_further_version_covers_the_rows_that_are_stored(database: Database) -> None:
    run = await amended(database, life.result(body=b"more", steps=life.steps(5)))
    rows = await database.read(documents.read, run.seq, results.Step)
    root = ledgers.root("steps", [(each.salt, canonical(each)) for each in rows])
    assert (await ledgers.last(database, run.id)).digests["steps"] == root


async def test_a_report_of_another_end_is_a_conflict_and_nothing_more(database: Database) -> None:
    run = await amended(database, life.result(states.FAILED, b"other"))
    *_, conflict, document = await ledgers.entries(database, run.id)
    facts = {"reported": "failed", "kept": "completed", "source": "request"}
    assert (run.status, conflict.kind, conflict.facts) == (states.COMPLETED, "run.conflict", facts)
    assert document.kind == "run.document"


async def test_a_conflict_without_a_document_is_recorded_too(database: Database) -> None:
    run = await amended(database, life.result(states.CANCELLED, document=None, steps=(), usage=()))
    assert (await life.ledger_kinds(database, run.id))[-1] == "run.conflict"


async def test_a_conflict_is_recorded_once_for_the_same_bytes(database: Database) -> None:
    run = await amended(database, life.result(states.FAILED, b"other"))
    await life.settle(database, run, life.result(states.FAILED, b"other"), life.at(200))
    assert (await life.ledger_kinds(database, run.id)).count("run.conflict") == 1


# -- A run that lives.


async def alive(
    database: Database, claim: jobs.Claim, shown: states.Status, second: float, started: float | None = None
) -> None:
    started_at = None if started is None else life.at(started)
    now, due_at = life.at(second), life.at(second + 5)
    await database.write(settling.record_alive, claim, shown, started_at, now, due_at)


async def test_a_run_shown_alive_is_asked_about_again(database: Database) -> None:
    run = await life.running(database)
    await alive(database, await claimed(database, run, 10), states.RUNNING, 10)
    assert (await life.claimed(database, Kind.SETTLE, run.id, life.at(15))).trigger is None
    assert (await life.get_run(database, run.id)).asked_at == life.at(10)


async def test_a_run_follows_forward(database: Database) -> None:
    run = await life.queued(database)
    await alive(database, await claimed(database, run, 10), states.RUNNING, 10, started=7)
    run = await life.get_run(database, run.id)
    entry = await ledgers.last(database, run.id)
    assert (run.status, run.started_at) == (states.RUNNING, life.at(7))
    assert (entry.kind, entry.facts) == ("run.started", {"via": "status"})


async def test_a_run_never_goes_back(database: Database) -> None:
    run = await life.running(database)
    await alive(database, await claimed(database, run, 10), states.QUEUED, 10)
    assert (await life.get_run(database, run.id)).status is states.RUNNING


async def test_a_start_is_recorded_once(database: Database) -> None:
    run = await life.running(database)
    await alive(database, await claimed(database, run, 10), states.RUNNING, 10)
    assert (await life.ledger_kinds(database, run.id)).count("run.started") == 1


async def test_a_settled_run_does_not_come_back_to_life(database: Database) -> None:
    run = await life.settled_run(database)
    await alive(database, await claimed(database, run, 70), states.RUNNING, 70)
    found = await life.get_run(database, run.id)
    assert (found.status, found.settled_at) == (run.status, run.settled_at)


# -- A run that is not there.


async def miss(database: Database, run: runs.Run, second: float, *, lost: bool = False) -> runs.Run:
    claim = await claimed(database, run, second, None)
    now, due_at = life.at(second), life.at(second + 5)
    await database.write(settling.record_missing, claim, now, due_at, "404 no such run", lost=lost)
    return await life.get_run(database, run.id)


async def test_a_missing_run_is_missing_since_the_first_time(database: Database) -> None:
    run = await life.running(database)
    for second in (10, 20):
        run = await miss(database, run, second)
    assert (run.status, run.missing_since, run.asked_at) == (states.RUNNING, life.at(10), life.at(20))


async def test_a_missing_run_is_asked_about_again(database: Database) -> None:
    run = await life.running(database)
    await miss(database, run, 10)
    job, _ = await database.read(job_list.page, job_list.Query(run_id=run.id), life.at(10))
    assert [(each.due_at, each.last_error) for each in job] == [(life.at(15), "404 no such run")]


async def test_after_long_enough_it_is_lost_and_the_ledger_says_so(database: Database) -> None:
    run = await miss(database, await life.running(database), 10, lost=True)
    assert (run.status, run.settled_at) == (states.LOST, None)
    assert (await life.ledger_kinds(database, run.id))[-1] == "run.lost"


async def test_a_lost_run_is_lost_once(database: Database) -> None:
    run = await life.running(database)
    for second in (10, 20):
        run = await miss(database, run, second, lost=True)
    assert (await life.ledger_kinds(database, run.id)).count("run.lost") == 1


async def test_a_lost_run_that_turns_up_runs_again(database: Database) -> None:
    run = await miss(database, await life.running(database), 10, lost=True)
    await alive(database, await claimed(database, run, 20), states.RUNNING, 20)
    run = await life.get_run(database, run.id)
    assert (run.status, run.missing_since, run.started_at) == (states.RUNNING, None, life.at(2))


async def test_a_lost_run_that_turns_up_ended_is_settled(database: Database) -> None:
    run = await miss(database, await life.running(database), 10, lost=True)
    assert await life.settle(database, run, life.result())
    run = await life.get_run(database, run.id)
    assert (run.status, run.missing_since) == (states.COMPLETED, None)


async def test_a_settled_run_is_never_missing(database: Database) -> None:
    run = await miss(database, await life.settled_run(database), 70, lost=True)
    assert (run.status, run.missing_since) == (states.COMPLETED, None)


# -- A settled run that shows alive, or is not there.


async def contradicted(database: Database, run: runs.Run, reported: str, second: float) -> runs.Run:
    """Request a refresh, which the upstream answers with `reported`."""
    await database.write(submitting.request_refresh, run.id, life.at(second))
    claim = await life.claimed(database, Kind.SETTLE, run.id, life.at(second))
    await database.write(settling.record_contradiction, claim, reported, life.at(second + 1), None)
    return await life.get_run(database, run.id)


@pytest.mark.parametrize("reported", ["running", settling.MISSING])
async def test_what_contradicts_an_end_is_a_conflict_and_answers_the_refresh(
    database: Database, reported: str
) -> None:
    run = await life.settled_run(database)
    asked = await contradicted(database, run, reported, 70)
    assert (asked.status, asked.refresh_requested_at, asked.asked_at) == (states.COMPLETED, None, life.at(71))
    conflict = await ledgers.last(database, run.id)
    facts = {"reported": reported, "kept": "completed", "source": "request"}
    assert (conflict.kind, conflict.facts) == ("run.conflict", facts)
    assert await life.open_jobs(database, run.id) == []


async def test_the_same_contradiction_is_recorded_once_and_another_one_again(database: Database) -> None:
    run = await life.settled_run(database)
    for second, reported in enumerate(["running", "running", settling.MISSING]):
        await contradicted(database, run, reported, 70 + 10 * second)
    assert (await life.ledger_kinds(database, run.id)).count("run.conflict") == 2


async def test_a_refresh_that_is_requested_while_it_is_contradicted_stays_open(database: Database) -> None:
    run = await life.settled_run(database)
    await database.write(submitting.request_refresh, run.id, life.at(70))
    claim = await life.claimed(database, Kind.SETTLE, run.id, life.at(70))
    await database.write(submitting.request_refresh, run.id, life.at(72))
    await database.write(settling.record_contradiction, claim, "running", life.at(73), None, life.at(71))
    assert (await life.get_run(database, run.id)).refresh_requested_at == life.at(72)
    assert await life.open_jobs(database, run.id) == ["settle"]


async def test_a_refresh_of_a_live_run_is_answered_by_its_being_alive(database: Database) -> None:
    run = await life.running(database)
    await database.write(submitting.request_refresh, run.id, life.at(5))
    claim = await life.claimed(database, Kind.SETTLE, run.id, life.at(5))
    await alive(database, claim, states.RUNNING, 6)
    assert (await life.get_run(database, run.id)).refresh_requested_at is None


async def test_a_refused_run_takes_no_output_from_a_later_answer(database: Database) -> None:
    run = await life.queued(database)
    claim = await life.claimed(database, Kind.START, run.id, life.at(120))
    await database.write(starting.refuse, claim, "422 no", life.at(121))
    await life.settle(database, run, life.result(), life.at(200), Source.REQUEST)
    kept = await life.get_run(database, run.id)
    assert (kept.status, kept.output, kept.cost_micros, kept.step_count) == (states.REFUSED, None, None, 0)
    assert await database.read(documents.find, run.id, None) is None
    assert (await ledgers.last(database, run.id)).facts["reported"] == "completed"


async def test_that_a_refused_run_is_missing_is_no_conflict(database: Database) -> None:
    run = await life.queued(database)
    claim = await life.claimed(database, Kind.START, run.id, life.at(120))
    await database.write(starting.refuse, claim, "404 no", life.at(121))
    asked = await contradicted(database, run, settling.MISSING, 200)
    assert asked.refresh_requested_at is None
    assert "run.conflict" not in await life.ledger_kinds(database, run.id)


@pytest.mark.parametrize("kept", [b"", None])
async def test_an_answer_of_which_nothing_is_kept_is_stored_like_any_other(
    database: Database, kept: bytes | None
) -> None:
    run = await life.running(database)
    job = await claimed(database, run, 60)
    document = None if kept is None else documents.compress(kept, life.at(61), "too large")
    result = settling.Result(states.COMPLETED, results.Measures(), document=document)
    async with asyncio.timeout(20):
        assert await database.write(settling.record_result, job, result, life.at(61), None)
    assert (await life.get_run(database, run.id)).status is states.COMPLETED
