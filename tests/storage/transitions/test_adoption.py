"""Runs that were created elsewhere and become ours."""

from __future__ import annotations

import asyncio

import pytest

from storage import deliveries, ids, jobs, runs, states, transitions
from storage.database import Database
from storage.states import Kind, Origin, Road
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio

SHOWN = transitions.Acquaintance("agent_7", "Prüfe.", "Kürze.", "m-7", life.at(-100), life.at(-90), "key:backend")


def wish(upstream_id: str = "run_1") -> transitions.Adopted:
    return transitions.Adopted(ids.new(life.NOW), upstream_id, "backend", Road.REQUEST, life.NOW, life.at(3600))


async def adopted(database: Database, upstream_id: str = "run_1") -> tuple[runs.Run, jobs.Claim]:
    run, is_new = await database.write(transitions.adopt, wish(upstream_id))
    assert is_new
    return run, await life.claimed(database, Kind.ADOPT, run.id)


async def introduced(database: Database, status: states.Status = states.RUNNING) -> tuple[runs.Run, jobs.Claim]:
    run, claim = await adopted(database)
    await database.write(transitions.introduce, claim, SHOWN, status, life.at(1))
    return await life.found(database, run.id), claim


async def test_a_new_run_is_accepted_under_its_upstream_id(database: Database) -> None:
    run, is_new = await database.write(transitions.adopt, wish())
    told = (is_new, run.origin, run.status, run.upstream_id, run.submitted_by, run.expected_by)
    assert told == (True, Origin.ADOPTED, states.ACCEPTED, "run_1", "backend", life.at(3600))


async def test_its_acquaintance_is_a_job(database: Database) -> None:
    _, claim = await adopted(database)
    assert claim.road is Road.REQUEST


async def test_nothing_is_told_before_its_acquaintance_is_made(database: Database) -> None:
    run, _ = await adopted(database)
    assert await life.told(database, run.id) == []


async def test_a_run_is_adopted_once(database: Database) -> None:
    first, _ = await adopted(database)
    assert await database.write(transitions.adopt, wish()) == (first, False)


async def test_of_many_who_adopt_at_once_one_is_first(database: Database) -> None:
    answers = await asyncio.gather(*(database.write(transitions.adopt, wish()) for _ in range(10)))
    assert (len({run.id for run, _ in answers}), sum(is_new for _, is_new in answers)) == (1, 1)


async def test_a_wish_that_came_in_by_an_earlier_try_is_recognised(database: Database) -> None:
    same = wish()
    answers = [await database.write(transitions.adopt, same) for _ in range(2)]
    assert answers[0] == answers[1]


async def test_a_run_that_we_submitted_answers_its_own_record(database: Database) -> None:
    run = await life.queued(database, "run_1")
    assert await database.write(transitions.adopt, wish()) == (run, False)


async def test_an_orphan_answers_the_run_it_strayed_from(database: Database) -> None:
    run = await life.queued(database, "run_1")
    await database.write(transitions.orphan, run.id, "run_2", life.NOW)
    assert await database.write(transitions.adopt, wish("run_2")) == (run, False)


async def test_an_early_event_is_given_to_the_adopted_run(database: Database) -> None:
    event = life.event("run_1")
    await database.write(transitions.accept_delivery, event)
    run, _ = await adopted(database)
    found = await database.read(deliveries.find, event.id)
    assert found is not None
    assert found.run_id == run.id


@pytest.mark.parametrize("status", [states.QUEUED, states.RUNNING])
async def test_a_live_run_is_introduced_in_the_shown_state(status: states.Status, database: Database) -> None:
    run, _ = await introduced(database, status)
    told = (run.status, run.agent_id, run.prompt, run.guidance, run.model, run.created_at, run.started_at)
    assert told == (status, "agent_7", "Prüfe.", "Kürze.", "m-7", life.at(-100), life.at(-90))


async def test_the_ledger_can_prove_what_was_shown(database: Database) -> None:
    run, _ = await introduced(database)
    accepted = (await ledgers.entries(database, run.id))[0]
    facts = {"origin": "adopted", "agentId": "agent_7", "model": "m-7", "submittedBy": "backend"}
    assert (accepted.kind, accepted.actor, accepted.facts) == ("run.accepted", "key:backend", facts)
    assert accepted.proves("prompt", "Prüfe.".encode())
    assert accepted.proves("guidance", "Kürze.".encode())


async def test_a_running_run_is_told_as_started_by_adoption(database: Database) -> None:
    run, _ = await introduced(database)
    kinds = await life.told(database, run.id)
    last = await ledgers.last(database, run.id)
    assert (kinds, last.facts) == (["run.accepted", "run.created", "run.started"], {"via": "adoption"})


async def test_the_job_goes_on_to_the_watcher(database: Database) -> None:
    run, claim = await introduced(database)
    before = await life.open_jobs(database, run.id)
    await database.write(transitions.watching, claim, True, None)
    run = await life.found(database, run.id)
    assert (before, await life.open_jobs(database, run.id), run.watched) == (["adopt"], [], True)


async def test_a_run_that_may_have_ended_before_its_watcher_is_fetched(database: Database) -> None:
    run, claim = await introduced(database)
    await database.write(transitions.watching, claim, True, life.at(2))
    run = await life.found(database, run.id)
    assert (run.watched, await life.open_jobs(database, run.id)) == (True, ["settle"])


async def test_a_run_that_nobody_may_watch_is_ours_all_the_same(database: Database) -> None:
    run, claim = await introduced(database)
    await database.write(transitions.watching, claim, False, None)
    assert ((await life.found(database, run.id)).watched, await life.open_jobs(database, run.id)) == (False, [])


async def test_a_second_introduction_tells_nothing_new(database: Database) -> None:
    run, claim = await introduced(database)
    before = await life.told(database, run.id)
    await database.write(transitions.introduce, claim, SHOWN, states.RUNNING, life.at(2))
    assert (await life.found(database, run.id), await life.told(database, run.id)) == (run, before)


async def test_a_run_that_had_ended_is_introduced_and_settled_at_once(database: Database) -> None:
    run, claim = await adopted(database)
    await database.write(transitions.introduce_ended, claim, SHOWN, life.result(), life.at(1), None)
    run = await life.found(database, run.id)
    told = (run.status, run.agent_id, run.settled_by, run.settled_at, run.output)
    assert told == (states.COMPLETED, "agent_7", Road.REQUEST, life.at(1), "The lease is void.")
    assert await life.told(database, run.id) == ["run.accepted", "run.created", "run.completed"]


async def test_an_ended_run_leaves_no_job(database: Database) -> None:
    run, claim = await adopted(database)
    await database.write(transitions.introduce_ended, claim, SHOWN, life.result(), life.at(1), None)
    assert await life.open_jobs(database, run.id) == []


async def test_an_ended_run_that_lacked_something_is_fetched_again(database: Database) -> None:
    run, claim = await adopted(database)
    await database.write(transitions.introduce_ended, claim, SHOWN, life.result(), life.at(1), life.at(61))
    assert (await life.claimed(database, Kind.SETTLE, run.id, life.at(61))).attempts == 1


async def test_the_fetch_for_what_lacked_does_not_hold_up_who_asks_now(database: Database) -> None:
    run, claim = await adopted(database)
    await database.write(transitions.accept_delivery, life.event("run_1"))
    await database.write(transitions.introduce_ended, claim, SHOWN, life.result(), life.at(1), life.at(61))
    assert (await life.claimed(database, Kind.SETTLE, run.id, life.at(1))).road is Road.PLATFORM


async def test_a_run_that_the_upstream_does_not_know_is_refused(database: Database) -> None:
    run, claim = await adopted(database)
    assert await database.write(transitions.refuse, claim, "404 no such run", life.at(1))
    run = await life.found(database, run.id)
    assert (run.status, run.settled_by, await life.open_jobs(database, run.id)) == (
        states.REFUSED,
        Road.REQUEST,
        [],
    )
