"""Runs that were created elsewhere and are adopted."""

from __future__ import annotations

import asyncio

import pytest

from storage import ids, states
from storage.engine.database import Database
from storage.repositories import deliveries, jobs, runs
from storage.states import Kind, Origin, Source
from storage.transitions import adopting, receiving, starting
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio

SHOWN = adopting.UpstreamDetails("agent_7", "Prüfe.", "Kürze.", "m-7", life.at(-100), life.at(-90), "key:backend")


def adoption(upstream_id: str = "run_1") -> adopting.Adoption:
    return adopting.Adoption(ids.new(life.NOW), upstream_id, "backend", Source.REQUEST, life.NOW, life.at(3600))


async def adopted(database: Database, upstream_id: str = "run_1") -> tuple[runs.Run, jobs.Claim]:
    run, is_new = await database.write(adopting.adopt, adoption(upstream_id))
    assert is_new
    return run, await life.claimed(database, Kind.ADOPT, run.id)


async def adopted_alive(database: Database, status: states.Status = states.RUNNING) -> tuple[runs.Run, jobs.Claim]:
    run, claim = await adopted(database)
    await database.write(adopting.complete_adoption, claim, SHOWN, status, life.at(1))
    return await life.get_run(database, run.id), claim


async def test_a_new_run_is_accepted_under_its_upstream_id(database: Database) -> None:
    run, is_new = await database.write(adopting.adopt, adoption())
    stored = (is_new, run.origin, run.status, run.upstream_id, run.submitted_by, run.expected_by)
    assert stored == (True, Origin.ADOPTED, states.ACCEPTED, "run_1", "backend", life.at(3600))


async def test_an_adoption_is_a_job(database: Database) -> None:
    _, claim = await adopted(database)
    assert claim.trigger is Source.REQUEST


async def test_the_ledger_has_no_entry_before_the_adoption_is_complete(database: Database) -> None:
    run, _ = await adopted(database)
    assert await life.ledger_kinds(database, run.id) == []


async def test_a_run_is_adopted_once(database: Database) -> None:
    first, _ = await adopted(database)
    assert await database.write(adopting.adopt, adoption()) == (first, False)


async def test_of_many_adoptions_at_once_one_is_new(database: Database) -> None:
    answers = await asyncio.gather(*(database.write(adopting.adopt, adoption()) for _ in range(10)))
    assert (len({run.id for run, _ in answers}), sum(is_new for _, is_new in answers)) == (1, 1)


async def test_an_adoption_that_an_earlier_try_stored_is_recognised(database: Database) -> None:
    same = adoption()
    answers = [await database.write(adopting.adopt, same) for _ in range(2)]
    assert answers[0] == answers[1]


async def test_adopting_a_submitted_run_returns_that_run(database: Database) -> None:
    run = await life.queued(database, "run_1")
    assert await database.write(adopting.adopt, adoption()) == (run, False)


async def test_adopting_an_orphan_returns_the_run_it_belongs_to(database: Database) -> None:
    run = await life.queued(database, "run_1")
    await database.write(starting.record_orphan, run.id, "run_2", life.NOW)
    assert await database.write(adopting.adopt, adoption("run_2")) == (run, False)


async def test_an_early_event_is_given_to_the_adopted_run(database: Database) -> None:
    event = life.event("run_1")
    await database.write(receiving.accept_delivery, event)
    run, _ = await adopted(database)
    found = await database.read(deliveries.find, event.id)
    assert found is not None
    assert found.run_id == run.id


@pytest.mark.parametrize("status", [states.QUEUED, states.RUNNING])
async def test_a_live_run_is_adopted_in_the_reported_state(status: states.Status, database: Database) -> None:
    run, _ = await adopted_alive(database, status)
    stored = (run.status, run.agent_id, run.prompt, run.guidance, run.model, run.created_at, run.started_at)
    assert stored == (status, "agent_7", "Prüfe.", "Kürze.", "m-7", life.at(-100), life.at(-90))


async def test_the_ledger_can_prove_what_was_shown(database: Database) -> None:
    run, _ = await adopted_alive(database)
    accepted = (await ledgers.entries(database, run.id))[0]
    facts = {
        "origin": "adopted",
        "agentId": "agent_7",
        "model": "m-7",
        "submittedBy": "backend",
        "acceptedAt": "2026-11-23T12:00:00.000000Z",
    }
    assert (accepted.kind, accepted.actor, accepted.facts) == ("run.accepted", "key:backend", facts)
    assert accepted.proves("prompt", "Prüfe.".encode())
    assert accepted.proves("guidance", "Kürze.".encode())


async def test_a_running_run_is_recorded_as_started_by_adoption(database: Database) -> None:
    run, _ = await adopted_alive(database)
    kinds = await life.ledger_kinds(database, run.id)
    last = await ledgers.last(database, run.id)
    assert (kinds, last.facts) == (["run.accepted", "run.created", "run.started"], {"via": "adoption"})


async def test_the_job_goes_on_to_the_watcher(database: Database) -> None:
    run, claim = await adopted_alive(database)
    before = await life.open_jobs(database, run.id)
    await database.write(adopting.record_watcher, claim, True, None)
    run = await life.get_run(database, run.id)
    assert (before, await life.open_jobs(database, run.id), run.watched) == (["adopt"], [], True)


async def test_a_run_that_may_have_ended_before_its_watcher_is_fetched(database: Database) -> None:
    run, claim = await adopted_alive(database)
    await database.write(adopting.record_watcher, claim, True, life.at(2))
    run = await life.get_run(database, run.id)
    assert (run.watched, await life.open_jobs(database, run.id)) == (True, ["settle"])


async def test_a_run_without_a_watcher_is_adopted_all_the_same(database: Database) -> None:
    run, claim = await adopted_alive(database)
    await database.write(adopting.record_watcher, claim, False, None)
    assert ((await life.get_run(database, run.id)).watched, await life.open_jobs(database, run.id)) == (False, [])


async def test_completing_an_adoption_twice_changes_nothing(database: Database) -> None:
    run, claim = await adopted_alive(database)
    before = await life.ledger_kinds(database, run.id)
    await database.write(adopting.complete_adoption, claim, SHOWN, states.RUNNING, life.at(2))
    assert (await life.get_run(database, run.id), await life.ledger_kinds(database, run.id)) == (run, before)


async def test_a_run_that_had_ended_is_adopted_and_settled_at_once(database: Database) -> None:
    run, claim = await adopted(database)
    await database.write(adopting.complete_ended_adoption, claim, SHOWN, life.result(), life.at(1), None)
    run = await life.get_run(database, run.id)
    stored = (run.status, run.agent_id, run.settled_by, run.settled_at, run.output)
    assert stored == (states.COMPLETED, "agent_7", Source.REQUEST, life.at(1), "The lease is void.")
    assert await life.ledger_kinds(database, run.id) == ["run.accepted", "run.created", "run.completed"]


async def test_an_ended_run_leaves_no_job(database: Database) -> None:
    run, claim = await adopted(database)
    await database.write(adopting.complete_ended_adoption, claim, SHOWN, life.result(), life.at(1), None)
    assert await life.open_jobs(database, run.id) == []


async def test_an_ended_run_that_lacked_something_is_fetched_again(database: Database) -> None:
    run, claim = await adopted(database)
    await database.write(adopting.complete_ended_adoption, claim, SHOWN, life.result(), life.at(1), life.at(61))
    assert (await life.claimed(database, Kind.SETTLE, run.id, life.at(61))).attempts == 1


async def test_the_repeated_fetch_does_not_delay_a_settle_that_is_due_now(database: Database) -> None:
    run, claim = await adopted(database)
    await database.write(receiving.accept_delivery, life.event("run_1"))
    await database.write(adopting.complete_ended_adoption, claim, SHOWN, life.result(), life.at(1), life.at(61))
    assert (await life.claimed(database, Kind.SETTLE, run.id, life.at(1))).trigger is Source.PLATFORM


async def test_a_run_that_the_upstream_does_not_know_is_refused(database: Database) -> None:
    run, claim = await adopted(database)
    assert await database.write(starting.refuse, claim, "404 no such run", life.at(1))
    run = await life.get_run(database, run.id)
    assert (run.status, run.settled_by, await life.open_jobs(database, run.id)) == (
        states.REFUSED,
        Source.REQUEST,
        [],
    )
